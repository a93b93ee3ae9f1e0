"""Register: a candidate for a route, with its plan."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine

from crossfade.core.amount import dollars
from crossfade.core.metric import DOLLARS, metric_of
from crossfade.core.model import Model
from crossfade.core.phase import Verb
from crossfade.core.plan import Plan, read_plan
from crossfade.core.reading import Reader
from crossfade.core.rollout import Rollout
from crossfade.core.route import not_taken
from crossfade.errors import Conflict, Invalid, Problem
from crossfade.server.database import begin
from crossfade.server.limits import fix_limits, refuse_unpriced
from crossfade.server.lookup import Found, Lookup, TargetLookup, find_all
from crossfade.server.store import declared, journal, rollouts
from crossfade.server.store.declared import StoredRoute
from crossfade.server.usecases.act import do
from crossfade.server.usecases.calibrate import calibrated
from crossfade.server.usecases.forecast import expect, given_by_hand, read_known, recorded_of
from crossfade.simulation.calibration import Calibration


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """The new rollout, what to expect at today's traffic (`forecast.expect`), how equal Models would do on it, and the
    targets' lookups."""

    rollout: Rollout
    expect: dict[str, Any]
    calibration: Calibration
    lookups: tuple[Lookup, ...]

    def to_dict(self) -> dict[str, Any]:
        """All but the rollout, whose own view is `views.rollout`."""
        return {
            "expect": self.expect,
            "calibration": self.calibration.to_dict(),
            "lookups": [lookup.to_dict() for lookup in self.lookups],
        }


def register_rollout(
    engine: Engine, route: str, body: object, *, actor: str, now: datetime, lookup: TargetLookup
) -> Registered:
    """Registers `body` ({"green": Model, "plan": {..}, "start": true, "reason": ""}), and starts it if asked.

    Raises `NotFound` for the route, `Invalid` with every problem of the body (`green`, `plan.steps[1].weight`,
    `models.NAME.targets[0]` for a target that does not exist), `Conflict` naming a live rollout that is there.
    Limits that the plan leaves out are fixed from blue's history, and so is the checks' overdispersion. A calibration
    that finds the guarantees broken is told and refuses nothing: a person decides. Bedrock is asked, and blue replayed,
    outside of any transaction.
    """
    reader = Reader(body)
    green = reader.text("green")
    part = reader.section("plan")
    plan = read_plan(part)
    start = reader.flag("start", True)
    reason = reader.text("reason", "", most=2000).strip()
    reader.close()
    with begin(engine) as connection:
        stored = _free_route(connection, route)
        models = declared.all_models(connection)
        plan = fix_limits(connection, part, plan, stored.id, now)
        if not reader.problems:
            known = read_known(connection, stored, plan, now)
            recording = recorded_of(connection, stored, plan, known, now)
    _check_models(reader, part, plan, green, stored, models)
    reader.check()
    before = stored.blue_since
    lookups = find_all(lookup, models[green])
    _refuse_missing(green, lookups)
    plan, calibration = calibrated(plan, recording, given=given_by_hand(body))
    with begin(engine) as connection:
        stored = _free_route(connection, route, lock=True)
        if green not in declared.hold_models(connection, [green]) or stored.blue_since != before:
            raise Conflict(f"route {route!r} or the Model {green!r} was changed meanwhile: look again, then register")
        _check_models(reader, part, plan, green, stored, declared.all_models(connection))
        reader.check()
        rollout = _save(connection, stored, green, plan, lookups, calibration, actor=actor, reason=reason, now=now)
        if start:
            rollout = _start(connection, rollout, actor=actor, reason=reason, now=now)
    return Registered(
        rollout=rollout, expect=expect(plan, known, stored.route), calibration=calibration, lookups=lookups
    )


