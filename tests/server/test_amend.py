"""Amending on a real Postgres: what goes on, what starts anew, what is refused and what is said."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from plane import PLAN, START, Plane

from crossfade.core.plan import plan_to_dict
from crossfade.core.rollout import Rollout
from crossfade.errors import Conflict, Invalid, NotFound
from crossfade.server.database import begin
from crossfade.server.gather import evidence
from crossfade.server.store import carried, rollouts
from crossfade.server.tick import evaluate
from crossfade.server.usecases.ingest import RETENTION
from crossfade.server.views.journal import Entry, journal
from crossfade.server.views.replay import replayed
from crossfade.server.views.rollout import rollout as view_of

ERRORS, ACCURACY = {"metric": "error_rate"}, {"metric": "score.accuracy"}


def minute(plane: Plane, rollout_id: int, *, ticks: int = 6, blue: int = 4, green: int = 0) -> None:
    """Traffic and looks: every ten seconds 90 calls of blue and 10 of green, with so many errors."""
    for _ in range(ticks):
        plane.later(10)
        place: dict[str, Any] = {"rollout": rollout_id, "ago": 10, "latency": {340: 10}}
        plane.observe(plane.row("blue", 90, blue, **place), plane.row("green", 10, green, **place))
        plane.tick()


def stored(plane: Plane, rollout_id: int) -> Rollout:
    with plane.engine.connect() as connection:
        return rollouts.find(connection, rollout_id).rollout


def last_entry(plane: Plane, rollout_id: int) -> Entry:
    return journal(plane.engine, rollout_id)[0]


@pytest.fixture
def running(plane: Plane) -> int:
    """A rollout that has run for two minutes."""
    number = plane.register().id
    minute(plane, number, ticks=12)
    return number


def test_a_new_margin_starts_anew_and_the_rest_goes_on(plane: Plane, running: int) -> None:
    before = {tile["metric"]: tile for tile in view_of(plane.engine, running, now=plane.now).tiles}
    with plane.engine.connect() as connection:
        kept = carried.found(connection, running)["error_rate"]
    plane.later(4)
    amended = plane.amend(running, ERRORS, ACCURACY | {"margin": 9}, reason="too tight")
    assert amended.sentence == (
        "Amended by ann: error rate keeps its evidence, on 50 % of alpha; accuracy starts anew with a margin of"
        " 9 points instead of 5 points, on 50 % of alpha."
    )
    errors, accuracy = stored(plane, running).plan.checks
    assert (errors.since, accuracy.since) == (None, plane.now.timestamp())
    view = view_of(plane.engine, running, now=plane.now)
    assert view.sentence == f"{amended.sentence} Reason: too tight"
    plane.later(10)
    plane.tick()
    with plane.engine.connect() as connection:
        after = carried.found(connection, running)["error_rate"]
    assert after.fingerprint == kept.fingerprint
    tiles = {tile["metric"]: tile for tile in view_of(plane.engine, running, now=plane.now).tiles}
    assert tiles["error_rate"]["buckets"] >= before["error_rate"]["buckets"] > 0
    assert tiles["error_rate"]["since"] is None
    assert (tiles["score.accuracy"]["buckets"], tiles["score.accuracy"]["margin"]) == (0, 9)
    assert tiles["score.accuracy"]["since"] == accuracy.since


def test_a_check_that_began_on_the_way_has_whole_buckets_from_then_on_and_blues_history_until_then(
    plane: Plane, running: int
) -> None:
    plane.later(3)
    plane.amend(running, ERRORS | {"margin": 3}, ACCURACY)
    since = plane.now.timestamp()
    minute(plane, running, ticks=8)
    with plane.engine.connect() as connection:
        found = rollouts.find(connection, running)
        errors, _ = evidence(connection, found, found.rollout.plan, plane.now)
    starts = [bucket.start for bucket in errors.buckets]
    assert min(starts) == since // 10 * 10 + 10
    assert errors.history.n == 90 * 12  # all of blue's calls that were recorded by then
    (tile, _) = view_of(plane.engine, running, now=plane.now).tiles
    assert tile["buckets"] == len(starts) > 0


def test_the_journal_has_before_and_after_each_share_and_the_plan_of_then(plane: Plane, running: int) -> None:
    before = stored(plane, running).plan
    minute(plane, running, blue=0, ticks=2)
    plane.amend(running, ERRORS, {"metric": "refusal", "margin": 2}, ACCURACY | {"on_breach": "pause"})
    entry = last_entry(plane, running)
    assert (entry.act, entry.actor, entry.reason) == ("amend", "ann", "because")
    assert "refusals is added with a margin of 2 points, on" in entry.sentence
    assert "accuracy keeps its evidence, on 33.3 % of alpha; its breach now pauses" in entry.sentence
    assert entry.numbers["before"] == plan_to_dict(before)
    assert entry.numbers["after"] == plan_to_dict(stored(plane, running).plan)
    assert [each["fate"] for each in entry.numbers["checks"]] == ["kept", "kept", "added"]
    worth = [min(1.0, each["e"]) for each in entry.numbers["checks"][:2]]
    assert entry.numbers["checks"][2]["share_after"] == pytest.approx(sum(worth) / 2 / 3)
    assert entry.plan_hash == view_of(plane.engine, running, now=plane.now).plan_hash


def test_what_differs_in_nothing_changes_nothing_and_says_so(plane: Plane, running: int) -> None:
    version, entries = stored(plane, running).version, len(journal(plane.engine, running))
    same = plane.amend(running, ACCURACY, ERRORS | {"margin": 2})
    assert same.sentence == f"Nothing was amended: the checks of rollout {running} are these already."
    plane.amend(running, ERRORS, ACCURACY | {"margin": 7})
    checks = view_of(plane.engine, running, now=plane.now).plan["checks"]
    again = plane.amend(running, *checks)  # as the API gave them, with since and share
    assert not again.amendment.differs
    assert (stored(plane, running).version, len(journal(plane.engine, running))) == (version + 1, entries + 1)


def test_a_new_latency_checks_limit_is_fixed_from_blues_last_day(plane: Plane, running: int) -> None:
    plane.amend(running, ERRORS, ACCURACY, {"metric": "latency", "margin": 2})
    limit = stored(plane, running).plan.checks[2].limit
    assert limit is not None
    minute(plane, running, ticks=3)
    kept = plane.amend(running, ERRORS, ACCURACY, {"metric": "latency"}, {"metric": "refusal", "margin": 1})
    assert kept.rollout.plan.checks[2].limit == limit
    with pytest.raises(Invalid, match=r"checks\[2\]\.limit.*no recorded"):
        plane.amend(running, ERRORS, ACCURACY, {"metric": "first_token", "margin": 2})


@pytest.mark.parametrize(
    ("checks", "path"),
    [
        ([ERRORS | {"margin": 0}, ACCURACY], "checks[0].margin"),
        ([ERRORS, {"metric": "refusal"}], "checks[1].margin"),
        ([ERRORS, ERRORS], "checks[1].metric"),
        ([ERRORS | {"gating": False}], "checks"),
        ([ERRORS | {"share": 1}], "checks[0].share"),
        ([ERRORS | {"since": 5.0}], "checks[0].since"),
        ([{"metric": "refusal", "margin": 1}], "checks"),
        ([3], "checks[0]"),
        ([], "checks"),
    ],
)
def test_what_cannot_be_a_check_is_named(plane: Plane, running: int, checks: list[Any], path: str) -> None:
    with pytest.raises(Invalid) as error:
        plane.amend(running, *checks)
    assert path in {problem.path for problem in error.value.problems}


def test_it_takes_a_reason_and_the_version_that_was_seen(plane: Plane, running: int) -> None:
    with pytest.raises(Invalid, match="reason"):
        plane.amend(running, ERRORS, reason="  ")
    with pytest.raises(Conflict, match="you saw version 1: look again"):
        plane.amend(running, ERRORS, version=1)
    with pytest.raises(Invalid, match="weight"):
        plane.amend(running, ERRORS, weight=3)
    with pytest.raises(NotFound, match="no rollout 77"):
        plane.amend(77, ERRORS)


def test_only_a_rollout_that_runs_or_is_paused_is_amended(plane: Plane, running: int) -> None:
    pending = plane.register(route="other", start=False).id
    with pytest.raises(Conflict, match="is pending; its checks can be amended only while"):
        plane.amend(pending, ERRORS)
    plane.act(running, "pause")
    said = view_of(plane.engine, running, now=plane.now).sentence
    plane.amend(running, ERRORS)
    assert view_of(plane.engine, running, now=plane.now).sentence == said  # it goes on saying why it waits
    plane.act(running, "abort")
    with pytest.raises(Conflict, match="is aborted"):
        plane.amend(running, ERRORS | {"margin": 9})


def test_a_check_that_has_failed_is_not_amended_away(plane: Plane) -> None:
    number = plane.register().id
    minute(plane, number, ticks=5, green=10)
    plane.later(60)  # the failing evidence is sealed, and nobody has looked yet
    with pytest.raises(
        Conflict, match="has failed and cannot be amended away; the next look rolls it back: error rate"
    ):
        plane.amend(number, ACCURACY)
    plane.tick()
    assert stored(plane, number).phase == "rolled_back"


def test_a_breach_accepted_is_forgotten_when_its_check_starts_anew(plane: Plane) -> None:
    checks = [PLAN["checks"][0] | {"on_breach": "pause"}, PLAN["checks"][1]]
    number = plane.register(plan=PLAN | {"checks": checks}).id
    minute(plane, number, ticks=12, green=10)
    assert stored(plane, number).phase == "paused"
    plane.amend(number, ERRORS | {"margin": 3}, ACCURACY)
    plane.act(number, "resume")
    assert stored(plane, number).accepted == ()
    minute(plane, number, ticks=12, green=10)
    assert stored(plane, number).phase == "paused"  # by the new evidence
    plane.act(number, "resume")
    assert stored(plane, number).accepted == ("error_rate",)
    plane.amend(number, ERRORS, ACCURACY | {"margin": 9})
    assert stored(plane, number).accepted == ("error_rate",)
    plane.amend(number, ACCURACY)
    assert stored(plane, number).accepted == ()


def test_an_amendment_asked_for_before_a_look_it_waited_for_is_dated_after_it(plane: Plane, running: int) -> None:
    looked = plane.now
    plane.now = START
    plane.amend(running, ERRORS | {"margin": 3}, ACCURACY)
    assert last_entry(plane, running).at == looked
    plane.now = looked
    minute(plane, running)
    assert replayed(plane.engine, running, {}, now=plane.now, retention=RETENTION).differs == ()


def test_amendments_at_once_wait_for_each_other(plane: Plane, running: int) -> None:
    version = stored(plane, running).version
    outcomes: list[str] = []

    def one(margin: float) -> None:
        try:
            plane.amend(running, ERRORS | {"margin": margin}, ACCURACY, version=version)
            outcomes.append("done")
        except Conflict as refusal:
            outcomes.append(str(refusal))

    threads = [threading.Thread(target=one, args=(margin,)) for margin in (3, 4, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome == "done" for outcome in outcomes) == [False, False, True]


def test_a_replay_of_another_plan_says_that_it_holds_from_the_start(plane: Plane, running: int) -> None:
    plane.amend(running, ERRORS | {"margin": 3}, {"metric": "refusal", "margin": 2})
    minute(plane, running)
    other = replayed(plane.engine, running, {"plan": {"beta": 0.2}}, now=plane.now, retention=RETENTION)
    assert not other.own_plan
    assert [check["metric"] for check in other.plan["checks"]] == ["error_rate", "refusal"]
    assert all("share" not in check and "since" not in check for check in other.plan["checks"])
    assert "This plan holds from the start instead" in other.notes[0]
    as_now = {"beta": 0.05, "checks": [ERRORS | {"margin": 3}, {"metric": "refusal", "margin": 2}]}
    today = replayed(plane.engine, running, {"plan": as_now}, now=plane.now, retention=RETENTION)
    assert not today.own_plan  # the checks of today from the start are not what it went through
    assert "This plan holds from the start instead" in today.notes[0]
    own = replayed(plane.engine, running, {"plan": {}}, now=plane.now, retention=RETENTION)
    assert (own.own_plan, own.differs) == (True, ())
    assert [check.get("since") for check in own.plan["checks"]] == [plane.now.timestamp() - 60] * 2


def test_two_amendments_of_the_same_moment_are_two_beginnings(plane: Plane, running: int) -> None:
    plane.amend(running, ERRORS | {"margin": 3}, ACCURACY)
    plane.amend(running, ERRORS | {"margin": 4}, ACCURACY)
    first, second = (entry.numbers["after"]["checks"][0]["since"] for entry in journal(plane.engine, running)[1::-1])
    assert first < second
    minute(plane, running)
    assert replayed(plane.engine, running, {}, now=plane.now, retention=RETENTION).differs == ()


def test_an_amendment_waits_for_the_tick_that_rolls_back_and_then_has_nothing_to_amend(plane: Plane) -> None:
    number = plane.register().id
    minute(plane, number, ticks=5, green=10)
    plane.later(60)
    refusals: list[str] = []

    def amend() -> None:
        with pytest.raises(Conflict) as refusal:
            plane.amend(number, ACCURACY)
        refusals.append(str(refusal.value))

    waiting = threading.Thread(target=amend)
    with begin(plane.engine) as connection:
        assert rollouts.claim_due(connection, plane.now) == number
        waiting.start()
        blocked = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        while waiting.is_alive() and not plane.one(blocked):
            time.sleep(0.01)
        evaluate(connection, number, plane.now)
    waiting.join()
    assert "the rollout is rolled back; its checks can be amended only while" in refusals[0]


def test_amended_checks_await_their_first_look_and_the_others_stand_as_they_were(plane: Plane, running: int) -> None:
    before = {tile["metric"]: tile for tile in view_of(plane.engine, running, now=plane.now).tiles}
    plane.later(4)
    plane.amend(running, ERRORS | {"on_breach": "tell"}, {"metric": "refusal", "margin": 1})
    view = view_of(plane.engine, running, now=plane.now)
    errors, refusals = view.tiles
    assert (errors["awaits_look"], errors["on_breach"]) == (False, "tell")
    assert errors["log_e_worse_needed"] > before["error_rate"]["log_e_worse_needed"]  # its share of alpha is smaller
    same = ("ruling", "sentence", "estimate", "log_e_worse", "buckets", "gate_margin")
    assert {name: errors[name] for name in same} == {name: before["error_rate"][name] for name in same}
    assert (refusals["metric"], refusals["awaits_look"], refusals["ruling"]) == ("refusal", True, "no_data")
    assert refusals["sentence"] == "the checks were amended, and this one awaits its first look"
    assert (refusals["buckets"], refusals["estimate"], refusals["since"]) == (0, None, plane.now.timestamp())
    assert (view.worst, view.log_e_worse) == (None, None)
    plane.later(10)
    plane.tick()
    looked = view_of(plane.engine, running, now=plane.now)
    assert [tile["awaits_look"] for tile in looked.tiles] == [False, False]
    assert [tile["log_e_worse_needed"] for tile in looked.tiles] == pytest.approx(
        [errors["log_e_worse_needed"], refusals["log_e_worse_needed"]]
    )
    assert refusals.keys() == looked.tiles[1].keys()
    assert (looked.worst, looked.log_e_worse is None) == ("no_data", False)


def test_checks_that_were_never_looked_at_say_so_when_the_rollout_has_ended(plane: Plane, running: int) -> None:
    plane.amend(running, ERRORS, ACCURACY | {"margin": 9})
    plane.act(running, "abort")
    errors, accuracy = view_of(plane.engine, running, now=plane.now).tiles
    assert not errors["awaits_look"]
    assert accuracy["sentence"] == "the checks were amended, and the rollout ended before this one's first look"


def test_the_checks_of_a_rollout_are_shown_before_the_first_look(plane: Plane) -> None:
    number = plane.register(start=False).id
    pending = view_of(plane.engine, number, now=plane.now).tiles
    assert [(tile["metric"], tile["margin"], tile["on_breach"]) for tile in pending] == [
        ("error_rate", 2, "roll_back"),
        ("score.accuracy", 5, "roll_back"),
    ]
    assert {(tile["sentence"], tile["awaits_look"]) for tile in pending} == {("not started yet", True)}
    plane.act(number, "start")
    assert view_of(plane.engine, number, now=plane.now).tiles[0]["sentence"] == "awaits its first look"
    plane.act(number, "abort")
    assert (
        view_of(plane.engine, number, now=plane.now).tiles[0]["sentence"] == "the rollout ended before its first look"
    )


def test_a_replay_just_after_an_amendment_tells_the_last_look_as_it_was(plane: Plane, running: int) -> None:
    minute(plane, running)
    said = view_of(plane.engine, running, now=plane.now).sentence
    plane.later(4)
    plane.amend(running, ERRORS | {"margin": 9}, ACCURACY)
    found = replayed(plane.engine, running, {}, now=plane.now, retention=RETENTION)
    assert found.differs == ()
    assert found.outcome == (f"It would still be at 10 % now. {said} The checks were amended since, and await a look.")
