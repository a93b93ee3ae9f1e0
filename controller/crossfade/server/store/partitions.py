"""Partitions: one a day for every table that grows with traffic; dropped whole when past retention."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from crossfade.server.store.schema import DAILY, metadata

DAY = 86_400
NAME = re.compile(rf"({'|'.join(DAILY)})_(\d{{8}})")
_LOCK = 0x63726F74  # one maker at a time: two would both find a partition missing


def day_of(seconds: float) -> date:
    """The day, in UTC, of a time in seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC).date()


def create(connection: Connection, days: Iterable[date]) -> list[str]:
    """Makes the partitions of these days that are missing; returns their names."""
    wanted = {f"{table}_{day:%Y%m%d}": (table, day) for table in DAILY for day in set(days)}
    if wanted.keys() <= existing(connection):
        return []
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    missing = sorted(wanted.keys() - existing(connection))
    for name in missing:
        table, day = wanted[name]
        lower, upper = _bound(table, day), _bound(table, day + timedelta(days=1))
        # Made apart and then attached: that locks out neither readers nor writers of the other days.
        connection.execute(text(f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"))
        connection.execute(text(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({lower}) TO ({upper})"))
    return missing


def drop(connection: Connection, before: date) -> list[str]:
    """Drops the partitions of the days before; gives up, to try again later, when readers hold one for long."""
    connection.execute(text("SET LOCAL lock_timeout = '5s'"))
    old = sorted(
        name for name in existing(connection) if (match := NAME.fullmatch(name)) and _day(match.group(2)) < before
    )
    for name in old:
        connection.execute(text(f"DROP TABLE {name}"))
    return old


def existing(connection: Connection) -> set[str]:
    """The names of all partitions."""
    rows = connection.execute(
        text(
            "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid"
            " JOIN pg_class parent ON parent.oid = inhparent"
            " WHERE parent.relname = ANY(:tables) AND child.relispartition AND child.relkind = 'r'"
        ),
        {"tables": list(DAILY)},
    )
    return {row.relname for row in rows}


def days(connection: Connection) -> set[date]:
    """The days of which there are partitions."""
    return {_day(match.group(2)) for name in existing(connection) if (match := NAME.fullmatch(name))}


def is_missing(error: BaseException) -> bool:
    """Whether a row found no partition to go to."""
    cause = error.orig if isinstance(error, IntegrityError) else error
    return isinstance(cause, psycopg.errors.CheckViolation) and "no partition of relation" in str(cause)


def _bound(table: str, day: date) -> str:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    if metadata.tables[table].c[DAILY[table]].type.python_type is datetime:
        return f"'{start.isoformat()}'"
    return str(int(start.timestamp()))


def _day(digits: str) -> date:
    return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
