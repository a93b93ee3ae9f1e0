"""Health: is the machinery running, and are the shims?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from crossfade import __version__
from crossfade.server.database import begin
from crossfade.server.store import heartbeats, rollouts, shims, snapshots
from crossfade.server.views.plain import plain_object

STALE = timedelta(seconds=30)
LATE = timedelta(minutes=1)
REMEMBERED = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShimView:
    """A service process as last heard of.

    `dropped` counts calls whose observations it had to drop, `refused` those that came in rows of another time: older
    than what is kept, or more than a minute ahead.
    """

    id: str
    service: str
    version: str
    snapshot_version: int
    snapshot_age: float
    dropped: int
    refused: int
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
        return plain_object(self)


def health(engine: Engine, *, now: datetime) -> Health:
    """Raises `Unavailable` while Postgres is away. Shims unheard of for a day are left out."""
    with begin(engine, snapshot=True) as connection:
        beats = heartbeats.listed(connection)
        heard = shims.heard_since(connection, now - REMEMBERED)
        newest = shims.newest_batch(connection)
        version, _ = snapshots.state(connection)
        due = [stored.next_evaluation for stored in rollouts.all_live(connection) if stored.next_evaluation]
    last_tick = beats[0].at if beats else None
    return Health(
        status="ok" if last_tick and now - last_tick < STALE else "degraded",
        database="ok",
        version=__version__,
        snapshot_version=version,
        last_tick=last_tick,
        lag=(now - newest).total_seconds() if newest else None,
        overdue=sum(at < now - LATE for at in due),
        shims=tuple(
            ShimView(
                id=str(row.id),
                service=row.service,
                version=row.version,
                snapshot_version=row.snapshot_version,
                snapshot_age=row.snapshot_age,
                dropped=row.dropped,
                refused=row.refused,
                last_seen=row.last_seen,
            )
            for row in heard
        ),
        schedulers=tuple(SchedulerView(name=row.name, last_tick=row.at) for row in beats),
    )
