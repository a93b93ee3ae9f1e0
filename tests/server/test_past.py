"""Past decisions on a real Postgres: explained to the last number, and replayed to the same end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from plane import PLAN, Plane

from crossfade.core.plan import read_plan
from crossfade.core.reading import Reader
from crossfade.core.rollout import Rollout
from crossfade.errors import Conflict, Invalid, NotFound
from crossfade.server.scheduler import maintain
from crossfade.server.store import rollouts
from crossfade.server.usecases.ingest import RETENTION
from crossfade.server.usecases.snapshot import configure
from crossfade.server.views.explanation import Explanation, explanation
from crossfade.server.views.journal import Entry, journal
from crossfade.server.views.replay import ReplayView, replayed

WIDE: dict[str, Any] = PLAN | {
    "checks": [
        {"metric": "error_rate", "margin": 5, "maturity": 20},
        {"metric": "score.accuracy", "margin": 15, "maturity": 35},
    ]
}

ERRORS, ACCURACY = {"metric": "error_rate"}, {"metric": "score.accuracy"}
SLOW = {"metric": "latency", "margin": 40, "limit": 2, "maturity": 20}
TOLD = {"metric": "latency", "on_breach": "tell"}


def lived(
    plane: Plane,
    plan: dict[str, Any] = WIDE,
    *,
    blue: float = 0.05,
    green: float = 0.05,
    looks: int = 80,
    seed: int = 5,
    acts: dict[int, str] | None = None,
    amends: dict[int, list[dict[str, Any]]] | None = None,
) -> int:
    """A rollout with history, lived through look by look until it has ended; some of the traffic arrives late."""
    rng = np.random.default_rng(seed)
    for ago in range(600, 0, -10):
        plane.observe(plane.row("blue", 100, int(rng.binomial(100, blue)), ago=ago))
    rollout = plane.register(plan=plan)
    for number in range(looks):
        plane.later(10)
        if acts and number in acts:
            plane.act(rollout.id, acts[number])
        if amends and number in amends:
            plane.amend(rollout.id, *amends[number])
        rollout = stored(plane, rollout.id)
        if not rollout.is_live:
            break
        _traffic(plane, rollout, rng, blue, green)
        plane.tick()
    return rollout.id


def _traffic(plane: Plane, rollout: Rollout, rng: np.random.Generator, blue: float, green: float) -> None:
    place: dict[str, Any] = {"rollout": rollout.id, "step": rollout.step}
    n_g = int(rng.binomial(100, rollout.weight / 100))
    for variant, calls, rate in (("blue", 100 - n_g, blue), ("green", n_g, green)):
        slow = {"latency": {340: calls - calls // 8, 420: calls // 8}}
        plane.observe(plane.row(variant, calls, int(rng.binomial(calls, rate)), ago=10, **place, **slow))
        if rng.random() < 0.2:
            plane.observe(plane.row(variant, 3, 3, ago=50, **place))  # long sealed: kept, never judged
        scored = [(plane.call_id(rollout.id, variant, ago=10, step=rollout.step), float(rng.random() >= rate)) for _ in range(calls // 4)]  # fmt: skip  # noqa: E501
        if scored:
            plane.score(*scored)


def stored(plane: Plane, rollout_id: int) -> Rollout:
    with plane.engine.connect() as connection:
        return rollouts.find(connection, rollout_id).rollout


def decisions(plane: Plane, rollout_id: int) -> list[Entry]:
    """The controller's, oldest first."""
    return [e for e in reversed(journal(plane.engine, rollout_id)) if e.actor_kind == "controller"]


def again(plane: Plane, rollout_id: int, **plan: Any) -> ReplayView:
    return replayed(plane.engine, rollout_id, {"plan": plan}, now=plane.now, retention=RETENTION)


def explained(plane: Plane, rollout_id: int, decision: int | None = None) -> Explanation:
    return explanation(plane.engine, rollout_id, decision, now=plane.now, retention=RETENTION)


