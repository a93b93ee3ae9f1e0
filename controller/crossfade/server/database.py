"""Database: the connection to Postgres, and the one place that says it is away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine


def connect(url: str) -> Engine:
    """An engine for `url` (postgres://, postgresql://); connects only when used. Raises `SetupError` for a bad URL."""
    raise NotImplementedError


def probe(engine: Engine) -> None:
    """Connects once. Raises `SetupError`, in one line, if it cannot, or if Postgres is too old or not migrated."""
    raise NotImplementedError


@contextmanager
def begin(engine: Engine) -> Iterator[Connection]:
    """A transaction; raises `Unavailable` when Postgres cannot be reached or goes away in it."""
    raise NotImplementedError
    yield
