"""Alarm: calls of a route that got no answer, and attempts that failed in a way Crossfade does not know, where its
policy allows fewer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import Connection

from crossfade.core.outcome import Outcome
from crossfade.core.sentence import percent
from crossfade.server.store import observations, rollouts
from crossfade.server.store.declared import StoredRoute

LATELY = timedelta(minutes=10)
"""As far as a shim's own alarm looks back."""
UNANSWERED_SHARE, LEAST_UNANSWERED = 0.01, 5
"""Calls without an answer are told above this share, and from so many on."""
NOT_FOR_LACK = frozenset({Outcome.OK, Outcome.REJECTED, Outcome.CREDENTIALS, Outcome.ABANDONED})
"""What tells nothing of why there was no answer."""


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
    found = observations.trouble(connection, places, since=since)
    trouble = {route: each for route, each in found.items() if each.unknown or _too_many(each.unanswered, each.calls)}
    if not trouble:
        return {}
    attempts = observations.attempts(connection, [place for place in places if place[1] in trouble], since=since)
    said = {}
    for stored in routes:
        if stored.id in trouble:
            each, (ended, copied) = trouble[stored.id], attempts.get(stored.id, ({}, 0))
            sentences = (
                _unanswered(each.unanswered, each.calls, ended),
                _unknown(stored, each.unknown, sum(ended.values()) + copied),
            )
            said[stored.id] = " ".join(filter(None, sentences))
    return {route: sentence for route, sentence in said.items() if sentence}


def _too_many(unanswered: int, calls: int) -> bool:
    return unanswered >= LEAST_UNANSWERED and unanswered > UNANSWERED_SHARE * calls


def _unanswered(unanswered: int, calls: int, attempts: Mapping[str, int]) -> str:
    if not _too_many(unanswered, calls):
        return ""
    said = (
        f"{unanswered:,} of {calls:,} calls ({percent(unanswered / calls, 1)}) in the last ten minutes got the busy"
        " answer or an error"
    )
    failed = {outcome: n for outcome, n in attempts.items() if outcome not in NOT_FOR_LACK}
    if not failed:
        return f"{said}; no attempt failed."
    outcome = max(sorted(failed), key=failed.__getitem__)
    return (
        f"{said}; of {sum(failed.values()):,} failed attempts {failed[outcome]:,} ended as {outcome.replace('_', ' ')}."
    )


def _unknown(stored: StoredRoute, unknown: int, attempts: int) -> str:
    if unknown <= stored.route.policy.unknown_share * attempts:
        return ""
    return (
        f"{unknown:,} of the {attempts:,} attempts of {stored.route.name} in the last ten minutes"
        f" ({percent(unknown / attempts)}) failed in a way that Crossfade does not know; its policy's unknown_share"
        f" is {percent(stored.route.policy.unknown_share)}. They count against neither Model. The services' logs say"
        " with what (action unknown_outcomes)."
    )
