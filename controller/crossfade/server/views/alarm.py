"""Alarm: attempts of a route that failed in a way Crossfade does not know, where its policy allows fewer."""

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
    ids, since = rollouts.ids_since(connection, stored.id, now - LATELY), (now - LATELY).timestamp()
    unknown = observations.unknown_attempts(connection, rollouts=ids, route=stored.id, since=since)
    if not unknown:
        return ""
    attempts = observations.attempts(connection, rollouts=ids, route=stored.id, since=since)
    allowed = stored.route.policy.unknown_share
    if unknown <= allowed * attempts:
        return ""
    return (
        f"{unknown:,} of the {attempts:,} attempts of {stored.route.name} in the last ten minutes"
        f" ({percent(unknown / attempts)}) failed in a way that Crossfade does not know; its policy's unknown_share"
        f" is {percent(allowed)}. They count against neither Model. The services' logs say with what (action"
        " unknown_outcomes)."
    )
