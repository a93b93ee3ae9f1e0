"""Alarm: attempts of a route that failed in a way Crossfade does not know, where its policy allows fewer."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import Connection

from crossfade.core.sentence import percent
from crossfade.server.store import observations, rollouts
from crossfade.server.store.declared import StoredRoute

LATELY = timedelta(minutes=10)
"""As far as a shim's own alarm looks back."""


def alarm(connection: Connection, stored: StoredRoute, now: datetime) -> str:
    """What an operator should know of the last ten minutes' attempts, of all services; empty where nothing is."""
    places = [(rollout, stored.id) for rollout in rollouts.ids_since(connection, stored.id, now - LATELY)]
    return _said(connection, [stored], places, now).get(stored.id, "")


def alarms(connection: Connection, routes: Iterable[StoredRoute], now: datetime) -> dict[int, str]:
    """The same of all these routes, by their number; those where something is."""
    return _said(connection, routes, rollouts.places_since(connection, now - LATELY), now)


def _said(
    connection: Connection, routes: Iterable[StoredRoute], places: observations.Places, now: datetime
) -> dict[int, str]:
    since = (now - LATELY).timestamp()
    unknown = observations.unknown_attempts(connection, places, since=since)
    if not unknown:
        return {}
    attempts = observations.attempts(connection, [place for place in places if place[1] in unknown], since=since)
    return {
        stored.id: _sentence(stored, unknown[stored.id], attempts[stored.id])
        for stored in routes
        if unknown.get(stored.id, 0) > stored.route.policy.unknown_share * attempts.get(stored.id, 0)
    }


def _sentence(stored: StoredRoute, unknown: int, attempts: int) -> str:
    return (
        f"{unknown:,} of the {attempts:,} attempts of {stored.route.name} in the last ten minutes"
        f" ({percent(unknown / attempts)}) failed in a way that Crossfade does not know; its policy's unknown_share"
        f" is {percent(stored.route.policy.unknown_share)}. They count against neither Model. The services' logs say"
        " with what (action unknown_outcomes)."
    )
