"""The check of the split on a real Postgres: which calls it counts, what raises it, and what must not."""

from __future__ import annotations

import random
from typing import Any

import pytest
from plane import PLAN, Plane
from test_past import again, decisions, explained, stored

from crossfade.core.evidence import Shares
from crossfade.core.metric import NAMES
from crossfade.core.plan import CALLS_MATURE
from crossfade.core.rollout import Rollout
from crossfade.core.split import Variant
from crossfade.core.verdict import SAMPLE_RATIO
from crossfade.errors import Invalid
from crossfade.server.split import by_chance, carry_split
from crossfade.server.store import rollouts
from crossfade.server.views.rollout import rollout as read_rollout
from crossfade.stats.sample_ratio import judge_split

MATURITY = 20
ERRORS_ONLY: dict[str, Any] = PLAN | {"checks": [{"metric": "error_rate", "margin": 2, "maturity": MATURITY}]}
LONG: dict[str, Any] = ERRORS_ONLY | {"steps": [{"weight": 10, "bake": 86_400}, {"weight": 50, "bake": 86_400}]}


def shares(plane: Plane, rollout: Rollout) -> tuple[Shares, ...]:
    with plane.engine.connect() as connection:
        found = rollouts.find(connection, rollout.id)
        return by_chance(connection, found, found.rollout.plan, plane.now).buckets


def traffic(plane: Plane, rollout: Rollout, dice: random.Random, *, calls: int = 100, kept: float = 1.0) -> None:
    """A bucket's calls, each assigned by chance as the shim does; of green's only `kept` are counted."""
    green = sum(dice.random() < rollout.weight / 100 for _ in range(calls))
    counts = {Variant.BLUE: calls - green, Variant.GREEN: sum(dice.random() < kept for _ in range(green))}
    place: dict[str, Any] = {"ago": 10, "rollout": rollout.id, "step": rollout.step}
    plane.observe(*(plane.row(variant, n, **place) for variant, n in counts.items()))


def as_shown(plane: Plane, rollout: Rollout) -> dict[str, Any]:
    found = read_rollout(plane.engine, rollout.id, now=plane.now).split
    assert found is not None
    return found


def test_calls_split_by_chance_count_by_assigned_variant_judged_or_not(plane: Plane) -> None:
    rollout = plane.register(plan=ERRORS_ONLY)
    plane.later(60)
    place: dict[str, Any] = {"rollout": rollout.id, "ago": 30}
    quota: dict[str, Any] = {"judged": 0, "outcomes": {"quota": 3}, "attempts": {"quota": 9}, "model": ""}
    plane.observe(
        plane.row("blue", 80, **place),
        plane.row("green", 6, 2, **place, model="new"),
        plane.row("green", 2, 2, **place, model="old"),  # fell back to blue
        plane.row("green", 3, **place, **quota),  # nobody's fault, and not judged
        plane.row("blue", 20, **place, keyed=12),
        plane.row("green", 9, **place, keyed=9, model="new"),  # of one user, say
        plane.row("blue", 7, **{**place, "ago": 20}, keyed=7),  # a bucket of nothing else
        plane.row("blue", 4, **{**place, "ago": 30}, step=1),  # one shim had heard of the next step
        plane.row("green", 5, **{**place, "ago": 30}, step=1),
        plane.row("blue", 50, rollout=0, ago=30),  # before the rollout was heard of
    )
    plane.later(20)
    start = int(plane.now.timestamp()) - 50
    assert shares(plane, rollout) == (Shares(start, 0.1, green=11, blue=88), Shares(start, 0.5, green=5, blue=4))


def test_a_bucket_is_sealed_as_for_the_error_rate_and_late_rows_are_left_out(plane: Plane) -> None:
    rollout = plane.register(plan=ERRORS_ONLY)
    plane.later(10)
    place: dict[str, Any] = {"rollout": rollout.id}
    plane.observe(plane.row("blue", 90, ago=10, **place), plane.row("green", 10, ago=10, **place))
    plane.later(MATURITY)
    assert shares(plane, rollout) == ()
    plane.later(3)
    assert [(k.green, k.blue) for k in shares(plane, rollout)] == [(10, 90)]
    plane.observe(plane.row("green", 500, ago=33, **place))  # a shim that was away: the error rate leaves it out too
    plane.later(60)
    assert [(k.green, k.blue) for k in shares(plane, rollout)] == [(10, 90)]


