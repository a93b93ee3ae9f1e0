"""Staleness: whether what a page shows is still being kept up, and what to say if not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from crossfade.core.sentence import duration
from crossfade.server.views.health import Health

TICK_SECONDS = 30.0
DATA_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Staleness:
    """What is old. `since` is when it was last fresh, None if it never was."""

    words: str
    since: datetime | None


def staleness(health: Health, now: datetime, live: bool) -> Staleness | None:
    """The gravest thing that is old, or None. Old data matter only while something is rolling out (`live`) that
    has any."""
    if health.last_tick is None:
        return Staleness(
            words="The scheduler has not run yet, so no decision is being made. Start one: crossfade scheduler.",
            since=None,
        )
    age = (now - health.last_tick).total_seconds()
    if age > TICK_SECONDS:
        return Staleness(
            words="The scheduler has stopped: no decision is being made, weights stay as they are.",
            since=health.last_tick,
        )
    if live and health.lag is not None and health.lag > DATA_SECONDS:
        return Staleness(
            words=f"No service has sent observations for {duration(health.lag)}: the evidence below is that old.",
            since=None,
        )
    return None