def _free_route(connection: Connection, name: str, *, lock: bool = False) -> StoredRoute:
    """The route, without a live rollout. Raises `NotFound`, or `Conflict` naming the live one."""
    stored = declared.find_route(connection, name, lock=lock)
    live = rollouts.live_on(connection, stored.id)
    if live:
        raise Conflict(
            f"route {name!r} already has rollout {live.rollout.id}, {live.rollout.phase} at {live.rollout.weight:g} %"
            f" with {live.rollout.green!r}; wait for its end or abort it first"
        )
    return stored


def _check_models(
    reader: Reader, part: Reader, plan: Plan, green: str, stored: StoredRoute, models: Mapping[str, Model]
) -> None:
    """Problems of green, and of checks that look at what calls cost while one of the two Models has no price."""
    _check_green(reader, green, stored, models)
    sides = [models[name] for name in (stored.route.blue, green) if name in models]
    refuse_unpriced(part, enumerate(plan.checks), sides)


def _check_green(reader: Reader, green: str, stored: StoredRoute, models: Mapping[str, Model]) -> None:
    if not green:
        return
    if green not in models:
        reader.problem("green", f"no Model is named {green!r}; known: {', '.join(sorted(models)) or 'none yet'}")
        return
    if green == stored.route.blue:
        reader.problem("green", f"{green!r} is what route {stored.route.name!r} is served by already")
        return
    if lacking := models[green].lacks(stored.route.needs):
        reader.problem("green", not_taken(green, lacking, stored.route.name))
    blue = models[stored.route.blue]
    if blue.body_family and models[green].body_family != blue.body_family:
        other = models[green].body_family or "none"
        reader.problem(
            "green",
            f"{green!r} has the InvokeModel body family {other}, and blue, {blue.name!r}, has {blue.body_family}:"
            f" an InvokeModel call cannot be split between them. If services use this route through Converse only,"
            f" leave body_family out of {blue.name!r}; else give {green!r} the same",
        )


def _refuse_missing(green: str, lookups: tuple[Lookup, ...]) -> None:
    problems = [
        Problem(
            f"models.{green}.targets[{position}]",
            f"{found.model_id!r} does not exist or is not active in {found.region}: {found.detail}",
        )
        for position, found in enumerate(lookups)
        if found.found is Found.NO
    ]
    if problems:
        raise Invalid(problems)


def _save(
    connection: Connection,
    stored: StoredRoute,
    green: str,
    plan: Plan,
    lookups: tuple[Lookup, ...],
    calibration: Calibration,
    *,
    actor: str,
    reason: str,
    now: datetime,
) -> Rollout:
    route = stored.route
    unknown = [found for found in lookups if found.found is Found.UNKNOWN]
    sentence = f"Registered by {actor}: {green} for {route.blue} on {route.name}.{_limits(plan)}"
    if unknown:
        places = ", ".join(f"{found.model_id} in {found.region}" for found in unknown)
        sentence += f" Could not look up {places}: {unknown[0].detail}."
    rollout = rollouts.add(
        connection,
        route_id=stored.id,
        route=route.name,
        blue=route.blue,
        green=green,
        plan=plan,
        salt=secrets.token_hex(16),
        actor=actor,
        now=now,
        sentence=sentence,
    )
    journal.append(
        connection,
        at=now,
        subject=f"rollout {rollout.id}",
        actor=actor,
        kind=journal.PERSON,
        act="register",
        reason=reason,
        sentence=" ".join([sentence, *calibration.sentences]),
        numbers={"lookups": [found.to_dict() for found in lookups], "calibration": calibration.to_dict()},
        rollout=rollout,
        plan_hash=rollouts.plan_hash(plan),
    )
    return rollout


def _limits(plan: Plan) -> str:
    held = [
        f"{check.said} up to {dollars(check.limit)}" if metric_of(check.metric).limit_unit == DOLLARS else check.said
        for check in plan.checks
        if check.limit is not None
    ]
    return f" Counted: {', '.join(held)}." if held else ""


def _start(connection: Connection, rollout: Rollout, *, actor: str, reason: str, now: datetime) -> Rollout:
    stored = rollouts.find(connection, rollout.id, lock=True)
    return do(connection, stored, Verb.START, actor=actor, reason=reason, now=now)