def test_without_a_check_of_errors_it_waits_as_long_as_one_would(plane: Plane) -> None:
    rollout = plane.register(plan=PLAN | {"checks": PLAN["checks"][1:]})
    plane.later(10)
    plane.observe(plane.row("blue", 90, ago=10, rollout=rollout.id))
    plane.later(CALLS_MATURE)
    assert shares(plane, rollout) == ()
    plane.later(3)
    assert len(shares(plane, rollout)) == 1


def test_what_is_carried_from_tick_to_tick_is_what_all_that_is_stored_comes_to(plane: Plane) -> None:
    rollout, dice = plane.register(plan=LONG), random.Random(4)
    for look in range(60):
        plane.later(10)
        if look == 30:
            plane.act(rollout.id, "advance")
        rollout = stored(plane, rollout.id)
        traffic(plane, rollout, dice)
        if look % 3 == 0:
            plane.observe(plane.row("green", 40, ago=60, rollout=rollout.id))  # long sealed
        if look % 7 != 0:
            plane.tick()
        with plane.engine.begin() as connection:
            found = rollouts.find(connection, rollout.id)
            whole = judge_split(by_chance(connection, found, found.rollout.plan, plane.now))
            assert carry_split(connection, found, plane.now) == whole  # to the last bit
    assert whole.calls > 5000
    assert (as_shown(plane, rollout)["calls"], as_shown(plane, rollout)["green"]) == (whole.calls, whole.green)


def test_a_tick_reads_only_what_was_sealed_since_the_last(plane: Plane) -> None:
    rollout, dice = plane.register(plan=LONG), random.Random(5)
    for look in range(20):
        plane.later(10)
        traffic(plane, rollout, dice)
        plane.tick()
        if look == 10:
            before = as_shown(plane, rollout)["calls"]
            plane.sql("DELETE FROM observations WHERE bucket <= (SELECT min(sealed) FROM carried)")
    assert before > 500
    assert as_shown(plane, rollout)["calls"] == before + 900


def test_what_was_carried_under_other_terms_is_computed_anew(plane: Plane) -> None:
    rollout, dice = plane.register(plan=LONG), random.Random(6)
    for _ in range(10):
        plane.later(10)
        traffic(plane, rollout, dice)
    plane.tick()
    before = as_shown(plane, rollout)
    plane.sql("UPDATE carried SET fingerprint = 'other', document = '{}'")
    plane.later(30)
    plane.tick()
    assert as_shown(plane, rollout)["calls"] == before["calls"] + 300


def test_a_right_split_over_many_buckets_goes_on_whatever_becomes_of_the_calls(plane: Plane) -> None:
    rollout, dice = plane.register(plan=LONG), random.Random(7)
    for look in range(200):
        plane.later(10)
        rollout = stored(plane, rollout.id)
        traffic(plane, rollout, dice)
        place: dict[str, Any] = {"ago": 10, "rollout": rollout.id, "step": rollout.step}
        plane.observe(plane.row("green", 30, keyed=30, **place))  # one busy user, on green by its key
        if look % 5 == 0:
            plane.observe(plane.row("green", 20, **{**place, "ago": 60}))  # late
        plane.tick()
    assert stored(plane, rollout.id).phase == "progressing"
    shown = as_shown(plane, rollout)
    assert not shown["alarmed"]
    assert (shown["calls"], shown["expected"]) == (19_700, pytest.approx(1970))


def wrong(plane: Plane) -> Rollout:
    """A rollout of which a third of green's calls are lost, paused for it."""
    rollout, dice = plane.register(plan=ERRORS_ONLY | {"steps": LONG["steps"]}), random.Random(8)
    for _ in range(150):
        plane.later(10)
        traffic(plane, rollout, dice, kept=0.65)
        plane.tick()
        if stored(plane, rollout.id).phase == "paused":
            break
    return stored(plane, rollout.id)


