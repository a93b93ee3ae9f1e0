"""What every test may ask for: a real Postgres, a fresh database on it, a browser.

What only the controller needs is imported where it is used: tests/compat runs in environments without it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import uuid
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, settings

if TYPE_CHECKING:
    import sqlalchemy

# The tests make their own servers and secrets. Whatever the shell that started them points at (a database, a
# controller, an AWS account) must be neither needed nor touched.
TEST_DATABASE_URL = os.environ.get("CROSSFADE_TEST_DATABASE_URL")
for name in [name for name in os.environ if name.startswith(("CROSSFADE_", "AWS_", "PG"))]:
    del os.environ[name]
os.environ.pop("DATABASE_URL", None)
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull

# For mutation testing (CONTRIBUTING.md): a failure counts, not its smallest example, and is the same each time.
settings.register_profile(
    "mutants",
    phases=[Phase.explicit, Phase.generate],
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def ran() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """`asyncio.run` in a thread of its own: in this one a browser's event loop may run already."""

    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, coroutine).result()

    return run


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The SQLAlchemy URL of a Postgres for the whole session: embedded, or CROSSFADE_TEST_DATABASE_URL."""
    if TEST_DATABASE_URL:
        yield TEST_DATABASE_URL
    else:
        from crossfade.server.postgres import scratch_postgres

        with scratch_postgres() as url:
            yield url


@pytest.fixture(scope="session")
def migrated_template(postgres_url: str) -> Iterator[str]:
    """The name of a database with all migrations applied, to copy from."""
    from crossfade.server.migrate import upgrade

    with _database(postgres_url, "crossfade_template") as (name, url):
        upgrade(url)
        yield name


@pytest.fixture
def database_url(postgres_url: str, migrated_template: str) -> Iterator[str]:
    """The SQLAlchemy URL of a migrated database that only this test uses; copied, which takes 50 ms."""
    with _database(postgres_url, "crossfade_test", template=migrated_template) as (_, url):
        yield url


@pytest.fixture
def empty_database_url(postgres_url: str) -> Iterator[str]:
    """The SQLAlchemy URL of a database that only this test uses, without any table."""
    with _database(postgres_url, "crossfade_empty") as (_, url):
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[sqlalchemy.Engine]:
    """An engine on `database_url`."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The browser for page tests: `playwright.chromium.launch(executable_path=chromium)`."""
    for command in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if on_path := shutil.which(command):
            return Path(on_path)
    if own := _playwrights_own():
        return own
    reason = (
        "no browser: neither chromium nor google-chrome on PATH, nor playwright's own (playwright install chromium)"
    )
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _playwrights_own() -> Path | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
    return own if own.exists() else None


@contextmanager
def _database(server: str, prefix: str, template: str = "template0") -> Iterator[tuple[str, str]]:
    """A new database copied from `template`, dropped at the end whoever is still connected: (name, URL)."""
    import psycopg
    import sqlalchemy
    from psycopg import sql

    name = f"{prefix}_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.replace("+psycopg:", ":", 1), autocommit=True) as connection:
        # Copying files beats copying through the log once the template has tables.
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
    url = sqlalchemy.make_url(server).set(database=name).render_as_string(hide_password=False)
    try:
        yield name, url
    finally:
        with psycopg.connect(server.replace("+psycopg:", ":", 1), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
