"""Tick: one pass of the scheduler. `evaluate` is one rollout's turn in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import Connection, Engine

from crossfade.core.decision import Act, Decision, apply, decide, is_news
from crossfade.core.phase import Phase
from crossfade.core.sentence import sentence
from crossfade.errors import Unavailable
from crossfade.server.carry import carry
from crossfade.server.database import begin
from crossfade.server.figures import decision_figures
from crossfade.server.gather import circumstances
from crossfade.server.split import carry_split
from crossfade.server.store import evaluations, journal, partitions, rollouts
from crossfade.server.store.rollouts import Stored
from crossfade.server.usecases.moves import save_move
from crossfade.stats.judge import judge_carried

log = structlog.get_logger("crossfade.tick")

ACTOR = "controller"
MOST_TURNS = 1000
"""Of one pass: a pass ends even if rollouts come due as fast as they are evaluated."""


def tick(engine: Engine, *, now: datetime) -> int:
    """Evaluates every rollout that is due, each in a transaction of its own; returns how many turns were taken.

    A turn that breaks is undone whole, journalled the first time, and tried again after a growing wait; the others
    go on. Raises `Unavailable` when Postgres is away.
    """
    for turns in range(MOST_TURNS):
        claimed: list[int] = []
        try:
            with begin(engine) as connection:
                rollout_id = rollouts.claim_due(connection, now)
                if rollout_id is None:
                    return turns
                claimed.append(rollout_id)
                evaluate(connection, rollout_id, now)
        except Unavailable:
            raise
        except Exception as error:
            log.exception("turn broke", action="turn_broken", rollout=claimed[0] if claimed else None)
            if not claimed:
                raise
            _postpone(engine, claimed[0], error, now)
    return MOST_TURNS


def evaluate(connection: Connection, rollout_id: int, now: datetime) -> Decision:
    """One rollout's turn: carry, judge, decide, apply, save, journal. The transaction holds its row."""
    stored = rollouts.find(connection, rollout_id)
    judgement = judge_carried(stored.rollout.plan, carry(connection, stored, now), step=stored.rollout.step)
    judgement = replace(judgement, split=carry_split(connection, stored, now))
    decision = decide(stored.rollout, judgement, circumstances(connection, stored, judgement, now), now)
    after = apply(decision)
    text, figures = sentence(decision), decision_figures(decision)
    said = _said(stored, decision, text)
    beside = {**said, "worst": str(judgement.worst), "evaluated_at": now}
    save_move(connection, stored, after, actor=ACTOR, kind=journal.CONTROLLER, now=now, **beside)
    _note(connection, decision, text, figures, now)
    if is_news(decision, stored.act, stored.reason):
        journal.append(
            connection,
            at=now,
            subject=f"rollout {rollout_id}",
            actor=ACTOR,
            kind=journal.CONTROLLER,
            act=str(decision.act),
            reason=str(decision.reason),
            sentence=str(said["sentence"]),
            numbers=figures,
            rollout=after,
            plan_hash=stored.plan_hash,
        )
        log.info(said["sentence"], action=f"rollout_{decision.act}", rollout=rollout_id, reason=str(decision.reason))
    return decision


def _said(stored: Stored, decision: Decision, text: str) -> dict[str, str | None]:
    """The last decision as kept with the rollout. A paused one keeps saying why it was paused."""
    if stored.rollout.phase is Phase.PAUSED and decision.act is Act.HOLD:
        return {"act": stored.act, "reason": stored.reason, "sentence": stored.sentence}
    return {"act": str(decision.act), "reason": str(decision.reason), "sentence": text}


def _note(connection: Connection, decision: Decision, text: str, figures: dict[str, Any], now: datetime) -> None:
    """Keeps this look at the evidence, for the charts."""
    partitions.create(connection, [now.astimezone(UTC).date()])
    evaluations.add(
        connection,
        rollout_id=decision.rollout.id,
        at=now,
        step=decision.rollout.step,
        weight=decision.rollout.weight,
        act=str(decision.act),
        reason=str(decision.reason),
        sentence=text,
        **{name: figures[name] for name in ("log_e_worse", "log_e_worse_needed", "verdicts", "split", "conditions")},
    )


def _postpone(engine: Engine, rollout_id: int, error: Exception, now: datetime) -> None:
    """Reads nothing of the rollout but its number: it may be what cannot be read."""
    with begin(engine) as connection:
        if rollouts.postpone(connection, rollout_id, now=now) != 1:
            return
        journal.append(
            connection,
            at=now,
            subject=f"rollout {rollout_id}",
            actor=ACTOR,
            kind=journal.CONTROLLER,
            act=str(Act.HOLD),
            reason="turn_broken",
            sentence=f"Not evaluated: {type(error).__name__}: {error}. It is tried again; weights stay as they are.",
            rollout_id=rollout_id,
        )
