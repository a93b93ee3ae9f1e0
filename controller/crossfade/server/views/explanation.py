"""Explanation: the arithmetic of any past decision, computed anew from the evidence that is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row

from crossfade.core.decision import decide
from crossfade.core.plan import plan_to_dict
from crossfade.core.questions import Question, questions
from crossfade.core.sentence import sentence
from crossfade.errors import NotFound
from crossfade.server import past
from crossfade.server.database import begin
from crossfade.server.figures import decision_figures
from crossfade.server.gather import evidence
from crossfade.server.split import by_chance
from crossfade.server.store import evaluations, journal, rollouts
from crossfade.server.views.agreement import differences
from crossfade.server.views.plain import plain_object
from crossfade.stats.explanation import CheckArithmetic, explain
from crossfade.stats.sample_ratio import judge_split


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One look at a rollout. `decision` is its entry in the journal, None for a look that was not journalled; `numbers`
    what it rests on, as the journal has it. `differs` says where the arithmetic done anew departs from what was
    recorded: nowhere, unless evidence or formulas have changed since.
    """

    rollout: int
    route: str
    decision: int | None
    at: datetime
    step: int
    weight: float
    act: str
    reason: str
    sentence: str
    plan: dict[str, Any]
    questions: tuple[Question, ...]
    log_e_worse: float
    log_e_worse_needed: float
    checks: tuple[CheckArithmetic, ...]
    numbers: dict[str, Any]
    differs: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return plain_object(self)


def explanation(
    engine: Engine,
    rollout_id: int,
    decision: int | None = None,
    *,
    now: datetime,
    retention: timedelta,
    buckets: int | None = None,
) -> Explanation:
    """Of the journal's entry `decision`, or of the latest look, with the last `buckets` of each check, None for all.

    Raises `NotFound` for a rollout, decision or look that is not there, and `Conflict` when the evidence is past
    retention.
    """
    with begin(engine, snapshot=True) as connection:
        stored = rollouts.find(connection, rollout_id)
        entries = journal.of_rollout(connection, rollout_id)
        entry = None if decision is None else _entry(entries, rollout_id, decision)
        past.refuse_dropped(connection, stored, now=now, retention=retention)
        look = _look(connection, rollout_id, entry)
        entry = entry or _entry_of(entries, look)
        plan = past.plan_in_force(stored, entries, look.at)
        length = past.length_then(connection, entries, look.at)
        series = evidence(connection, stored, plan, look.at, length=length)
        chance = by_chance(connection, stored, plan, look.at, length=length)
    before = [other for other in entries if (other.id < entry.id if entry else other.at < look.at)]
    rollout = replace(past.after(past.registered(stored, entries), before), plan=plan)
    judgement, checks = explain(plan, series, step=rollout.step, last=buckets)
    judgement = replace(judgement, split=judge_split(chance))
    found = decide(rollout, judgement, past.conditions(look), look.at)
    text, numbers = sentence(found), decision_figures(found)
    computed = {"act": str(found.act), "reason": str(found.reason), "sentence": text, "step": rollout.step} | numbers
    looked = {name: value for name, value in look._mapping.items() if value is not None}
    recorded = looked | ({"failed": entry.numbers.get("failed")} if entry else {})
    return Explanation(
        rollout=rollout_id,
        route=rollout.route,
        decision=entry.id if entry else None,
        at=look.at,
        step=rollout.step,
        weight=rollout.weight,
        act=str(found.act),
        reason=str(found.reason),
        sentence=text,
        plan=plan_to_dict(plan),
        questions=questions(found),
        log_e_worse=judgement.log_e_worse,
        log_e_worse_needed=judgement.log_e_worse_needed,
        checks=checks,
        numbers=numbers,
        differs=tuple(differences(recorded, computed)),
    )


def _entry(entries: Sequence[Row[Any]], rollout_id: int, decision: int) -> Row[Any]:
    found = next((entry for entry in entries if entry.id == decision), None)
    if found is None:
        known = ", ".join(str(entry.id) for entry in entries if past.is_decision(entry)) or "none yet"
        raise NotFound(f"rollout {rollout_id} has no decision {decision} in its journal; its decisions: {known}")
    if not past.is_decision(found):
        raise NotFound(
            f"entry {decision} of the journal is no decision of the controller's ({found.act} by {found.actor}):"
            " there is no arithmetic to show"
        )
    return found


def _look(connection: Connection, rollout_id: int, entry: Row[Any] | None) -> Row[Any]:
    look = evaluations.at(connection, rollout_id, entry.at) if entry else evaluations.latest(connection, rollout_id)
    if look is None:
        raise NotFound(f"rollout {rollout_id} has not been evaluated yet: there is nothing to explain")
    return look


def _entry_of(entries: Sequence[Row[Any]], look: Row[Any]) -> Row[Any] | None:
    return next((entry for entry in entries if past.is_decision(entry) and entry.at == look.at), None)
