"""Health: is the machinery running, and are the shims?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class ShimView:
    """A service process as last heard of. `dropped` counts observations it had to drop."""

    id: str
    service: str
    version: str
    snapshot_version: int
    snapshot_age: float
    dropped: int
    last_seen: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerView:
    """A scheduler process as last heard of."""

    name: str
    last_tick: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """`status` is ok, or degraded without a tick for half a minute; `lag` is the seconds since the newest batch."""

    status: str
    database: str
    version: str
    snapshot_version: int
    last_tick: datetime | None
    lag: float | None
    overdue: int
    """Rollouts whose evaluation is more than a minute late."""
    shims: tuple[ShimView, ...]
    schedulers: tuple[SchedulerView, ...]

    def to_dict(self) -> dict[str, Any]:
        raise NotImplementedError


def health(engine: Engine, *, now: datetime) -> Health:
    """Raises `Unavailable` while Postgres is away. Shims unheard of for a day are left out."""
    raise NotImplementedError
