from __future__ import annotations

import math

import pytest

from crossfade.core.histogram import (
    GROWTH,
    MOST_BINS,
    SMALLEST,
    SMALLEST_COST,
    bin_dollars,
    bin_edges,
    bin_seconds,
    cost_bin,
    duration_bin,
    mean_dollars,
    quantile,
)
from crossfade.core.metric import metric_of


def test_the_lowest_bin_reads_back_as_the_smallest_duration_and_as_no_cost() -> None:
    assert (bin_seconds(0), bin_dollars(0)) == (SMALLEST, 0.0)
    assert (duration_bin(SMALLEST), cost_bin(SMALLEST_COST)) == (0, 0)


def test_the_first_bin_above_reads_back_as_its_middle() -> None:
    assert (duration_bin(SMALLEST * 1.001), cost_bin(SMALLEST_COST * 1.001)) == (1, 1)
    assert bin_seconds(1) == pytest.approx(SMALLEST * GROWTH**0.5)
    assert bin_dollars(1) == pytest.approx(SMALLEST_COST * GROWTH**0.5)


def test_a_quantile_is_the_first_bin_that_reaches_the_share() -> None:
    bins = {30: 1, 10: 2, 20: 1}
    assert [quantile(bins, share) for share in (0.25, 0.5, 0.51, 0.75, 0.76, 1.0)] == [
        bin_seconds(index) for index in (10, 10, 20, 20, 30, 30)
    ]


def test_beyond_the_last_call_a_quantile_is_the_last_bin() -> None:
    assert quantile({10: 1, 20: 3}, 1.01) == bin_seconds(20)


def test_a_mean_cost_weighs_each_bin_by_its_calls() -> None:
    assert mean_dollars({100: 3, 200: 1}) == pytest.approx((3 * bin_dollars(100) + bin_dollars(200)) / 4)


@pytest.mark.parametrize("name", ["latency", "cost"])
def test_a_metric_knows_the_loss_of_every_bin_there_is(name: str) -> None:
    assert list(metric_of(name).losses(0.5)) == [str(index) for index in range(MOST_BINS + 1)]


def test_a_bin_reads_back_within_its_edges_which_meet_the_next_ones() -> None:
    assert bin_edges(0) == (0.0, SMALLEST)
    for index in (1, 300, MOST_BINS - 1):
        low, high = bin_edges(index)
        assert low < bin_seconds(index) < high == bin_edges(index + 1)[0]
        assert {duration_bin(low * 1.0001), duration_bin(high * 0.9999)} == {index}
    assert bin_edges(MOST_BINS)[1] == math.inf
