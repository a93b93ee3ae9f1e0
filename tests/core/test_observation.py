from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.core.histogram import (
    bin_dollars,
    bin_seconds,
    cost_bin,
    duration_bin,
    mean_dollars,
    quantile,
)
from crossfade.core.observation import Batch, read_batch, row_to_dict
from crossfade.core.split import Variant
from crossfade.errors import Invalid

NOW = 1_790_000_000.0
ROW: dict[str, Any] = {
    "route": 1,
    "rollout": 2,
    "step": 0,
    "variant": "green",
    "bucket": int(NOW) - 10,
    "model": "new",
    "region": "us-east-1",
    "calls": 10,
    "judged": 9,
    "errors": 2,
    "outcomes": {"ok": 8, "model_error": 2},
    "latency": {"400": 10},
}
BATCH: dict[str, Any] = {"shim": "0b0e8a5e-7b1c-4f3a-9d2e-1a2b3c4d5e6f", "sequence": 4, "rows": [ROW]}


def read(document: object) -> Batch:
    return read_batch(document, now=NOW, oldest=NOW - 86_400)


def refused(**changes: Any) -> list[str]:
    with pytest.raises(Invalid) as caught:
        read(BATCH | {"rows": [ROW | changes]})
    return [str(problem) for problem in caught.value.problems]


def test_a_row_survives_the_wire() -> None:
    row = read(BATCH).rows[0]
    assert (row.calls, row.variant, row.latency) == (10, Variant.GREEN, {400: 10})
    assert read(BATCH | {"rows": [json.loads(json.dumps(row_to_dict(row)))]}).rows == (row,)


def test_a_row_with_all_its_tables_survives_the_wire() -> None:
    more = {
        "cost_n": 9,
        "costs": {"500": 9},
        "stops": {"end_turn": 7, "max_tokens": 1},
        "keyed": 8,
        "groups": {"0": [3, 1], "127": [4, 0]},
    }
    row = read(BATCH | {"rows": [ROW | more]}).rows[0]
    assert (row.costs, row.keyed, row.groups) == ({500: 9}, 8, {0: (3, 1), 127: (4, 0)})
    assert read(BATCH | {"rows": [json.loads(json.dumps(row_to_dict(row)))]}).rows == (row,)


@pytest.mark.parametrize("bucket", [int(NOW) + 61, int(NOW) - 90_000])
def test_a_row_of_another_time_is_left_out_and_its_calls_are_counted(bucket: int) -> None:
    batch = read(BATCH | {"rows": [ROW, ROW | {"bucket": bucket}]})
    assert ([row.bucket for row in batch.rows], batch.refused) == ([ROW["bucket"]], 10)
    assert read(BATCH | {"rows": [ROW | {"bucket": int(NOW) + 60}]}).refused == 0


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"calls": -1, "outcomes": {}}, "rows[0].calls"),
        ({"errors": 11}, "rows[0].errors"),
        ({"judged": 11}, "rows[0].errors"),
        ({"outcomes": {"ok": 9}}, "rows[0].outcomes"),
        ({"outcomes": {"fine": 10}}, "rows[0].outcomes.fine"),
        ({"latency": {"400": 11}}, "rows[0].latency"),
        ({"latency": {"-1": 1}}, "rows[0].latency.-1"),
        ({"latency": {"2": float("nan")}}, "rows[0].latency.2"),
        ({"latency": {"9" * 5000: 1}}, "rows[0].latency." + "9" * 5000),
        ({"bucket": -1}, "rows[0].bucket"),
        ({"variant": "purple"}, "rows[0].variant"),
        ({"rollout": 0}, "rows[0].variant"),
        ({"busy": 11}, "rows[0].busy"),
        ({"cost_sum": float("inf")}, "rows[0].cost_sum"),
        ({"cost_n": 11}, "rows[0].cost_n"),
        ({"costs": {"400": 5}, "cost_n": 4}, "rows[0].costs"),
        ({"costs": {"1001": 1}, "cost_n": 4}, "rows[0].costs.1001"),
        ({"costs": []}, "rows[0].costs"),
        ({"stops": {"end_turn": 9, "refusal": 2}}, "rows[0].stops"),
        ({"stops": {"boredom": 1}}, "rows[0].stops.boredom"),
        ({"stops": {"refusal": -1}}, "rows[0].stops.refusal"),
        ({"keyed": 11}, "rows[0].keyed"),
        ({"keyed": 5, "groups": {"3": [6, 0]}}, "rows[0].groups"),
        ({"keyed": 10, "groups": {"3": [5, 0], "4": [5, 0]}}, "rows[0].groups"),
        ({"keyed": 10, "groups": {"3": [5, 3]}}, "rows[0].groups"),
        ({"keyed": 10, "groups": {"3": [1, 2]}}, "rows[0].groups.3"),
        ({"keyed": 10, "groups": {"128": [1, 0]}}, "rows[0].groups.128"),
        ({"keyed": 10, "groups": {"3": [1, True]}}, "rows[0].groups.3"),
        ({"keyed": 10, "groups": {"3": 1}}, "rows[0].groups.3"),
        ({"groups": [[1, 1]]}, "rows[0].groups"),
        ({"copies": 11}, "rows[0].copies"),
        ({"variant": "blue", "copies": 1}, "rows[0].copies"),
        ({"copies": 2, "pairs": {"0,,,,|0,,,,": 3}}, "rows[0].pairs"),
        ({"copies": 2, "pairs": {"0,,,,|0,,,,": -1}}, "rows[0].pairs.0,,,,|0,,,,"),
        ({"copies": 2, "pairs": {"0,,,,": 1}}, "rows[0].pairs.0,,,,"),
        ({"colour": 1}, "rows[0].colour"),
    ],
)
def test_an_impossible_row_is_refused_with_its_place(changes: dict[str, Any], path: str) -> None:
    assert any(line.startswith(path + ":") for line in refused(**changes)), refused(**changes)


@pytest.mark.parametrize("document", [None, [], "x", {}, {"shim": "me", "sequence": -1, "rows": {}}])
def test_what_is_no_batch_is_refused(document: object) -> None:
    with pytest.raises(Invalid):
        read(document)


@given(seconds=st.floats(2e-4, 3000))
def test_a_duration_read_back_is_within_one_percent(seconds: float) -> None:
    assert bin_seconds(duration_bin(seconds)) == pytest.approx(seconds, rel=0.0101)


def test_quantiles_come_from_the_bins() -> None:
    bins = {duration_bin(0.1): 90, duration_bin(2.0): 10}
    assert quantile(bins, 0.5) == pytest.approx(0.1, rel=0.0101)
    assert quantile(bins, 0.95) == pytest.approx(2.0, rel=0.0101)
    assert quantile({}, 0.5) is None
    assert duration_bin(0) == 0
    assert duration_bin(1e9) == 1000


@given(dollars=st.floats(2e-7, 38))
def test_a_cost_read_back_is_within_one_percent(dollars: float) -> None:
    assert bin_dollars(cost_bin(dollars)) == pytest.approx(dollars, rel=0.0101)


def test_a_call_that_costs_nothing_reads_back_as_nothing() -> None:
    assert (cost_bin(0.0), bin_dollars(0), cost_bin(1e9)) == (0, 0.0, 1000)
    assert mean_dollars({cost_bin(0.0): 1, cost_bin(0.02): 1}) == pytest.approx(0.01, rel=0.0101)
    assert mean_dollars({}) is None
