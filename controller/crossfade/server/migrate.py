"""Migrate: brings a database to the schema this version needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

from crossfade.errors import SetupError, Unavailable
from crossfade.server import database
from crossfade.server.resources import migrations_dir

if TYPE_CHECKING:
    from alembic.config import Config

_LOCK = 0x63726F73  # "cros"


def upgrade(url: str, revision: str = "head") -> None:
    """Applies what is missing, in one transaction; one at a time, however many call it. Raises `SetupError`."""
    from alembic import command  # takes a second to import

    _run(url, lambda config: command.upgrade(config, revision))


def downgrade(url: str, revision: str) -> None:
    """Goes back to `revision` (`base`: nothing left). Raises `SetupError`."""
    from alembic import command

    _run(url, lambda config: command.downgrade(config, revision))


def config_for(connection: Connection) -> Config:
    """Alembic's configuration for the packaged scripts, over this connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_dir()).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _run(url: str, command: Callable[[Config], None]) -> None:
    from alembic.util import CommandError

    engine = database.connect(url)
    try:
        with database.begin(engine) as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            command(config_for(connection))
    except Unavailable as error:
        where = engine.url.render_as_string(hide_password=True)
        raise SetupError(f"cannot migrate {where}: {error}; check DATABASE_URL") from None
    except CommandError as error:
        raise SetupError(f"cannot migrate: {error}; a newer Crossfade has used this database") from None
    finally:
        engine.dispose()
