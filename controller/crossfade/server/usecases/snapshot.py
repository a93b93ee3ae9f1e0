"""Snapshot: what the shims need, read whole at one version."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine

from crossfade.core.snapshot import Snapshot


def current_snapshot(engine: Engine, *, now: datetime, secret: str) -> Snapshot:
    """All routes and Models, consistent with `version`. `core.snapshot.snapshot_to_bytes` makes the body of it."""
    raise NotImplementedError


def current_version(engine: Engine) -> int:
    """The version alone: one row by its key, cheap enough to poll."""
    raise NotImplementedError


def configure(engine: Engine, *, bucket_seconds: int) -> None:
    """Sets how long a time bucket is, for every shim and the scheduler. A controller says it when it starts."""
    raise NotImplementedError
