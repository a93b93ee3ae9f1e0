"""Heartbeats: when each scheduler last ticked."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, select
from sqlalchemy.dialects.postgresql import insert

from crossfade.server.store.schema import heartbeats


def beat(connection: Connection, name: str, now: datetime) -> None:
    query = insert(heartbeats).values(name=name, at=now)
    connection.execute(query.on_conflict_do_update(index_elements=["name"], set_={"at": now}))


def listed(connection: Connection) -> list[Row[Any]]:
    """The latest first."""
    return list(connection.execute(select(heartbeats).order_by(heartbeats.c.at.desc())))


def forget(connection: Connection, before: datetime) -> None:
    connection.execute(delete(heartbeats).where(heartbeats.c.at < before))
