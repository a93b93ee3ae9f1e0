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
    places = [(rollout, route_id) for rollout in sorted({0, rollout_id})]
    return traffics(connection, places, now).get(route_id, 0.0)


def traffics(connection: Connection, places: observations.Places, now: datetime) -> dict[int, float]:
    """The same of many routes, by route; of those with any. `places` are where their calls are recorded of late."""
    since = (now - LATELY).timestamp()
    return {
        route: calls / max(LEAST_SECONDS, now.timestamp() - max(since, first))
        for route, (calls, first) in observations.traffic(connection, places, since=since).items()
    }
