"""A shim's batch is read to the last field, and each field says its bounds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crossfade.core.observation import MOST_COUNT, Batch, Row, read_batch, row_to_dict
from crossfade.core.split import Variant
from crossfade.errors import Invalid

NOW = 1_790_000_000.0
SHIM = "0b0e8a5e-7b1c-4f3a-9d2e-1a2b3c4d5e6f"
LEAST: dict[str, Any] = {"route": 1, "variant": "blue", "bucket": int(NOW)}
CALLS: dict[str, Any] = LEAST | {"rollout": 1, "calls": 5, "judged": 5, "errors": 2, "outcomes": {"ok": 5}}
BATCH: dict[str, Any] = {"shim": SHIM, "sequence": 0, "rows": []}
WHOLE = Row(
    route=2**32 - 1,
    rollout=2**32 - 1,
    step=255,
    variant=Variant.GREEN,
    bucket=int(NOW) - 10,
    model="m" * 500,
    region="r" * 100,
    calls=9,
    judged=9,
    errors=9,
    busy=9,
    raised=9,
    retries=MOST_COUNT,
    failovers=3,
    outcomes={"ok": 8, "model_error": 1},
    attempts={"ok": 8, "throttled": MOST_COUNT, "outage": 0},
    latency={0: 4, 1000: 5},
    first_token={7: 9},
    tokens_in=11,
    tokens_out=12,
    cost_n=9,
    cost_sum=float(MOST_COUNT),
    cost_sq=0.25,
    costs={500: 9},
    stops={"end_turn": 9},
    keyed=9,
    groups={0: (4, 4), 127: (5, 5)},
    copies=9,
    pairs={"0,,,,|1,1000,0,7,max_tokens": 4, "1,3,,,|0,3,,,": 5},
)


def read(*rows: dict[str, Any], **changes: Any) -> Batch:
    return read_batch(BATCH | {"rows": list(rows)} | changes, now=NOW, oldest=NOW - 86_400)


def refused(*rows: dict[str, Any], **changes: Any) -> list[str]:
    with pytest.raises(Invalid) as caught:
        read(*rows, **changes)
    return [str(problem) for problem in caught.value.problems]


def test_every_field_of_a_row_survives_the_wire_at_its_highest() -> None:
    assert read(json.loads(json.dumps(row_to_dict(WHOLE)))).rows == (WHOLE,)


def test_a_row_on_the_wire_is_plain_and_leaves_out_what_is_nothing() -> None:
    row = Row(route=1, rollout=0, step=0, variant=Variant.BLUE, bucket=0, calls=2, outcomes={"ok": 2})
    assert row_to_dict(row) == {
        "route": 1, "rollout": 0, "step": 0, "variant": "blue", "bucket": 0, "calls": 2, "outcomes": {"ok": 2},
    }  # fmt: skip
    outcomes = row_to_dict(row)["outcomes"]
    outcomes["ok"] = 3
    assert row.outcomes == {"ok": 2}


def test_what_a_row_leaves_out_is_nothing() -> None:
    batch = read_batch(BATCH | {"rows": [{"route": 1, "variant": "blue", "bucket": 0}]}, now=5.0, oldest=0.0)
    assert batch.rows == (Row(route=1, rollout=0, step=0, variant=Variant.BLUE, bucket=0),)


def test_every_field_of_a_batch_is_read() -> None:
    whole = {
        "service": "s" * 200,
        "shim_version": "v" * 50,
        "snapshot_version": 7,
        "snapshot_age": 1.5,
        "dropped": 8,
        "sent_at": NOW - 3,
    }
    assert read(sequence=9, **whole) == Batch(shim=SHIM, sequence=9, rows=(), **whole)  # type: ignore[arg-type]


def test_what_a_batch_leaves_out_is_nothing_and_it_was_sent_now() -> None:
    assert read() == Batch(
        shim=SHIM,
        sequence=0,
        service="",
        shim_version="",
        snapshot_version=0,
        snapshot_age=0.0,
        dropped=0,
        sent_at=NOW,
        rows=(),
    )
    assert read(snapshot_version=0, snapshot_age=0.25, dropped=0).snapshot_age == 0.25


def test_a_row_of_the_oldest_moment_is_kept() -> None:
    oldest = int(NOW) - 86_400
    assert [row.bucket for row in read(LEAST | {"bucket": oldest}, LEAST | {"bucket": oldest - 1}).rows] == [oldest]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"shim": SHIM.upper()}, f"shim: {SHIM.upper()!r} is not allowed; a UUID in lower case"),
        ({"sequence": -1}, "sequence: is -1; must be at least 0"),
        ({"service": "s" * 201}, "service: is 201 characters long; at most 200"),
        ({"shim_version": "v" * 51}, "shim_version: is 51 characters long; at most 50"),
        ({"snapshot_version": -1}, "snapshot_version: is -1; must be at least 0"),
        ({"snapshot_age": -0.5}, "snapshot_age: is -0.5; must be at least 0"),
        ({"dropped": -1}, "dropped: is -1; must be at least 0"),
        ({"sent_at": "now"}, "sent_at: must be a number, not the text 'now'"),
        ({"rows": [LEAST] * 5001}, "rows: has 5001 entries; must have at least 0 and at most 5000"),
        ({"rows": [7]}, "rows[0]: must be an object with named fields, not 7"),
    ],
)
def test_a_batch_says_what_each_field_may_hold(changes: dict[str, Any], problem: str) -> None:
    assert problem in refused(**changes)


def test_what_is_no_batch_is_said_without_a_path() -> None:
    with pytest.raises(Invalid) as caught:
        read_batch([], now=NOW, oldest=0.0)
    assert str(caught.value.problems[0]) == "must be an object with named fields, not a list"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"route": 0}, "route: is 0; must be at least 1 and at most 4.29497e+09"),
        ({"route": 2**32}, "route: is 4294967296; must be at least 1 and at most 4.29497e+09"),
        ({"rollout": -1}, "rollout: is -1; must be at least 0 and at most 4.29497e+09"),
        ({"rollout": 2**32}, "rollout: is 4294967296; must be at least 0 and at most 4.29497e+09"),
        ({"step": -1}, "step: is -1; must be at least 0 and at most 255"),
        ({"step": 256}, "step: is 256; must be at least 0 and at most 255"),
        ({"bucket": -1}, "bucket: is -1; must be at least 0"),
        ({"model": "m" * 501}, "model: is 501 characters long; at most 500"),
        ({"region": "r" * 101}, "region: is 101 characters long; at most 100"),
        ({"retries": -1}, "retries: is -1; must be at least 0 and at most 1e+12"),
        ({"retries": MOST_COUNT + 1}, "retries: is 1000000000001; must be at least 0 and at most 1e+12"),
        ({"cost_sum": -0.5}, "cost_sum: is -0.5; must be at least 0 and at most 1e+12"),
        ({"cost_sum": 2e12}, "cost_sum: is 2e+12; must be at least 0 and at most 1e+12"),
        ({"cost_sq": -0.5}, "cost_sq: is -0.5; must be at least 0 and at most 1e+12"),
        ({"cost_sq": 2e12}, "cost_sq: is 2e+12; must be at least 0 and at most 1e+12"),
        ({"attempts": {"ok": -1}}, "attempts.ok: is -1; must be at least 0 and at most 1e+12"),
        ({"attempts": {"ok": 2 * MOST_COUNT}}, "attempts.ok: is 2000000000000; must be at least 0 and at most 1e+12"),
        (
            {"rollout": 0, "variant": "green"},
            "variant: is green, but green exists only within a rollout",
        ),
        ({"errors": 6}, "errors: errors 6 <= judged 5 <= calls 5 must hold"),
        ({"judged": 6}, "errors: errors 2 <= judged 6 <= calls 5 must hold"),
        ({"outcomes": {"ok": 4}}, "outcomes: sum to 4, but calls is 5"),
        ({"busy": 6}, "busy: is 6, more than calls, which is 5"),
        ({"raised": 6}, "raised: is 6, more than calls, which is 5"),
        ({"keyed": 6}, "keyed: is 6, more than calls, which is 5"),
        ({"cost_n": 6}, "cost_n: is 6, more than calls, which is 5"),
        ({"latency": {"1": 6}}, "latency: counts 6 calls, but calls is 5"),
        ({"first_token": {"1": 6}}, "first_token: counts 6 calls, but calls is 5"),
        ({"stops": {"refusal": 6}}, "stops: counts 6 calls, but calls is 5"),
        ({"costs": {"1": 1}}, "costs: counts 1 calls, but cost_n is 0"),
        (
            {"keyed": 3, "groups": {"1": [4, 0]}},
            "groups: judge 4 calls, but of 3 keyed ones, and judged is 5",
        ),
        ({"keyed": 5, "groups": {"1": [3, 3]}}, "groups: count 3 errors, but errors is 2"),
        (
            {"latency": {"1001": 1}},
            "latency.1001: must be a bin from 0 to 1000 with a whole count of 0 or more",
        ),
        (
            {"latency": {"00001": 1}},
            "latency.00001: must be a bin from 0 to 1000 with a whole count of 0 or more",
        ),
        (
            {"first_token": {"1": MOST_COUNT + 1}},
            "first_token.1: must be a bin from 0 to 1000 with a whole count of 0 or more",
        ),
        (
            {"keyed": 5, "groups": {"128": [1, 0]}},
            "groups.128: must be a group from 0 to 127 with [judged, errors], errors <= judged",
        ),
        (
            {"keyed": 5, "groups": {"1": [1, 2]}},
            "groups.1: must be a group from 0 to 127 with [judged, errors], errors <= judged",
        ),
        (
            {"keyed": 5, "groups": {"1": [2, 1, 0]}},
            "groups.1: must be a group from 0 to 127 with [judged, errors], errors <= judged",
        ),
        ({"latency": [5]}, "latency: must be an object of bin -> count"),
        ({"groups": [5]}, "groups: must be an object of group -> [judged, errors]"),
    ],
)
def test_a_row_says_what_each_field_may_hold(changes: dict[str, Any], problem: str) -> None:
    assert refused(CALLS | changes) == [f"rows[0].{problem}"]


def test_a_count_may_be_as_high_as_any() -> None:
    huge = {"calls": MOST_COUNT, "outcomes": {"ok": MOST_COUNT}, "latency": {"3": MOST_COUNT}}
    assert read(LEAST | huge).rows[0].latency == {3: MOST_COUNT}
