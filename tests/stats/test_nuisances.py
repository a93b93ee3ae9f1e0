"""What aims the bets and what is shown beside them: base rate, overdispersion, estimate, calls still needed."""

from __future__ import annotations

from itertools import combinations, product
from math import log

import numpy as np
import pytest
from drawn_evidence import bucket, columns_of, drawn, rate

from crossfade.core.evidence import EMPTY, Bucket, Summary
from crossfade.stats.base_rate import start_base_rate
from crossfade.stats.columns import merge, to_columns
from crossfade.stats.estimate import estimate, start_stratified
from crossfade.stats.needed import calls_needed, kl, rate_information, shrunk
from crossfade.stats.overdispersion import start_dispersion


def phi(buckets: list) -> float:
    return start_dispersion().after(to_columns(buckets))[-1].phi


def test_the_base_rate_of_a_bucket_is_known_before_it() -> None:
    first = columns_of(bucket((90, 0), (10, 0)))
    other = columns_of(bucket((90, 90), (10, 10)))
    start = start_base_rate(rate(0.02))
    assert start.after(first)[0] == start.after(other)[0] == pytest.approx(0.02, rel=0.01)


def test_history_is_outgrown() -> None:
    now = start_base_rate(rate(0.5, 1_000_000))
    *_, now = now.after(columns_of(*[bucket((90, 1), (10, 0))] * 1000))
    assert now.mean == pytest.approx(1 / 90, rel=0.1)


def test_without_history_the_base_rate_is_neither_zero_nor_one() -> None:
    assert 0 < start_base_rate(EMPTY).mean < 1
    *_, now = start_base_rate(EMPTY).after(columns_of(*[bucket((90, 90), (10, 10))] * 500))
    assert now.mean <= 0.97


def test_independent_calls_are_not_overdispersed() -> None:
    assert phi(drawn(np.random.default_rng(1), 600, blue=0.05, green=0.05, weight=0.3)) < 1.25


def test_calls_that_share_their_fate_by_fours_have_a_phi_near_four() -> None:
    found = phi(drawn(np.random.default_rng(2), 800, blue=0.05, green=0.05, weight=0.3, clump=4))
    assert found == pytest.approx(4, rel=0.2)


def test_it_is_learnt_from_few_bad_calls() -> None:
    """Some five groups of four fail in twenty buckets."""
    found = [
        phi(drawn(np.random.default_rng(seed), 20, blue=0.01, green=0.01, weight=0.5, clump=4)) for seed in range(100)
    ]
    assert np.mean(found) > 1.4


@pytest.mark.parametrize("losses", [(1, 0, 0, 0, 0, 0), (1, 1, 1, 0, 0, 0), (0.9, 0.5, 0.5, 0.1, 0, 0)])
@pytest.mark.parametrize("green", [1, 2, 4])
def test_the_nominal_variance_is_on_average_that_of_the_assignment(losses: tuple[float, ...], green: int) -> None:
    """Whatever the losses are: over all ways to choose green's calls among them, in two buckets."""
    ways = [set(chosen) for chosen in combinations(range(len(losses)), green)]
    buckets = [Bucket(0, 0, summed(losses, set(range(len(losses))) - way), summed(losses, way)) for way in ways]
    states = [start_dispersion().after(to_columns(both))[-1] for both in product(buckets, repeat=2)]
    assert np.mean([state.seen for state in states]) == pytest.approx(np.mean([state.nominal for state in states]))


def summed(losses: tuple[float, ...], chosen: set[int]) -> Summary:
    return Summary(len(chosen), sum(losses[k] for k in chosen), sum(losses[k] ** 2 for k in chosen))


def test_neither_a_shared_outage_nor_a_much_worse_green_is_overdispersion() -> None:
    rng = np.random.default_rng(3)
    outage = drawn(rng, 300, blue=lambda t: 0.5 if 100 <= t < 110 else 0.01, green=lambda t: 0.5 if 100 <= t < 110 else 0.01, weight=0.1)  # fmt: skip  # noqa: E501
    assert phi(outage) < 1.4
    assert phi(drawn(rng, 300, blue=0.01, green=0.26, weight=0.1)) < 1.4


def test_buckets_are_merged_until_they_have_twenty_calls_of_both_variants() -> None:
    calls = [
        ((9, 1), (0, 0)),
        ((30, 0), (0, 0)),
        ((0, 0), (1, 1)),
        ((5, 0), (0, 0)),
        ((13, 0), (1, 0)),
        ((0, 0), (1, 0)),
    ]
    judged, pending = merge((), [bucket(*each) for each in calls])
    assert [(k.blue.n, k.green.n) for k in judged] == [(39, 1), (18, 2)]
    assert pending == ()


def test_each_step_fills_its_own_bucket_while_calls_of_two_come_in_together() -> None:
    row = [bucket((9, 1), (0, 0), step=0), bucket((6, 0), (3, 0), step=1)] * 3
    judged, pending = merge((), row)
    assert [(k.step, k.blue.n, k.green.n) for k in judged] == [(1, 18, 9)]
    assert [(k.step, k.blue.n) for k in pending] == [(0, 27)]
    assert merge(merge((), row[:3])[1], row[3:]) == (judged, pending)


def test_ramp_and_drift_together_do_not_move_the_estimate_of_equal_models() -> None:
    buckets = [bucket((950, 9), (50, 0)), bucket((500, 15), (500, 15))]
    assert estimate(tuple(start_stratified().after(to_columns(buckets[1:])).sums)) == pytest.approx(0)
    even = [bucket((9500, 95), (500, 5)), bucket((5000, 150), (5000, 150))]
    pooled = 155 / 5500 - 245 / 14500
    assert pooled > 0.01
    assert estimate(tuple(start_stratified().after(to_columns(even)).sums)) == pytest.approx(0, abs=1e-15)


def test_information_is_the_divergence_from_the_nearest_point_of_the_null() -> None:
    p, d, w = 0.01, 0.01, 0.25
    nearest = min((1 - w) * kl(p, u) + w * kl(p, u + d) for u in np.linspace(1e-5, 0.02, 20_001))
    assert rate_information(p, p, d, w) == pytest.approx(nearest, rel=1e-5)


def test_calls_needed_is_none_when_the_drift_is_against_it() -> None:
    facts = {"p_b": 0.01, "variance": 0.01, "d": 0.005, "weight": 0.5, "log_e": 0.0, "level": log(20), "phi": 1.0}
    assert calls_needed(difference=0.006, binary=True, **facts) is None
    assert calls_needed(difference=0.006, binary=False, **facts) is None
    equal = calls_needed(difference=0.0, binary=True, **facts)
    better = calls_needed(difference=-0.005, binary=True, **facts)
    assert equal is not None
    assert better is not None
    assert 0 < better < equal


def test_no_calls_are_needed_once_the_gate_is_open_and_none_help_without_a_split() -> None:
    facts = {"p_b": 0.01, "difference": 0.0, "variance": 0.01, "d": 0.005, "level": log(20), "phi": 1.0, "binary": True}  # fmt: skip  # noqa: E501
    assert calls_needed(weight=0.5, log_e=3.1, **facts) == 0
    assert calls_needed(weight=1.0, log_e=0.0, **facts) is None
    assert calls_needed(weight=0.0, log_e=0.0, **facts) is None


def test_an_estimate_from_little_is_drawn_to_zero() -> None:
    assert shrunk(0.04, 0.05, 0.005) < 0.001
    assert shrunk(0.04, 0.0, 0.005) == pytest.approx(0.04)
