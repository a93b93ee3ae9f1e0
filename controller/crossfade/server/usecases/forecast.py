"""Forecast: what to expect of a plan on a route, at its real traffic and blue's real rates. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine

from crossfade.core.evidence import EMPTY, Summary
from crossfade.core.metric import ERROR_RATE
from crossfade.core.plan import Check, Plan, read_plan
from crossfade.core.reading import Reader
from crossfade.core.route import Route
from crossfade.core.sealing import SETTLED
from crossfade.server.database import begin
from crossfade.server.limits import fix_limits, refuse_unpriced
from crossfade.server.recorded import BUCKETS, read_recording
from crossfade.server.store import declared, observations, rollouts, snapshots
from crossfade.server.store.declared import StoredRoute
from crossfade.server.store.losses import history, past, scores_of
from crossfade.simulation.base import like, read_base
from crossfade.simulation.calibrate import measure, needed_seconds, started_with
from crossfade.simulation.forecast import Forecast
from crossfade.simulation.planner import MOST_TRAFFIC, plan_ahead
from crossfade.simulation.recording import Recording

WINDOW = timedelta(hours=1)
"""Traffic is the mean over it."""
LEAST_BUCKETS = 2
AMPLE = 2.0
"""So many times what nine of ten rollouts take is read of blue's past."""
QUICK_BUCKETS = 200
REPORTED = 30.0
"""Seconds within which a call that has ended is surely recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a route: `traffic` in calls a second over the last hour, and for each metric of a plan blue's
    `history` (of this blue, of the last day) and the share of calls that get a value. `scores` names those that blue's
    calls carry, where the plan asks for one that none does.
    """

    traffic: float
    history: Mapping[str, Summary]
    scored: Mapping[str, float]
    bucket_seconds: float
    scores: tuple[str, ...] = ()


def plan_route(engine: Engine, body: object, *, now: datetime) -> dict[str, Any]:
    """The whole forecast for {"route", "plan", "traffic", "base"}; the last two stand in for what was recorded.

    `traffic` is in calls a second; `base` has blue's error rate and mean scores as fractions, {"error_rate": 0.01,
    "score.accuracy": 0.93}. Raises `NotFound` for the route, `Invalid` with every problem of the body.
    """
    reader = Reader(body)
    route = reader.text("route")
    part = reader.section("plan")
    plan = read_plan(part)
    traffic = (
        reader.number("traffic", least=0, most=MOST_TRAFFIC, unit="calls a second") if reader.has("traffic") else None
    )
    reader.raw("traffic")
    base = read_base(reader.section("base"), plan.checks)
    reader.close()
    reader.check()
    with begin(engine, snapshot=True) as connection:
        stored = declared.find_route(connection, route)
        plan = fix_limits(connection, part, plan, stored.id, now)
        refuse_unpriced(part, enumerate(plan.checks), [declared.all_models(connection)[stored.route.blue]])
        reader.check()
        known = read_known(connection, stored, plan, now)
        recording = recorded_of(connection, stored, plan, known, now)
    plan = started_with(plan, measure(plan, recording), given_by_hand(body))
    if traffic is not None:
        known = replace(known, traffic=traffic)
    given = {metric: like(loss, known.history.get(metric, EMPTY)) for metric, loss in base.items()}
    known = replace(known, history={**known.history, **given})
    found = forecast(plan, known)
    warnings = filter(None, (unscored(plan, known), unjudged(plan, stored.route)))
    found = replace(found, sentences=(*found.sentences, *warnings))
    return {"route": route, "forecast": found.to_dict()}


def unjudged(plan: Plan, route: Route) -> str:
    """That calls may hang for longer than a check waits for them, in a sentence; empty where none may."""
    policy = route.policy
    name = "stream_deadline" if policy.stream_deadline > policy.deadline else "deadline"
    longest = getattr(policy, name)
    short = [check for check in plan.checks if not check.is_score and check.maturity < longest]
    if not short:
        return ""
    waits = " and ".join(f"{check.said} ({check.maturity:g} s)" for check in short)
    return (
        f"A call of {route.name} may take {longest:g} s (its {name}), which is longer than the maturity of {waits}:"
        f" calls that hang beyond that are never judged. Give a maturity of {longest + REPORTED:g} s, or the route"
        " shorter deadlines."
    )


def unscored(plan: Plan, known: Known) -> str:
    """That blue's calls carry other scores than the plan asks for, perhaps misspelt, in a sentence; else empty."""
    lacking = [check.score_name for check in plan.checks if check.is_score and not known.history[check.metric].n]
    if not lacking or not known.scores:
        return ""
    asked, there = " or ".join(map(repr, lacking)), " and ".join(map(repr, known.scores))
    return f"No call of blue's carries a score {asked}; the scores that there are: {there}. Is the name misspelt?"