@pytest.mark.parametrize(
    ("green", "phase", "acts", "amends"),
    [
        (0.05, "promoted", {}, {}),
        (0.3, "rolled_back", {}, {}),
        (0.05, "promoted", {5: "pause", 9: "resume", 12: "advance"}, {}),
        (0.05, "aborted", {9: "pause", 20: "abort"}, {}),
        (0.05, "progressing", {}, {}),
        (0.05, "promoted", {}, {4: [ERRORS | {"margin": 6}, ACCURACY]}),
        (0.05, "promoted", {8: "pause", 14: "resume"}, {11: [ERRORS, SLOW, ACCURACY], 30: [ACCURACY, TOLD]}),
        (0.15, "rolled_back", {}, {3: [ERRORS | {"margin": 4}], 5: [ERRORS, ACCURACY | {"margin": 12}]}),
        (0.05, "progressing", {}, {12: [ERRORS | {"gating": False}, ACCURACY | {"margin": 20}]}),
    ],
)  # fmt: skip
def test_a_replay_is_the_journal_and_every_decision_is_explained(
    plane: Plane, green: float, phase: str, acts: dict[int, str], amends: dict[int, list[dict[str, Any]]]
) -> None:
    number = lived(plane, green=green, acts=acts, amends=amends, looks=15 if phase == "progressing" else 400)
    assert stored(plane, number).phase == phase
    assert sum(entry.act == "amend" for entry in journal(plane.engine, number)) == len(amends)
    plane.later(3600)
    found = again(plane, number)
    entries = decisions(plane, number)
    assert entries
    assert found.own_plan
    assert found.differs == ()
    assert len(found.decisions) == len(entries)
    for replay, entry in zip(found.decisions, entries, strict=True):
        assert (replay.act, replay.reason, replay.at) == (entry.act, entry.reason, entry.at)
        assert (replay.sentence, replay.step, replay.weight) == (entry.sentence, entry.step, entry.weight)
        for ours, theirs in zip(replay.numbers["verdicts"], entry.numbers["verdicts"], strict=True):
            for name in ("log_e_worse", "log_e_gate", "estimate", "lower", "upper", "overdispersion", "calls_needed"):
                both = [-99.0 if one[name] is None else one[name] for one in (ours, theirs)]
                assert both[0] == pytest.approx(both[1], rel=1e-9, abs=1e-9), name
        told = explained(plane, number, entry.id)
        assert told.differs == ()
        assert told.sentence == entry.sentence
        for check, theirs in zip(told.checks, entry.numbers["verdicts"], strict=True):
            assert check.worse.judged == pytest.approx(theirs["log_e_worse"], abs=1e-9)
            assert check.gate.log_e == pytest.approx(theirs["log_e_gate"], abs=1e-9)
            assert check.judged == theirs["buckets"]
    assert explained(plane, number).differs == ()


def test_what_replaces_blue_later_changes_nothing_that_was_decided(plane: Plane) -> None:
    first = lived(plane, looks=400)
    assert stored(plane, first).phase == "promoted"
    plane.act(first, "undo")
    plane.later(60)
    second = lived(plane, looks=400)
    assert stored(plane, second).phase == "promoted"
    for number in (first, second):
        assert again(plane, number).differs == ()
        assert explained(plane, number, decisions(plane, number)[-1].id).differs == ()


def test_an_act_that_waited_for_a_look_comes_after_it(plane: Plane) -> None:
    number = lived(plane, looks=20)
    asked = plane.now - timedelta(seconds=1)
    last = decisions(plane, number)[-1]
    plane.act(number, "pause", now=min(asked, last.at))
    plane.later(10)
    plane.tick()
    assert again(plane, number).differs == ()


def test_a_wider_margin_ends_it_sooner_and_a_problem_names_its_field(plane: Plane) -> None:
    number = lived(plane, looks=400)
    plane.later(3600)
    found = again(
        plane,
        number,
        checks=[{"metric": "error_rate", "margin": 30}, {"metric": "score.accuracy", "margin": 40}],
        steps=[{"weight": 10}],
    )
    assert (found.phase, found.own_plan) == ("promoted", False)
    assert found.ended_at is not None
    assert found.recorded_ended_at is not None
    assert found.ended_at < found.recorded_ended_at
    assert "earlier: it was promoted at" in found.outcome
    assert found.plan["steps"] == [{"weight": 10, "bake": 60, "approve": False}]
    with pytest.raises(Invalid) as error:
        again(plane, number, checks=[{"metric": "score.accuracy", "margin": 0}], alpha=3)
    assert {problem.path for problem in error.value.problems} == {"plan.checks[0].margin", "plan.alpha"}
    with pytest.raises(Invalid, match="must be an object"):
        replayed(plane.engine, number, {"plan": 3}, now=plane.now, retention=RETENTION)
    with pytest.raises(Invalid, match="not a known field"):
        replayed(plane.engine, number, {"margin": 3}, now=plane.now, retention=RETENTION)


