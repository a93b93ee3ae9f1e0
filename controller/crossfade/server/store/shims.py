"""Shims: what is last known of each, and which batches of it were counted."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from crossfade.core.observation import Batch
from crossfade.server.store.schema import batches, shims


def count_batch(connection: Connection, batch: Batch, now: datetime) -> bool:
    """Notes (shim, sequence); False if it was noted before. Waits for another transaction that is noting it."""
    result = connection.execute(
        insert(batches)
        .values(shim_id=batch.shim, sequence=batch.sequence, received_at=now)
        .on_conflict_do_nothing()
        .returning(batches.c.sequence)
    )
    return result.one_or_none() is not None


def seen(connection: Connection, batch: Batch, now: datetime) -> None:
    values = {
        "service": batch.service,
        "version": batch.shim_version,
        "snapshot_version": batch.snapshot_version,
        "snapshot_age": batch.snapshot_age,
        "dropped": batch.dropped,
        "last_seen": now,
    }
    query = insert(shims).values(id=batch.shim, refused=batch.refused, **values)
    beside = {"refused": shims.c.refused + batch.refused}
    connection.execute(query.on_conflict_do_update(index_elements=["id"], set_=values | beside))


def heard_since(connection: Connection, since: datetime) -> list[Row[Any]]:
    """By service, then most recently heard of."""
    query = select(shims).where(shims.c.last_seen >= since).order_by(shims.c.service, shims.c.last_seen.desc())
    return list(connection.execute(query))


def newest_batch(connection: Connection) -> datetime | None:
    newest: datetime | None = connection.execute(select(func.max(batches.c.received_at))).scalar_one()
    return newest


def forget(connection: Connection, before: datetime) -> None:
    """Drops what is older: a batch that old would be refused for its buckets."""
    connection.execute(delete(batches).where(batches.c.received_at < before))
    connection.execute(delete(shims).where(shims.c.last_seen < before))
