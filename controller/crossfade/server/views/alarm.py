"""Alarm: a route's attempts that failed in a way Crossfade does not know, where they are more than its policy allows."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection

from crossfade.core.sentence import percent
from crossfade.server.store import observations, rollouts
from crossfade.server.store.declared import StoredRoute

LATELY = timedelta(minutes=10)
"""As far as a shim's own alarm looks back."""


def alarm(connection: Connection, stored: StoredRoute, now: datetime) -> str:
    """What an operator should know of the last ten minutes' attempts, of all services; empty where nothing is."""
    since = now - LATELY
    ids = rollouts.ids_since(connection, stored.id, since)
    place = {"rollouts": ids, "route": stored.id, "since": since.timestamp()}
    unknown = observations.unknown_attempts(connection, **place)
    if not unknown:
        return ""
    attempts = observations.attempts(connection, **place)
    allowed = stored.route.policy.unknown_share
    if unknown <= allowed * attempts:
        return ""
    return (
        f"{unknown:,} of the {attempts:,} attempts of {stored.route.name} in the last ten minutes"
        f" ({percent(unknown / attempts)}) failed in a way that Crossfade does not know; its policy's unknown_share"
        f" is {percent(allowed)}. They count against neither Model. The services' logs say with what (action"
        " unknown_outcomes)."
    )
