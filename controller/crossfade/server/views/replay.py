"""Replay: the recorded evidence of a rollout under another plan, or under its own to see that it decides the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Row

from crossfade.core.changes import changed_plan
from crossfade.core.decision import Decision, apply
from crossfade.core.plan import Plan, plan_to_dict
from crossfade.core.reading import Reader
from crossfade.core.sentence import sentence
from crossfade.errors import Invalid, Problem
from crossfade.server import past
from crossfade.server.database import begin
from crossfade.server.figures import decision_figures
from crossfade.server.store import evaluations, journal, rollouts
from crossfade.server.views.agreement import differences
from crossfade.server.views.plain import plain_object
from crossfade.simulation.exposure import Exposure, exposure
from crossfade.simulation.findings import notes, outcome
from crossfade.simulation.replay import replay


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionView:
    """A decision as the journal has it. `decision` is the entry's id; None in a replay."""

    decision: int | None
    at: datetime
    step: int
    weight: float
    act: str
    reason: str
    sentence: str
    numbers: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayView:
    """`outcome` says when and how it would have ended, `notes` what that means and what it cannot know.

    `decisions` are the replay's and `journal` the recorded ones, oldest first; step and weight are after each. Under
    the own plan (`own_plan`) the two must be the same: `differs` says where they are not. An amended rollout's own plan
    is that of its registration with every amendment, and `plan` the last; another plan holds from the start.
    """

    rollout: int
    route: str
    own_plan: bool
    plan: dict[str, Any]
    outcome: str
    notes: tuple[str, ...]
    phase: str
    ended_at: datetime | None
    recorded_phase: str
    recorded_ended_at: datetime | None
    looks: int
    decisions: tuple[DecisionView, ...]
    journal: tuple[DecisionView, ...]
    exposure: Exposure | None
    differs: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return plain_object(self)


def replayed(engine: Engine, rollout_id: int, body: object, *, now: datetime, retention: timedelta) -> ReplayView:
    """`body` is {"plan": what changes in it}; without changes the rollout's own plan.

    A plan as the rollout's is its own too, unless it was amended: then it is asked what these checks would have decided
    from the start.
    Raises `NotFound`; `Invalid` with every problem of the plan; `Conflict` when the evidence is past retention.
    """
    reader = Reader(body)
    changes = reader.raw("plan")
    reader.finish()
    with begin(engine, snapshot=True) as connection:
        stored = rollouts.find(connection, rollout_id)
        own = stored.rollout.plan
        typed = changed_plan(own, {} if changes is None else changes)
        same = not changes or typed == own
        _refuse_other_shadow(own, typed)
        past.refuse_dropped(connection, stored, now=now, retention=retention)
        entries = journal.of_rollout(connection, rollout_id)
        looks = evaluations.every(connection, rollout_id)
        until = now if stored.rollout.ended_at or not looks else looks[-1].at
        plan = None if same else typed
        record = past.recorded(connection, stored, entries=entries, looks=looks, plan=plan, until=until)
    found = replay(record, plan)
    exposed = exposure(record, found) if looks else None
    decisions = tuple(_decision(each) for each in found.decisions)
    journalled = tuple(_entry(entry) for entry in entries if past.is_decision(entry))
    return ReplayView(
        rollout=rollout_id,
        route=stored.rollout.route,
        own_plan=same,
        plan=plan_to_dict(own if same else typed),
        outcome=outcome(record, found),
        notes=notes(record, found, exposed, own_plan=same) if exposed else (),
        phase=str(found.rollout.phase),
        ended_at=found.rollout.ended_at,
        recorded_phase=str(record.phase),
        recorded_ended_at=record.ended,
        looks=len(looks),
        decisions=decisions,
        journal=journalled,
        exposure=exposed,
        differs=_differing(journalled, decisions) if same else (),
    )


def _refuse_other_shadow(own: Plan, typed: Plan) -> None:
    """Raises `Invalid` where a shadow step would have had to be another: copies that were not sent cannot be judged."""
    steps, others = ([(step.weight, step.shadow) for step in plan.steps] for plan in (own, typed))
    if steps != others and (own.paired or typed.paired):
        what = "had a shadow step" if own.paired else "had no shadow step"
        raise Invalid(
            [
                Problem(
                    "plan.steps",
                    f"the rollout {what}, and what copies of calls would have shown at other steps is not known: leave"
                    " weights and shadow as they were; margins, bake times and the rest may change",
                )
            ]
        )


def _decision(decision: Decision) -> DecisionView:
    after = apply(decision)
    return DecisionView(
        decision=None,
        at=decision.at,
        step=after.step,
        weight=after.weight,
        act=str(decision.act),
        reason=str(decision.reason),
        sentence=sentence(decision),
        numbers=decision_figures(decision),
    )


def _entry(entry: Row[Any]) -> DecisionView:
    return DecisionView(
        decision=entry.id,
        at=entry.at,
        step=entry.step,
        weight=entry.weight,
        act=entry.act,
        reason=entry.reason,
        sentence=entry.sentence,
        numbers=entry.numbers,
    )


def _differing(recorded: Sequence[DecisionView], found: Sequence[DecisionView]) -> tuple[str, ...]:
    rows = [[plain_object(each) | {"decision": None} for each in side] for side in (recorded, found)]
    return tuple(differences(rows[0], rows[1], "decisions"))
