"""Rollout: everything its page shows, from the same decision that acted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine

from crossfade.core.phase import LIVE, PERSONS_VERBS, Phase
from crossfade.core.plan import plan_to_dict
from crossfade.core.rollout import Rollout
from crossfade.core.split import Variant
from crossfade.errors import Conflict, Invalid, Problem
from crossfade.server.database import begin
from crossfade.server.store import declared, evaluations, journal, observations, scores
from crossfade.server.store import rollouts as store
from crossfade.server.store.rollouts import Stored
from crossfade.server.traffic import traffic
from crossfade.server.views import checks
from crossfade.server.views.alarm import alarm
from crossfade.server.views.durations import DurationView, durations
from crossfade.server.views.fleet import bake_left, needs_person
from crossfade.server.views.journal import Entry, entries
from crossfade.server.views.plain import plain_object


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """One step of the rail. `state` is done, current, to_come or stopped, where the rollout ended without a promotion;
    the weight is percent, as `shadow` is of the calls that green gets a copy of; times are seconds.
    """

    weight: float
    bake: float
    approve: bool
    shadow: float
    state: str
    spent_seconds: float | None = None
    left_seconds: float | None = None
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantView:
    """What became of the calls assigned to one variant, over the whole rollout.

    `outcomes` counts calls, `attempts` counts attempts, by class. `cost_per_call` is US dollars over the calls with a
    known cost, or None.
    """

    variant: str
    model: str
    calls: int
    judged: int
    errors: int
    busy: int
    raised: int
    retries: int
    failovers: int
    scores: int
    outcomes: dict[str, int]
    attempts: dict[str, int]
    tokens_in: int
    tokens_out: int
    cost_sum: float
    cost_per_call: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowView:
    """What the shadow step came to, whether it is over or not: of `calls` of the service, `percent` of which were to be
    copied, green got `copies` and `answered` so many, at a `cost` in US dollars on top of what blue cost: that of the
    `priced` ones, None while no copy has a known cost.
    """

    percent: float
    calls: int
    copies: int
    answered: int
    tokens_in: int
    tokens_out: int
    priced: int
    cost: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerbView:
    """A verb a person may do, or why not now (`refusal`, empty when allowed)."""

    verb: str
    allowed: bool
    refusal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutView:
    """`tiles` holds one dict a check, see `views.checks.tiles`. `worst` and
    `log_e_worse` are None while no look was at these very checks. `split` is what was known of the split of the calls
    at the last look, see `server.figures.split_figures`.

    `weight` is green's share wanted, `observed_weight` the share of the calls of the step under way, in percent or
    None without calls; at a shadow step the share of them that was copied. `shadow` is None for a plan without one.
    `act` and `reason` are of the last decision, `sentence` says what happens next and why.
    """

    id: int
    route: str
    blue: str
    green: str
    phase: str
    version: int
    plan: dict[str, Any]
    plan_hash: str
    step: int
    steps: tuple[StepView, ...]
    weight: float
    observed_weight: float | None
    step_calls: int
    step_green_calls: int
    traffic: float
    sentence: str
    act: str | None
    reason: str | None
    worst: str | None
    log_e_worse: float | None
    log_e_worse_needed: float | None
    tiles: tuple[dict[str, Any], ...]
    split: dict[str, Any] | None
    shadow: ShadowView | None
    conditions: dict[str, Any]
    calibration: dict[str, Any] | None
    """What equal Models came to on this traffic before the start (`simulation.calibration`); None if nobody asked."""
    blue_calls: VariantView
    green_calls: VariantView
    durations: tuple[DurationView, ...]
    journal: tuple[Entry, ...]
    """The last twenty entries, newest first."""
    verbs: tuple[VerbView, ...]
    needs_person: bool
    alarm: str
    """What is wrong with the route's calls of late, see `views.alarm`; empty for a rollout that has ended."""
    created_at: datetime
    started_at: datetime | None
    step_started_at: datetime | None
    ended_at: datetime | None
    evaluated_at: datetime | None
    next_evaluation: datetime | None

    def to_dict(self) -> dict[str, Any]:
        return plain_object(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSummary:
    """A rollout in a list."""

    id: int
    route: str
    blue: str
    green: str
    phase: str
    version: int
    step: int
    steps: int
    weight: float
    sentence: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    def to_dict(self) -> dict[str, Any]:
        return plain_object(self)


def rollout(engine: Engine, rollout_id: int, *, now: datetime) -> RolloutView:
    """Raises `NotFound`."""
    with begin(engine, snapshot=True) as connection:
        stored = store.find(connection, rollout_id)
        value, place = stored.rollout, {"rollout": rollout_id, "route": stored.route_id}
        latest = evaluations.latest(connection, rollout_id)
        calls, green = observations.step_calls(connection, **place, step=value.step)
        looked = latest.verdicts if latest else []
        tiles, current = checks.tiles(value, looked), latest if checks.are_of(value, looked) else None
        blue_view, green_view = _variants(connection, value, stored.route_id)
        return RolloutView(
            id=value.id,
            route=value.route,
            blue=value.blue,
            green=value.green,
            phase=str(value.phase),
            version=value.version,
            plan=plan_to_dict(value.plan),
            plan_hash=stored.plan_hash,
            step=value.step,
            steps=_steps(connection, stored, now),
            weight=value.weight,
            observed_weight=100 * green / calls if calls else None,
            step_calls=calls,
            step_green_calls=green,
            traffic=traffic(connection, stored.route_id, rollout_id, now),
            sentence=stored.sentence,
            act=stored.act,
            reason=stored.reason,
            worst=stored.worst,
            log_e_worse=current.log_e_worse if current else None,
            log_e_worse_needed=current.log_e_worse_needed if current else None,
            tiles=tiles,
            split=latest.split if latest else None,
            shadow=_shadow(connection, stored),
            conditions=latest.conditions if latest else {},
            calibration=journal.calibration(connection, rollout_id),
            blue_calls=blue_view,
            green_calls=green_view,
            durations=durations(connection, tiles, **place, step=value.step),
            journal=tuple(entries(connection, rollout_id, most=20)),
            verbs=_verbs(value),
            needs_person=needs_person(stored),
            alarm=alarm(connection, declared.route_by_id(connection, stored.route_id), now) if value.is_live else "",
            created_at=value.created_at,
            started_at=value.started_at,
            step_started_at=value.step_started_at,
            ended_at=value.ended_at,
            evaluated_at=stored.evaluated_at,
            next_evaluation=stored.next_evaluation,
        )


def _shadow(connection: Connection, stored: Stored) -> ShadowView | None:
    plan, place = stored.rollout.plan, {"rollout": stored.rollout.id, "route": stored.route_id}
    if not plan.paired:
        return None
    [step] = plan.paired
    calls, _ = observations.step_calls(connection, **place, step=step)
    found = observations.copies(connection, **place)
    return ShadowView(percent=plan.steps[step].shadow, calls=calls, **asdict(found))


def rollouts(
    engine: Engine, *, route: str | None = None, phase: str | None = None, most: int = 200
) -> list[RolloutSummary]:
    """Newest first. `phase` may also be `live`. Raises `Invalid` for an unknown phase, `NotFound` for the route."""
    phases = None
    if phase is not None:
        allowed = ["live", *(str(known) for known in Phase)]
        if phase not in allowed:
            raise Invalid([Problem("phase", f"{phase!r} is not known; allowed: {', '.join(allowed)}")])
        phases = [str(one) for one in LIVE] if phase == "live" else [phase]
    with begin(engine, snapshot=True) as connection:
        route_id = None if route is None else declared.find_route(connection, route).id
        listed = store.listed(connection, route_id=route_id, phases=phases, most=most)
    return [_summary(stored) for stored in listed]


def _summary(stored: Stored) -> RolloutSummary:
    value = stored.rollout
    return RolloutSummary(
        id=value.id,
        route=value.route,
        blue=value.blue,
        green=value.green,
        phase=str(value.phase),
        version=value.version,
        step=value.step,
        steps=len(value.plan.steps),
        weight=value.weight,
        sentence=stored.sentence,
        created_at=value.created_at,
        started_at=value.started_at,
        ended_at=value.ended_at,
    )


def _verbs(value: Rollout) -> tuple[VerbView, ...]:
    """Every verb of a person's, tried on the value itself: the refusal is the one the act would meet, which of an undo
    also names the rollout that could be undone."""
    found = []
    for verb in PERSONS_VERBS:
        try:
            value.moved(verb, value.created_at)
        except Conflict as refusal:
            found.append(VerbView(verb=str(verb), allowed=False, refusal=str(refusal)))
        else:
            found.append(VerbView(verb=str(verb), allowed=True))
    return tuple(found)


def _steps(connection: Connection, stored: Stored, now: datetime) -> tuple[StepView, ...]:
    value = stored.rollout
    started = _step_starts(connection, value)
    running = value.phase in (Phase.PROGRESSING, Phase.PAUSED)
    promoted = value.phase in (Phase.PROMOTED, Phase.SUPERSEDED)
    here = "stopped" if value.phase in (Phase.ROLLED_BACK, Phase.ABORTED) else "current"
    views = []
    for index, step in enumerate(value.plan.steps):
        begun = started.get(index)
        done = promoted or index < value.step
        current = not done and index == value.step and value.started_at is not None
        until = started.get(index + 1) or value.ended_at or now
        views.append(
            StepView(
                weight=step.weight,
                bake=step.bake,
                approve=step.approve,
                shadow=step.shadow,
                state="done" if done else here if current else "to_come",
                spent_seconds=max(0.0, (until - begun).total_seconds()) if begun else None,
                left_seconds=bake_left(stored, now) if current and running else None,
                started_at=begun,
            )
        )
    return tuple(views)


def _step_starts(connection: Connection, value: Rollout) -> dict[int, datetime]:
    """When each step began, by the journal: a start, or an advance, of a person or the controller."""
    starts = {value.step: value.step_started_at} if value.step_started_at else {}
    if value.started_at:
        starts[0] = value.started_at
    return starts | journal.advances(connection, value.id)


def _variants(connection: Connection, value: Rollout, route_id: int) -> tuple[VariantView, VariantView]:
    place = {"rollout": value.id, "route": route_id}
    sums = observations.sums(connection, **place)
    tables = {name: observations.counted(connection, name, **place) for name in ("outcomes", "attempts")}
    scored = scores.counted(connection, **place)

    def view(variant: Variant, model: str) -> VariantView:
        row = sums.get(variant)
        return VariantView(
            variant=str(variant),
            model=model,
            calls=row.calls if row else 0,
            judged=row.judged if row else 0,
            errors=row.errors if row else 0,
            busy=row.busy if row else 0,
            raised=row.raised if row else 0,
            retries=row.retries if row else 0,
            failovers=row.failovers if row else 0,
            scores=scored.get(variant, 0),
            outcomes=tables["outcomes"].get(variant, {}),
            attempts=tables["attempts"].get(variant, {}),
            tokens_in=row.tokens_in if row else 0,
            tokens_out=row.tokens_out if row else 0,
            cost_sum=row.cost_sum if row else 0.0,
            cost_per_call=row.cost_sum / row.cost_n if row and row.cost_n else None,
        )

    return view(Variant.BLUE, value.blue), view(Variant.GREEN, value.green)