def test_a_wrong_split_pauses_and_says_what_to_check(plane: Plane) -> None:
    rollout = wrong(plane)
    assert rollout.phase == "paused"
    view = read_rollout(plane.engine, rollout.id, now=plane.now)
    assert (view.act, view.reason, view.needs_person) == ("pause", SAMPLE_RATIO, True)
    shown = as_shown(plane, rollout)
    assert shown["alarmed"]
    assert view.sentence.startswith(f"Paused at 10 %: green got {shown['green']:,} of {shown['calls']:,} calls where")
    assert "so slow that their calls come in after the seal" in view.sentence
    assert view.to_dict()["split"]["p"] <= 0.001


def test_a_person_accepts_a_wrong_split_by_resuming_and_it_is_only_told_from_then_on(plane: Plane) -> None:
    rollout = wrong(plane)
    rollout = plane.act(rollout.id, "resume")
    assert rollout.accepted == (SAMPLE_RATIO,)
    dice = random.Random(9)
    for _ in range(5):
        plane.later(10)
        traffic(plane, rollout, dice, kept=0.65)
        plane.tick()
    assert stored(plane, rollout.id).phase == "progressing"
    assert (
        "The split is not as it should be: green got" in read_rollout(plane.engine, rollout.id, now=plane.now).sentence
    )
    assert again(plane, rollout.id).differs == ()
    last = explained(plane, rollout.id)
    assert last.differs == ()
    (asked,) = (q for q in last.questions if q.question.startswith("Does a wrong split"))
    assert asked.numbers.endswith("accepted by a person")


def test_a_wrong_split_stays_accepted_when_checks_are_amended_until_it_is_tested_by_another_maturity(
    plane: Plane,
) -> None:
    rollout = wrong(plane)
    plane.act(rollout.id, "resume")
    assert plane.amend(rollout.id, {"metric": "error_rate", "margin": 3}).rollout.accepted == (SAMPLE_RATIO,)
    plane.later(10)
    plane.tick()
    assert stored(plane, rollout.id).phase == "progressing"
    assert (again(plane, rollout.id).differs, explained(plane, rollout.id).differs) == ((), ())
    assert plane.amend(rollout.id, {"metric": "error_rate", "maturity": 30}).rollout.accepted == ()
    plane.later(30)
    plane.tick()
    assert stored(plane, rollout.id).phase == "paused"  # it is as wrong by that one
    assert (again(plane, rollout.id).differs, explained(plane, rollout.id).differs) == ((), ())


def test_a_pause_for_a_wrong_split_is_replayed_and_explained_as_it_was(plane: Plane) -> None:
    rollout = wrong(plane)
    plane.later(600)
    found = again(plane, rollout.id)
    assert found.differs == ()
    entry = decisions(plane, rollout.id)[-1]
    assert (entry.act, entry.reason) == ("pause", SAMPLE_RATIO)
    assert found.decisions[-1].numbers["split"] == entry.numbers["split"]
    told = explained(plane, rollout.id, entry.id)
    assert (told.differs, told.reason, told.questions[-1].answer) == ((), SAMPLE_RATIO, "yes")
    assert told.numbers["split"] == entry.numbers["split"]
    wider = again(plane, rollout.id, checks=[{"metric": "error_rate", "margin": 40, "maturity": 60}])
    assert [d.reason for d in wider.decisions][-1] == SAMPLE_RATIO  # another margin does not mend the split
    plane.sql("UPDATE observations SET calls = calls + 1, judged = judged + 1 WHERE variant = 'green'")
    assert any("split.green" in place for place in explained(plane, rollout.id, entry.id).differs)


def test_a_look_of_a_version_that_did_not_ask_is_as_recorded(plane: Plane) -> None:
    rollout = plane.register(plan=LONG)
    plane.later(10)
    traffic(plane, rollout, random.Random(1))
    plane.later(60)
    plane.tick()
    plane.sql("UPDATE evaluations SET split = NULL")
    assert explained(plane, rollout.id).differs == ()
    assert read_rollout(plane.engine, rollout.id, now=plane.now).split is None


def test_no_metric_has_the_name_of_the_check(plane: Plane) -> None:
    assert SAMPLE_RATIO not in NAMES
    with pytest.raises(Invalid, match="metric"):
        plane.register(plan=PLAN | {"checks": [{"metric": SAMPLE_RATIO, "margin": 1}]})
