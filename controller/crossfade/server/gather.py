"""Gather: a rollout's sealed evidence and its circumstances, out of the store. Reads only.

A bucket is sealed for a check `maturity` seconds after its end. What was received later does not count, so the
evidence of any past moment is a function of the stored rows alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row

from crossfade.core.decision import Conditions
from crossfade.core.evidence import EMPTY, Bucket, Series, Summary
from crossfade.core.outcome import Outcome
from crossfade.core.plan import Check, Plan
from crossfade.core.sealing import last_sealed
from crossfade.core.split import Variant
from crossfade.server.store import declared, journal, observations, rollouts, scores, snapshots
from crossfade.server.store.rollouts import Stored
from crossfade.server.traffic import traffic

HISTORY = timedelta(days=1)
"""How far back before the rollout blue's own rate is read; it starts the base rate and is never evidence."""
THROTTLED_LATELY = timedelta(minutes=1)
MISCONFIGURED_LATELY = timedelta(minutes=5)


def gather(connection: Connection, stored: Stored, now: datetime) -> tuple[tuple[Series, ...], Conditions]:
    """One Series for each check of the plan, in its order, and what decide must know besides."""
    return evidence(connection, stored, stored.rollout.plan, now), _conditions(connection, stored, now)


def evidence(connection: Connection, stored: Stored, plan: Plan, now: datetime) -> tuple[Series, ...]:
    """One Series for each check of `plan`, in its order: what was sealed by `now`, which may be any past moment."""
    _, length = snapshots.state(connection)
    before = _before(connection, stored)
    return tuple(_series(connection, stored, check, before, length, now) for check in plan.checks)


def _before(connection: Connection, stored: Stored) -> dict[str, Any]:
    """Where blue's history lies. Of this blue only: what the Model before it did says nothing of it."""
    started = _started(stored)
    since = history_since(connection, stored)
    return {
        "rollouts": rollouts.ids_since(connection, stored.route_id, since),
        "route": stored.route_id,
        "since": since.timestamp(),
        "until": started.timestamp(),
    }


def history_since(connection: Connection, stored: Stored) -> datetime:
    """When blue's history before the rollout begins: the day before, or when this blue began to serve."""
    started = _started(stored)
    route = declared.route_by_id(connection, stored.route_id)
    since = route.blue_since
    if since > started:  # it has been replaced since
        since = journal.blue_changed(connection, stored.route_id, route.route.name, by=started) or started
    return max(started - HISTORY, since)


def _started(stored: Stored) -> datetime:
    return stored.rollout.started_at or stored.rollout.created_at


def _series(
    connection: Connection, stored: Stored, check: Check, before: dict[str, Any], length: int, now: datetime
) -> Series:
    seal = length + check.maturity
    place: dict[str, Any] = {"rollout": stored.rollout.id, "route": stored.route_id}
    place["after"] = int(_started(stored).timestamp()) // length * length - length
    place["sealed"] = last_sealed(now.timestamp(), length=length, maturity=check.maturity)
    if check.is_score:
        metric = check.score_name
        sums = scores.loss_sums(connection, **place, metric=metric, length=length, seal=seal)
        history = scores.blue_losses(connection, metric=metric, **before)
    else:
        sums = observations.error_sums(connection, **place, seal=seal)
        history = observations.blue_errors(connection, **before)
    return Series(check.metric, _buckets(sums, whole=not check.is_score), history)


def _buckets(rows: Iterable[Row[Any]], *, whole: bool) -> tuple[Bucket, ...]:
    """The rows of both variants side by side, in the order of (bucket, step)."""
    found: dict[tuple[int, int], dict[Variant, Summary]] = {}
    for row in rows:
        summary = Summary(int(row.n), float(row.s), float(row.s if whole else row.q))
        found.setdefault((row.bucket, row.step), {})[Variant(row.variant)] = summary
    return tuple(
        Bucket(start, step, blue=sums.get(Variant.BLUE, EMPTY), green=sums.get(Variant.GREEN, EMPTY))
        for (start, step), sums in sorted(found.items())
    )


def _conditions(connection: Connection, stored: Stored, now: datetime) -> Conditions:
    rollout = stored.rollout
    place = {"rollout": rollout.id, "route": stored.route_id}
    calls, green = observations.step_calls(connection, **place, step=rollout.step)
    lately, _ = observations.green_attempts(
        connection, **place, green=rollout.green, since=(now - THROTTLED_LATELY).timestamp()
    )
    since = max(now - MISCONFIGURED_LATELY, rollout.resumed_at or rollout.created_at)
    own, elsewhere = observations.green_attempts(connection, **place, green=rollout.green, since=since.timestamp())
    attempts = sum(lately.values())
    return Conditions(
        calls=calls,
        green_calls=green,
        traffic=traffic(connection, stored.route_id, rollout.id, now),
        throttled=(_of(lately, Outcome.THROTTLED, Outcome.QUOTA) / attempts) if attempts else 0.0,
        misconfigured=_of(own, Outcome.MISCONFIGURED, Outcome.DENIED),
        # A call that another Model answered brought one attempt that was not green's.
        attempts=max(0, sum(own.values()) - elsewhere),
    )


def _of(counts: dict[str, int], *outcomes: Outcome) -> int:
    return sum(counts.get(outcome, 0) for outcome in outcomes)
