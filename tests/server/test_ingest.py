"""Observations and scores are counted once, or refused whole with the reason."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from plane import SECRET, START, Plane, model

from crossfade.core import callid
from crossfade.core.split import Variant
from crossfade.errors import Invalid
from crossfade.server.keys import call_id_key
from crossfade.server.usecases import apply, ingest
from crossfade.server.views.health import health


def calls(plane: Plane) -> int:
    return int(plane.one("SELECT coalesce(sum(calls), 0) FROM observations"))


def problems(error: pytest.ExceptionInfo[Invalid]) -> dict[str, str]:
    return {problem.path: problem.message for problem in error.value.problems}


def test_a_batch_sent_twice_counts_once(plane: Plane) -> None:
    batch = plane.batch(plane.row(calls=7), plane.row(calls=3, ago=30))
    assert ingest.record_batch(plane.engine, batch, now=plane.now) is True
    assert ingest.record_batch(plane.engine, batch, now=plane.now) is False
    assert calls(plane) == 10


def test_the_same_batches_sent_by_many_at_once_count_once(plane: Plane) -> None:
    batches = [plane.batch(plane.row(calls=1, ago=days * 86_400)) for days in range(10)]
    with ThreadPoolExecutor(8) as pool:
        counted = list(pool.map(lambda batch: ingest.record_batch(plane.engine, batch, now=plane.now), batches * 4))
    assert counted.count(True) == 10
    assert calls(plane) == 10


def test_batches_out_of_order_are_all_counted(plane: Plane) -> None:
    for sequence in (5, 1, 3, 0):
        assert ingest.record_batch(plane.engine, plane.batch(plane.row(calls=1), sequence=sequence), now=plane.now)
    assert calls(plane) == 4


def test_a_batch_without_rows_only_tells_that_the_shim_lives(plane: Plane) -> None:
    assert plane.observe()
    assert plane.one("SELECT service FROM shims") == "checkout"


def test_a_model_without_a_price_costs_nothing_known_though_an_older_shim_says_0(plane: Plane) -> None:
    def costs(**cost: Any) -> list[tuple[int, float, dict[str, int]]]:
        plane.sql("DELETE FROM observations")
        plane.observe(plane.row("blue", 10, **cost))
        return [tuple(row) for row in plane.sql("SELECT cost_n, cost_sum, costs FROM observations")]

    free: dict[str, Any] = {"cost_n": 10, "costs": {0: 10}}
    assert costs(**free) == [(10, 0.0, {"0": 10})], "a declared price of 0 is known"
    apply.apply_declarations(plane.engine, {"models": [model("old", price=None)]}, actor="ann", now=plane.now)
    assert costs(**free) == [(0, 0.0, {})]
    before = {"cost_n": 10, "cost_sum": 0.5, "cost_sq": 0.025, "costs": {100: 10}}
    assert costs(**before) == [(10, 0.5, {"100": 10})], "calls from before its price was taken away"


def test_rows_go_to_the_partition_of_their_day(plane: Plane) -> None:
    plane.observe(plane.row(calls=1), plane.row(calls=2, ago=86_400))
    assert plane.one("SELECT sum(calls) FROM observations_20261123") == 1
    assert plane.one("SELECT sum(calls) FROM observations_20261122") == 2


def test_a_batch_of_an_unknown_place_is_refused_whole_with_every_problem(plane: Plane) -> None:
    rollout = plane.register()
    rows = [
        plane.row(calls=1),
        plane.row(rollout=99),
        plane.row(route=77),
        plane.row(rollout=rollout.id, step=2),
        plane.row(rollout=rollout.id, route=2),
    ]
    with pytest.raises(Invalid) as error:
        plane.observe(*rows)
    found = problems(error)
    assert list(found) == ["rows[1].rollout", "rows[2].route", "rows[3].step", "rows[4].rollout"]
    assert found["rows[1].rollout"] == "there is no rollout 99"
    assert calls(plane) == 0
    plane.sequence -= 1
    assert plane.observe(plane.row(calls=1)), "a refused batch must not use up its number"


def test_impossible_sums_are_refused(plane: Plane) -> None:
    for row in (
        plane.row(calls=5, errors=1, judged=0),
        plane.row(calls=5, judged=6),
        plane.row(calls=5, stops={"end_turn": 6}),
        plane.row(calls=5, cost_n=4, costs={500: 5}),
        plane.row(calls=5, keyed=6),
        plane.row(calls=5, keyed=3, groups={1: (4, 0)}),
    ):
        with pytest.raises(Invalid):
            plane.observe(row)
    assert calls(plane) == 0


@pytest.mark.parametrize("body", [None, [], "text", {"rows": []}, {"shim": "x", "sequence": -1, "rows": [1]}])
def test_what_is_no_batch_is_refused(plane: Plane, body: object) -> None:
    with pytest.raises(Invalid):
        ingest.record_batch(plane.engine, body, now=plane.now)


def test_text_that_postgres_cannot_hold_is_refused_not_a_fault(plane: Plane) -> None:
    with pytest.raises(Invalid):
        plane.observe(plane.row(calls=1, model="a\x00b"))
    with pytest.raises(Invalid):
        plane.score((plane.call_id(), 1.0), grader="a\x00b")


def test_a_score_is_stored_under_its_call(plane: Plane) -> None:
    rollout = plane.register()
    assert plane.score((plane.call_id(rollout.id, "green", ago=100, step=1), 0.25)) == 1
    row = plane.sql("SELECT rollout_id, route_id, step, variant, called_at, value FROM scores")[0]
    assert tuple(row) == (rollout.id, 1, 1, "green", int(plane.now.timestamp()) - 100, 0.25)


def test_the_same_score_again_replaces_it(plane: Plane) -> None:
    call = plane.call_id()
    plane.score((call, 0.0))
    plane.score((call, 0.5), (call, 1.0))
    assert plane.sql("SELECT value FROM scores") == [(1.0,)]


def test_two_graders_of_one_call_are_two_scores(plane: Plane) -> None:
    call = plane.call_id()
    plane.score((call, 0.0), grader="one")
    plane.score((call, 1.0), grader="two")
    assert plane.one("SELECT count(*) FROM scores") == 2


def test_a_replacement_after_the_seal_is_kept_beside_the_judged_score(plane: Plane) -> None:
    rollout = plane.register()
    call = plane.call_id(rollout.id, "green")
    plane.score((call, 0.25))
    plane.later(3600)
    plane.score((call, 0.75))
    assert plane.sql("SELECT value, late_value FROM scores") == [(0.25, 0.75)]
    assert plane.one("SELECT count(*) FROM scores") == 1


@pytest.mark.parametrize("accuracy", [[], [{"metric": "score.accuracy", "maturity": 7200}]])
def test_what_was_judged_stays_sealed_when_its_check_is_amended(plane: Plane, accuracy: list[dict[str, Any]]) -> None:
    rollout = plane.register()
    judged = plane.call_id(rollout.id, "green")
    plane.score((judged, 0.25))
    plane.later(100)
    plane.amend(rollout.id, {"metric": "error_rate"}, *accuracy)
    plane.later(10)
    fresh = plane.call_id(rollout.id, "green")
    plane.score((fresh, 0.5))
    plane.later(600)
    plane.score((judged, 0.75), (fresh, 1.0))
    assert plane.sql("SELECT value, late_value FROM scores ORDER BY called_at") == [(0.25, 0.75), (1.0, None)]


def test_bad_scores_are_refused_whole_each_with_its_path(plane: Plane) -> None:
    good, key = plane.call_id(), b"k" * 32
    forged = callid.mint(key, rollout=0, route=1, step=0, variant=Variant.BLUE, called_at=plane.now.timestamp())
    altered = good[:-3] + ("AAA" if good[-3:] != "AAA" else "BBB")
    scores = [
        {"call_id": good, "metric": "accuracy", "value": 1},
        {"call_id": good, "metric": "accuracy", "value": 1.5},
        {"call_id": good, "metric": "accuracy", "value": math.nan},
        {"call_id": good, "metric": "score.accuracy", "value": 1},
        {"call_id": forged, "metric": "accuracy", "value": 1},
        {"call_id": altered, "metric": "accuracy", "value": 1},
        {"call_id": "abc", "metric": "accuracy", "value": 1},
        {"call_id": plane.call_id(ago=900 * 86_400), "metric": "accuracy", "value": 1},
        {"call_id": plane.call_id(ago=-3600), "metric": "accuracy", "value": 1},
        {"call_id": plane.call_id(42), "metric": "accuracy", "value": 1},
        {"call_id": plane.call_id(route=42), "metric": "accuracy", "value": 1},
        {"metric": "accuracy", "value": True, "extra": 1},
    ]
    with pytest.raises(Invalid) as error:
        ingest.record_scores(plane.engine, {"scores": scores}, now=plane.now, secret=SECRET)
    assert sorted(problems(error)) == sorted(
        [
            "scores[1].value",
            "scores[2].value",
            "scores[3].metric",
            *(f"scores[{index}].call_id" for index in range(4, 12)),
            "scores[11].value",
            "scores[11].extra",
        ]
    )
    assert "altered" in problems(error)["scores[4].call_id"]
    assert plane.one("SELECT count(*) FROM scores") == 0


def test_requests_that_overlap_do_not_block_each_other_for_good(plane: Plane) -> None:
    calls = [plane.call_id() for _ in range(40)]

    def send(turn: int) -> int:
        chosen = calls if turn % 2 else calls[::-1]
        return plane.score(*((call, turn % 2) for call in chosen))

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(send, range(24))) == [40] * 24
    assert plane.one("SELECT count(*) FROM scores") == 40


def refused(plane: Plane) -> int:
    return health(plane.engine, now=plane.now).shims[0].refused


def test_rows_of_another_time_are_refused_and_counted_and_the_rest_is_kept(plane: Plane) -> None:
    assert plane.observe(plane.row(calls=1), plane.row(calls=5, ago=40 * 86_400), plane.row(calls=7, ago=-3600))
    assert (calls(plane), refused(plane)) == (1, 12)
    plane.observe(plane.row(calls=2), plane.row(calls=3, ago=-86_400))
    assert (calls(plane), refused(plane)) == (3, 15)
    assert plane.one("SELECT count(*) FROM pg_class WHERE relname = 'observations_20261124'") == 0


@pytest.mark.parametrize("start", [START, START.replace(hour=0)])
def test_a_bucket_a_little_ahead_is_set_to_the_controllers_own(plane: Plane, start: datetime) -> None:
    plane.now = start + timedelta(seconds=7)
    plane.observe(plane.row(calls=1), plane.row(calls=2, ago=-3), plane.row(calls=4, ago=-50))
    assert plane.sql("SELECT DISTINCT bucket FROM observations") == [(int(start.timestamp()),)]
    assert (calls(plane), refused(plane)) == (7, 0)


def test_what_retention_would_drop_is_refused(plane: Plane) -> None:
    plane.observe(plane.row(calls=1))
    batch = plane.batch(plane.row(calls=1, ago=2 * 86_400))
    assert ingest.record_batch(plane.engine, batch, now=plane.now, retention=timedelta(days=1))
    assert (calls(plane), refused(plane)) == (1, 1)
    batch = plane.batch(plane.row(calls=1, ago=2 * 86_400))
    assert ingest.record_batch(plane.engine, batch, now=plane.now, retention=timedelta(days=3))
    assert (calls(plane), refused(plane)) == (2, 1)


def test_a_score_keeps_the_group_of_its_call(plane: Plane) -> None:
    fields = {"rollout": 0, "route": 1, "step": 0, "variant": Variant.BLUE, "called_at": plane.now.timestamp()}
    grouped = callid.mint(call_id_key(SECRET), **fields, group=93)
    plane.score((grouped, 1.0), (plane.call_id(), 1.0))
    assert sorted(plane.sql("SELECT grp FROM scores"), key=str) == [(93,), (None,)]
