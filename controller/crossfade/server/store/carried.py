"""Carried: each check's evidence as the last tick left it. Only a saving of work: it can be computed anew any time."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, select
from sqlalchemy.dialects.postgresql import insert

from crossfade.server.store.schema import carried


def found(connection: Connection, rollout_id: int) -> dict[str, Row[Any]]:
    """What is kept of a rollout, by metric."""
    rows = connection.execute(select(carried).where(carried.c.rollout_id == rollout_id))
    return {row.metric: row for row in rows}


def one(connection: Connection, rollout_id: int, metric: str) -> Row[Any] | None:
    """What is kept of one metric."""
    query = select(carried).where(carried.c.rollout_id == rollout_id, carried.c.metric == metric)
    return connection.execute(query).one_or_none()


def put(
    connection: Connection, *, rollout_id: int, metric: str, fingerprint: str, sealed: int, document: dict[str, Any]
) -> None:
    """In the place of what was there."""
    values = {"fingerprint": fingerprint, "sealed": sealed, "document": document}
    query = insert(carried).values(rollout_id=rollout_id, metric=metric, **values)
    connection.execute(query.on_conflict_do_update(index_elements=["rollout_id", "metric"], set_=values))