def forecast(plan: Plan, known: Known, *, quick: bool = False) -> Forecast:
    """Of the plan under what is known; `quick`, without the chances to catch a worse green, in milliseconds."""
    return plan_ahead(
        plan,
        known.history,
        traffic=known.traffic,
        scored=known.scored,
        bucket_seconds=known.bucket_seconds,
        settled=SETTLED,
        quick=quick,
    )


def forecast_typed(engine: Engine, route: str, plan: Plan, now: datetime, *, quick: bool) -> Forecast | None:
    """Of a plan that is being typed; None while blue has no calls to take a limit from. Raises `NotFound`."""
    reader = Reader({}, "plan")
    with begin(engine, snapshot=True) as connection:
        stored = declared.find_route(connection, route)
        plan = fix_limits(connection, reader, plan, stored.id, now)
        if reader.problems:
            return None
        known = read_known(connection, stored, plan, now)
        recording = recorded_of(connection, stored, plan, known, now, buckets=QUICK_BUCKETS if quick else BUCKETS)
    # What was typed cannot be told from what was not: 1 is the form's way of leaving it to the route's own traffic.
    given = {check.metric for check in plan.checks if check.overdispersion > 1}
    return forecast(started_with(plan, measure(plan, recording), given), known, quick=quick)


def expect(plan: Plan, known: Known, route: Route) -> dict[str, Any]:
    """{"traffic", "text", "steps": [{"weight", "green_calls_per_hour", "least_seconds"}], "forecast"}: what registering
    replies; the forecast is a quick one."""
    found = forecast(plan, known, quick=True)
    steps = [
        {
            "weight": step.weight,
            "green_calls_per_hour": round(known.traffic * 3600 * (step.shadow or step.weight) / 100),
            "least_seconds": step.least_seconds,
        }
        for step in found.steps
    ]
    return {
        "traffic": known.traffic,
        "text": " ".join(filter(None, [*found.sentences, unscored(plan, known), unjudged(plan, route)])),
        "steps": steps,
        "forecast": found.to_dict(),
    }


def read_known(connection: Connection, stored: StoredRoute, plan: Plan, now: datetime) -> Known:
    """What the store knows of a route, as far as this plan needs it."""
    _, length = snapshots.state(connection)
    before = past(connection, stored.id, now)
    found = {check.metric: history(connection, check, before) for check in plan.checks}
    missing = any(check.is_score and not found[check.metric].n for check in plan.checks)
    calls = history(connection, Check(metric=ERROR_RATE, margin=1.0), before).n
    scored = {
        metric: min(1.0, sums.n / calls) for metric, sums in found.items() if metric != ERROR_RATE and calls and sums.n
    }
    return Known(
        traffic=_traffic(connection, stored, length, now),
        history=found,
        scored=scored,
        bucket_seconds=length,
        scores=tuple(scores_of(connection, before)) if missing else (),
    )


def recorded_of(
    connection: Connection, stored: StoredRoute, plan: Plan, known: Known, now: datetime, *, buckets: int = BUCKETS
) -> Recording:
    """Blue's calls as far back as replays of the plan take, under what is known of it."""
    length = int(known.bucket_seconds)
    needed = needed_seconds(plan, known.history, traffic=known.traffic, bucket_seconds=length)
    return read_recording(connection, stored.id, plan, now, length=length, seconds=AMPLE * needed, buckets=buckets)


def given_by_hand(body: object) -> set[str]:
    """The metrics of the checks in {"plan": {"checks": [..]}} that say what they start with. `body` has been read."""
    plan = body.get("plan") if isinstance(body, Mapping) else None
    checks = plan.get("checks") if isinstance(plan, Mapping) else None
    return {check["metric"] for check in checks or () if check.get("overdispersion") is not None}


def _traffic(connection: Connection, stored: StoredRoute, length: int, now: datetime) -> float:
    """Calls a second over the last hour, or since the first of them; not of the first bucket, which began in the midst
    of it, nor of those that may still be arriving, as long as others are left."""
    since = now - WINDOW
    found = observations.calls_by_bucket(
        connection, rollouts=rollouts.ids_since(connection, stored.id, since), route=stored.id, since=since.timestamp()
    )
    if not found:
        return 0.0
    begin_at, end = min(found) + length, (now.timestamp() // length - 1) * length
    if end - begin_at < LEAST_BUCKETS * length:
        return sum(found.values()) / max(float(length), now.timestamp() - min(found))
    return sum(calls for bucket, calls in found.items() if begin_at <= bucket < end) / (end - begin_at)
