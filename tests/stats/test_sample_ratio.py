"""The split check: valid at every look, quick to notice what is wrong, deaf to nothing."""

from __future__ import annotations

import json
from math import comb, exp

import numpy as np
import pytest

from crossfade.stats.mixture import log_sum
from crossfade.stats.sample_ratio import as_document, from_document, start_sample_ratio


@pytest.mark.parametrize("weight", [0.01, 0.3, 0.5])
def test_its_mean_is_one_when_the_split_is_right(weight: float) -> None:
    n = 12
    mean = sum(
        comb(n, x)
        * weight**x
        * (1 - weight) ** (n - x)
        * exp(log_sum(start_sample_ratio().after([(weight, x, n - x)]).log_mass))
        for x in range(n + 1)
    )
    assert mean == pytest.approx(1)


def test_a_right_split_raises_no_alarm_at_any_of_a_thousand_looks() -> None:
    rng, alarms = np.random.default_rng(1), 0
    for _ in range(300):
        green = rng.binomial(100, 0.1, 1000).tolist()
        alarms += start_sample_ratio().after([(0.1, x, 100 - x) for x in green]).split.alarmed
    assert alarms <= 3


def test_a_split_that_loses_a_fifth_of_greens_calls_is_found() -> None:
    rng = np.random.default_rng(2)
    green = rng.binomial(100, 0.08, 300).tolist()
    split = start_sample_ratio().after([(0.1, x, 100 - x) for x in green]).split
    assert split.alarmed
    assert split.p <= 0.001
    assert (split.calls, split.expected) == (30_000, pytest.approx(3000))


def test_all_at_once_and_bucket_by_bucket_are_the_same() -> None:
    buckets = [(0.1, 9, 90), (0.5, 60, 40), (0.5, 0, 0)]
    state = start_sample_ratio()
    for each in buckets:
        state = state.after([each])
    whole = start_sample_ratio().after(buckets)
    assert (state.log_mass == whole.log_mass).all()
    assert state.split == whole.split


def test_nothing_split_is_no_alarm() -> None:
    split = start_sample_ratio().split
    assert (split.calls, split.p, split.alarmed) == (0, 1.0, False)


def test_what_is_carried_on_as_json_goes_on_to_the_last_bit() -> None:
    rng = np.random.default_rng(3)
    buckets = [(0.05, int(x), 100 - int(x)) for x in rng.binomial(100, 0.07, 40)]
    whole, carried = start_sample_ratio().after(buckets), start_sample_ratio()
    for each in buckets:
        carried = from_document(json.loads(json.dumps(as_document(carried)))).after([each])
    assert (carried.log_mass == whole.log_mass).all()
    assert carried.split == whole.split
