"""Database: the connection to Postgres, and the one place that says it is away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import psycopg
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DataError, IntegrityError, InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from crossfade.errors import Conflict, Invalid, Problem, SetupError, Unavailable

OLDEST_MAJOR = 15
_SCHEMES = ("postgresql+psycopg://", "postgresql://", "postgres://")


def driver_url(url: str) -> str:
    """`url` as SQLAlchemy wants it, for psycopg 3; raises `SetupError` if it is not one of Postgres."""
    for scheme in _SCHEMES:
        if url.startswith(scheme):
            return "postgresql+psycopg://" + url.removeprefix(scheme)
    raise SetupError(
        "DATABASE_URL is not a Postgres address: it must look like postgresql://USER:PASSWORD@HOST:5432/DATABASE"
        if url
        else "DATABASE_URL is not set: give the address of a Postgres 15 or newer"
    )


def connect(url: str, *, pool_size: int = 10) -> Engine:
    """An engine for `url` (postgres://, postgresql://); connects only when used. Raises `SetupError` for a bad URL."""
    try:
        parsed = make_url(driver_url(url))
    except (ArgumentError, ValueError):
        raise SetupError(
            "DATABASE_URL cannot be read: it must look like postgresql://USER:PASSWORD@HOST:5432/DATABASE"
        ) from None
    return create_engine(
        parsed,
        pool_size=pool_size,
        max_overflow=10,
        pool_timeout=10,
        pool_pre_ping=True,
        pool_recycle=1800,
        connect_args={"connect_timeout": 5, "application_name": "crossfade", "options": "-c timezone=UTC"},
    )


def probe(engine: Engine) -> None:
    """Connects once. Raises `SetupError`, in one line, if it cannot, or if Postgres is too old or not migrated."""
    where = engine.url.render_as_string(hide_password=True)
    try:
        with engine.connect() as connection:
            version = int(connection.execute(text("SHOW server_version_num")).scalar_one())
            migrated = connection.execute(text("SELECT to_regclass('snapshot_state') IS NOT NULL")).scalar_one()
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        raise SetupError(f"cannot use the database at {where}: {one_line(error)}; check DATABASE_URL") from None
    if version < OLDEST_MAJOR * 10_000:
        raise SetupError(f"the database at {where} is Postgres {version // 10_000}; {OLDEST_MAJOR} or newer is needed")
    if not migrated:
        raise SetupError(f"the database at {where} has no tables of Crossfade: run `crossfade migrate` first")


@contextmanager
def begin(engine: Engine, *, snapshot: bool = False) -> Iterator[Connection]:
    """A transaction; raises `Unavailable` when Postgres cannot be reached or goes away in it.

    With `snapshot` all its reads see one moment, and it may not write.
    """
    try:
        with engine.connect() as connection:
            if snapshot:
                connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield connection
    except (OperationalError, InterfaceError, PoolTimeout, psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise Unavailable(f"the database does not answer: {one_line(error)}") from error
    except (DataError, psycopg.DataError, UnicodeEncodeError) as error:
        raise Invalid([Problem("", f"cannot be stored: {one_line(error)}")]) from error
    except IntegrityError as error:
        if isinstance(error.orig, psycopg.errors.UniqueViolation):
            raise Conflict("somebody else has just saved the same: look again, then act") from error
        raise
    except ProgrammingError as error:
        if isinstance(error.orig, psycopg.errors.UndefinedTable):
            raise Unavailable("the database has no tables of Crossfade: run `crossfade migrate`") from error
        raise


def clock(connection: Connection) -> datetime:
    """Postgres's own time."""
    now: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return now


def one_line(error: BaseException) -> str:
    """What the driver says, without the statement and the line breaks."""
    cause = getattr(error, "orig", None) or error
    return re.sub(r"\s+", " ", str(cause)).strip().rstrip(".") or type(cause).__name__
