"""The roll-back process against a slow one that keeps every start apart; its cap, its two buckets, its weights."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest

from crossfade.stats.mixture import BOUND_WEIGHTS, GATE_WEIGHTS, WORSE_WEIGHTS
from crossfade.stats.worse import CAP, RESTARTS, not_begun, start_worse

ONES = np.ones


def slow_mixture(log_e: np.ndarray) -> float:
    """Every process by itself: one from the first bucket, one from each later bucket, and those still to begin."""
    buckets = len(log_e)
    total = (1 - RESTARTS) * sum(w * exp(log_e[:, k].sum()) for k, w in enumerate(WORSE_WEIGHTS))
    g = [float(not_begun(np.array(k))) for k in range(buckets)]
    for start in range(1, buckets):
        share = RESTARTS * (g[start - 1] - g[start])
        total += share * sum(w * exp(log_e[start:, k].sum()) for k, w in enumerate(WORSE_WEIGHTS))
    return log(total + RESTARTS * g[buckets - 1])


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_mixture_over_alternatives_and_starts(seed: int) -> None:
    log_e = np.random.default_rng(seed).normal(-0.1, 0.6, (40, 5)).clip(max=CAP)
    after = start_worse().after(log_e, ONES(40), ONES(40))
    assert after.log_mixture == pytest.approx(slow_mixture(log_e), abs=1e-10)


def test_one_bucket_at_a_time_is_the_same_as_all_at_once() -> None:
    rng = np.random.default_rng(9)
    log_e, phi, soon = rng.normal(0, 0.8, (50, 5)), rng.uniform(1, 3, 50), rng.uniform(1, 4, 50)
    whole = start_worse().after(log_e, phi, soon)
    state = start_worse()
    for t in range(50):
        state = state.after(log_e[t : t + 1], phi[t : t + 1], soon[t : t + 1])
    assert (state.buckets, state.rises) == (whole.buckets, whole.rises)
    for name in ("log_e", "log_mixture", "peak", "tempering"):
        assert getattr(state, name) == pytest.approx(getattr(whole, name), abs=1e-9)


def test_weights_sum_to_one() -> None:
    for weights in (WORSE_WEIGHTS, GATE_WEIGHTS, BOUND_WEIGHTS):
        assert weights.sum() == pytest.approx(1)
    assert not_begun(np.array([0.0, 1e12])) == pytest.approx([1, 0], abs=0.05)


def test_one_freak_bucket_adds_no_more_than_the_cap_and_never_decides() -> None:
    after = start_worse().after(np.full((1, 5), 500.0), ONES(1), ONES(1))
    assert 0 < after.log_e <= CAP
    assert after.peak == 0


def test_no_evidence_leaves_e_at_one() -> None:
    after = start_worse().after(np.zeros((300, 5)), ONES(300), ONES(300))
    assert after.log_e == pytest.approx(0, abs=1e-9)
    assert after.rises == 0


def test_a_regression_after_good_days_is_found_by_a_later_start() -> None:
    good, bad = np.full((2000, 5), -2.0), np.full((60, 5), 0.4)
    after = start_worse().after(np.vstack((good, bad)), ONES(2060), ONES(2060))
    assert after.log_e > log(20)


def test_evidence_counts_only_as_far_as_todays_overdispersion_has_it() -> None:
    log_e = np.full((10, 5), 0.5)
    calm = start_worse().after(log_e, ONES(10), ONES(10))
    burst = start_worse().after(log_e, ONES(10), np.full(10, 4.0))
    assert burst.log_e == pytest.approx(calm.log_e / 4)
    against = start_worse().after(-log_e, ONES(10), np.full(10, 4.0))
    assert against.log_e == start_worse().after(-log_e, ONES(10), ONES(10)).log_e