def test_what_cannot_be_explained_says_why(plane: Plane) -> None:
    number = plane.register(plan=WIDE).id
    with pytest.raises(NotFound, match="has not been evaluated yet"):
        explained(plane, number)
    assert "nothing to replay" in again(plane, number).outcome
    plane.later(10)
    plane.tick()
    person = next(entry for entry in journal(plane.engine, number) if entry.act == "start")
    with pytest.raises(NotFound, match=f"entry {person.id} of the journal is no decision .*start by ann"):
        explained(plane, number, person.id)
    known = decisions(plane, number)[0].id
    with pytest.raises(NotFound, match=f"no decision 9999 in its journal; its decisions: {known}$"):
        explained(plane, number, 9999)
    with pytest.raises(NotFound, match="no rollout 77"):
        explained(plane, 77)
    with pytest.raises(NotFound, match="no rollout 77"):
        again(plane, 77)


def test_evidence_past_retention_is_said_instead_of_a_wrong_answer(plane: Plane) -> None:
    number = lived(plane, green=0.3)
    last = decisions(plane, number)[-1].id
    plane.later(35 * 86_400)
    assert explained(plane, number, last).differs == ()  # past it, but not dropped yet
    maintain(plane.engine, RETENTION, now=plane.now)
    for ask in (lambda: explained(plane, number, last), lambda: explained(plane, number), lambda: again(plane, number)):
        with pytest.raises(Conflict, match=r"kept for 30 days: it has been dropped\. The journal keeps"):
            ask()


def test_evidence_that_has_changed_since_is_told(plane: Plane) -> None:
    number = lived(plane, green=0.3)
    last = decisions(plane, number)[-1].id
    plane.sql("UPDATE observations SET errors = 0 WHERE rollout_id = :id AND variant = 'green'", id=number)
    assert any("verdicts[0].log_e_worse" in place for place in explained(plane, number, last).differs)
    assert again(plane, number).differs


def test_only_the_last_buckets_are_kept_when_asked_and_the_totals_stay(plane: Plane) -> None:
    number = lived(plane, looks=30)
    whole = explained(plane, number)
    few = explanation(plane.engine, number, now=plane.now, retention=RETENTION, buckets=3)
    for all_of, some in zip(whole.checks, few.checks, strict=True):
        assert some.buckets == all_of.buckets[-3:]
        assert some.judged == all_of.judged == len(all_of.buckets) > 3
        assert replace(some, buckets=()) == replace(all_of, buckets=())
    document = few.to_dict()
    assert document["checks"][0]["buckets"][0]["gate"]["u"]
    assert read_plan(Reader(document["plan"])).alpha == 0.05


@pytest.mark.parametrize("length", [3, 5, 7, 20])
@pytest.mark.parametrize("amended", [None, "before", "after"])
def test_another_bucket_length_on_the_way_leaves_every_decision_what_it_was(
    plane: Plane, length: int, amended: str | None
) -> None:
    rng = np.random.default_rng(3)
    number = lived(plane, looks=14, amends={6: [ERRORS | {"margin": 6}, ACCURACY]} if amended == "before" else None)
    configure(plane.engine, bucket_seconds=length, now=plane.now)
    for look in range(40):
        plane.later(10)
        if amended == "after" and look == 3:
            plane.amend(number, ERRORS | {"margin": 6}, ACCURACY)
        rollout = stored(plane, number)
        if not rollout.is_live:
            break
        _traffic(plane, rollout, rng, 0.05, 0.05)
        plane.tick()
    assert stored(plane, number).phase == "promoted"
    (told,) = (entry for entry in journal(plane.engine, number) if entry.act == "rebucket")
    assert told.sentence == (
        f"A time bucket is {length} s long from now on, and was 10 s: the evidence is read anew by that."
    )
    found = again(plane, number)
    assert (found.own_plan, found.differs) == (True, ())
    assert "It would have ended as it did" in found.outcome
    for entry in decisions(plane, number):
        if entry.act != "rebucket":
            assert explained(plane, number, entry.id).differs == ()
    assert explained(plane, number).differs == ()
    assert again(plane, number, beta=0.2).own_plan is False


@pytest.mark.parametrize("behind", [0, 3])
def test_an_act_on_a_controller_whose_clock_is_behind_comes_after_the_look_it_came_after(
    plane: Plane, behind: float
) -> None:
    number = lived(plane, looks=20, acts={15: "pause"})
    plane.later(-behind)
    plane.act(number, "resume")
    plane.later(behind)
    for _ in range(3):
        plane.later(10)
        plane.tick()
    assert stored(plane, number).phase == "progressing"
    assert (again(plane, number).differs, explained(plane, number).differs) == ((), ())
