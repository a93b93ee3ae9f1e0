"""Traffic: how many calls a second a route gets of late."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection

from crossfade.server.store import observations

LATELY = timedelta(minutes=5)
LEAST_SECONDS = 10.0


def traffic(connection: Connection, route_id: int, rollout_id: int, now: datetime) -> float:
    """The route's calls a second over the last five minutes, or since the first of them.

    `rollout_id` is the rollout its calls are recorded under of late, 0 for none.
    """
    since = (now - LATELY).timestamp()
    found = observations.traffic(connection, rollouts=sorted({0, rollout_id}), route=route_id, since=since)
    if not found.calls:
        return 0.0
    seconds: float = max(LEAST_SECONDS, now.timestamp() - max(since, found.first))
    return float(found.calls) / seconds
