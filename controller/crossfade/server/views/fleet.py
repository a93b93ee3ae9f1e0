"""Fleet: one row a route."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row

from crossfade.core.phase import Phase
from crossfade.server.database import begin
from crossfade.server.store import declared, observations, rollouts
from crossfade.server.store.rollouts import Stored
from crossfade.server.traffic import traffics
from crossfade.server.views.alarm import alarms


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRow:
    """A route, and its live rollout or the last one that ended (all rollout fields None without any).

    `weight` and `observed_weight` are percent of the live rollout's step under way; `traffic` is the route's calls a
    second over the last five minutes; `verdict` the worst ruling; `needs_person` that it waits for somebody.
    """

    route: str
    blue: str
    traffic: float
    rollout: int | None = None
    live: bool = False
    green: str | None = None
    phase: str | None = None
    step: int | None = None
    steps: int | None = None
    weight: float | None = None
    observed_weight: float | None = None
    shadow: float = 0.0
    """Of how many percent of the calls green gets copies, at a shadow step."""
    verdict: str | None = None
    reason: str | None = None
    sentence: str | None = None
    green_calls: int | None = None
    green_copies: int = 0
    """Of calls at a shadow step, which are not among `green_calls`."""
    left_seconds: float | None = None
    """Of the step's bake time."""
    needs_person: bool = False
    alarm: str = ""
    """What is wrong with the route's calls of late, see `views.alarm`."""
    since: datetime | None = None
    """When the rollout's phase or step began."""


def fleet(engine: Engine, *, now: datetime) -> list[FleetRow]:
    """Every route, those that need a person first, then live ones, then by name."""
    with begin(engine, snapshot=True) as connection:
        routes = declared.all_routes(connection).values()
        latest = rollouts.latest_per_route(connection)
        shown = [latest[route.id] for route in routes if route.id in latest]
        places = [(stored.rollout.id, stored.route_id) for stored in shown]
        steps = [stored.rollout.step for stored in shown]
        counted = observations.standing(connection, places, steps=steps)
        traffic = traffics(connection, [*((0, route.id) for route in routes), *places], now)
        wrong = alarms(connection, routes, now)
    rows = []
    for route in routes:
        row = FleetRow(
            route=route.route.name,
            blue=route.route.blue,
            traffic=traffic.get(route.id, 0.0),
            alarm=wrong.get(route.id, ""),
        )
        stored = latest.get(route.id)
        rows.append(row if stored is None else _with_rollout(row, stored, counted[stored.rollout.id], now))
    return sorted(rows, key=lambda row: (not row.needs_person, not row.live, row.route))


def needs_person(stored: Stored) -> bool:
    """Paused, or an open gate that a person opens."""
    return stored.rollout.phase is Phase.PAUSED or (stored.rollout.is_live and stored.reason == "approval")


def bake_left(stored: Stored, now: datetime) -> float | None:
    """Seconds of the step's bake time still to come; None unless it runs."""
    rollout = stored.rollout
    if rollout.step_started_at is None or rollout.phase not in (Phase.PROGRESSING, Phase.PAUSED):
        return None
    return max(0.0, rollout.plan.steps[rollout.step].bake - (now - rollout.step_started_at).total_seconds())


def _with_rollout(row: FleetRow, stored: Stored, counted: Row[Any], now: datetime) -> FleetRow:
    rollout, calls = stored.rollout, counted.calls
    observed = 100 * counted.green / calls if calls and rollout.is_live and not rollout.shadow else None
    return replace(
        row,
        rollout=rollout.id,
        live=rollout.is_live,
        green=rollout.green,
        phase=str(rollout.phase),
        step=rollout.step,
        steps=len(rollout.plan.steps),
        weight=rollout.weight,
        observed_weight=observed,
        shadow=rollout.shadow,
        verdict=stored.worst,
        reason=stored.reason,
        sentence=stored.sentence,
        green_calls=counted.green_calls,
        green_copies=counted.green_copies,
        left_seconds=bake_left(stored, now),
        needs_person=needs_person(stored),
        since=rollout.ended_at or rollout.step_started_at or rollout.created_at,
    )
