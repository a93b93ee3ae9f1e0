"""Snapshots: the version that every change of weights, routes or Models raises."""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from crossfade.server.store.schema import snapshot_state


def state(connection: Connection) -> tuple[int, int]:
    """(version, bucket seconds)."""
    row = connection.execute(select(snapshot_state.c.version, snapshot_state.c.bucket_seconds)).one()
    return row.version, row.bucket_seconds


def bump(connection: Connection) -> None:
    """Raises the version. Comes last in a transaction: every change queues for this one row."""
    connection.execute(update(snapshot_state).values(version=snapshot_state.c.version + 1))


def set_bucket_seconds(connection: Connection, seconds: int) -> int:
    """Sets the length of a bucket, and raises the version if it is another than before. Returns what it was."""
    before = connection.execute(select(snapshot_state.c.bucket_seconds).with_for_update()).scalar_one()
    if before != seconds:
        connection.execute(update(snapshot_state).values(bucket_seconds=seconds, version=snapshot_state.c.version + 1))
    return int(before)
