"""Blue's history stays what a rollout's evidence began with, whatever becomes of the rows it was read from."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from plane import PLAN, START, Plane

from crossfade.core.evidence import Series
from crossfade.core.plan import Plan
from crossfade.server.gather import evidence
from crossfade.server.store import rollouts
from crossfade.server.usecases.ingest import RETENTION
from crossfade.server.views.explanation import explanation
from crossfade.server.views.journal import journal


def series(plane: Plane, rollout: int, plan: Plan | None = None) -> tuple[Series, ...]:
    with plane.engine.connect() as connection:
        stored = rollouts.find(connection, rollout)
        return evidence(connection, stored, plan or stored.rollout.plan, plane.now)


def lived(plane: Plane) -> int:
    """A rollout that was looked at once, after a history of calls and scores."""
    plane.later(600)
    for ago in range(600, 0, -10):
        plane.observe(plane.row("blue", 20, 1, ago=ago))
        plane.score((plane.call_id(ago=ago), 0.5))
    rollout = plane.register(plan=PLAN)
    plane.later(60)
    for variant in ("blue", "green"):
        plane.observe(plane.row(variant, 20, 1, ago=50, rollout=rollout.id))
    plane.later(60)
    assert plane.tick() == 1
    return rollout.id


def disturb(plane: Plane) -> None:
    """A batch that was stamped before the start is committed now; the rest of that history is lost."""
    now, plane.now = plane.now, START + timedelta(seconds=600)
    plane.observe(plane.row("blue", 500, 400, ago=100))
    plane.now = now
    plane.sql("DELETE FROM scores WHERE rollout_id = 0")


def test_a_batch_committed_late_and_lost_scores_change_no_history(plane: Plane) -> None:
    rollout = lived(plane)
    before = series(plane, rollout)
    assert [one.history.n for one in before] == [1200, 60]
    disturb(plane)
    assert series(plane, rollout) == before


def test_a_past_decision_is_explained_with_the_history_it_rested_on(plane: Plane) -> None:
    rollout = lived(plane)
    decision = next(entry.id for entry in journal(plane.engine, rollout) if entry.actor_kind == "controller")
    asked: dict[str, Any] = {"decision": decision, "now": plane.now, "retention": RETENTION}
    first = explanation(plane.engine, rollout, **asked)
    assert first.differs == ()
    disturb(plane)
    assert explanation(plane.engine, rollout, **asked).to_dict() == first.to_dict()


def test_what_is_carried_is_computed_anew_from_the_history_that_was_kept(plane: Plane) -> None:
    lived(plane)
    disturb(plane)
    carried = plane.sql("SELECT metric, document FROM carried ORDER BY metric")
    plane.sql("DELETE FROM carried")
    plane.sql("UPDATE rollouts SET next_evaluation = :now", now=plane.later(1))
    assert plane.tick() == 1
    assert plane.sql("SELECT metric, document FROM carried ORDER BY metric") == carried


def test_a_check_that_is_amended_begins_with_a_history_of_its_own(plane: Plane) -> None:
    rollout = lived(plane)
    errors, accuracy = PLAN["checks"]
    plane.amend(rollout, errors | {"margin": 4}, accuracy)
    plane.sql("UPDATE rollouts SET next_evaluation = :now", now=plane.later(1))
    plane.tick()
    assert len(plane.one("SELECT histories FROM rollouts")) == 3
    before = series(plane, rollout)
    assert before[0].history.n == 1220  # blue's calls of the rollout's own first minutes too
    disturb(plane)
    assert series(plane, rollout) == before
