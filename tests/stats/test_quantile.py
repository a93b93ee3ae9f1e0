"""The interval of a quantile: an e-value by enumeration, held at every look, and honest about its bins."""

from __future__ import annotations

import math
from collections import Counter

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.core.histogram import MOST_BINS, bin_edges, duration_bin, quantile
from crossfade.stats.quantile import Between, between, difference, log_e

MEDIAN, SIGMA = 0.8, 0.6
SHARES = {0.5: 0.0, 0.95: 1.6448536269514722, 0.99: 2.3263478740408408}
"""Normal deviates: which times sigma is how far above the median."""

bins = st.dictionaries(st.integers(0, MOST_BINS), st.integers(0, 400), max_size=12)


@pytest.mark.parametrize("q", SHARES)
def test_its_mean_is_one_when_the_share_is_right(q: float) -> None:
    n, k = 40, np.arange(41.0)
    chances = [math.comb(n, i) * q**i * (1 - q) ** (n - i) for i in range(n + 1)]
    assert np.dot(chances, np.exp(log_e(k, np.float64(n), q))) == pytest.approx(1)


@pytest.mark.parametrize(("k", "n", "q"), [(90, 100, 0.95), (0, 7, 0.5), (949_000, 1_000_000, 0.95)])
def test_log_e_is_what_forty_digits_make_of_it(k: int, n: int, q: float) -> None:
    with mpmath.workdps(40):
        a, b = 100 * mpmath.mpf(q), 100 * (1 - mpmath.mpf(q))
        mixed = mpmath.log(mpmath.beta(k + a, n - k + b) / mpmath.beta(a, b))
        slow = mixed - k * mpmath.log(q) - (n - k) * mpmath.log(1 - mpmath.mpf(q))
    assert log_e(np.float64(k), np.float64(n), q) == pytest.approx(float(slow), rel=1e-6)


@pytest.mark.parametrize("q", SHARES)
def test_it_holds_at_every_look_and_narrows(q: float) -> None:
    truth = MEDIAN * math.exp(SIGMA * SHARES[q])
    rng, wrong, last = np.random.default_rng(11), 0, Between()
    for _ in range(60):
        seen: Counter[int] = Counter()
        missed = False
        for calls in np.diff(np.geomspace(10, 50_000, 40).astype(int)):
            durations = MEDIAN * np.exp(SIGMA * rng.standard_normal(calls))
            seen.update(duration_bin(each) for each in durations.tolist())
            last = between(seen, q, alpha=0.05)
            missed |= not (last.low or 0) <= truth <= (last.high or math.inf)
        wrong += missed
        assert last.low is not None
        assert last.high is not None
        assert last.high / last.low < 1.2
    assert wrong <= 6  # at 5 % more than 6 of 60 is a chance of 3 in 100; 1.6 % are seen


@given(bins=bins, q=st.sampled_from(tuple(SHARES)), phi=st.floats(1, 9))
def test_the_value_read_off_lies_within_and_caution_only_widens(bins: dict[int, int], q: float, phi: float) -> None:
    value = quantile(bins, q)
    found = between(bins, q, alpha=0.05)
    if value is None:
        assert found == Between()
        return
    assert (found.low or 0) <= value <= (found.high or math.inf)
    for wider in (between(bins, q, alpha=0.025), between(bins, q, alpha=0.05, phi=phi)):
        assert (wider.low or 0) <= (found.low or 0)
        assert (wider.high or math.inf) >= (found.high or math.inf)


def test_it_ends_on_the_edges_of_bins() -> None:
    one = duration_bin(0.5)
    assert between({one: 10_000}, 0.5, alpha=0.05) == Between(low=bin_edges(one)[0], high=bin_edges(one)[1])
    assert between({0: 10_000}, 0.5, alpha=0.05) == Between(low=None, high=bin_edges(0)[1])
    assert between({MOST_BINS: 10_000}, 0.5, alpha=0.05) == Between(low=bin_edges(MOST_BINS)[0], high=None)


@pytest.mark.parametrize(("q", "calls"), [(0.5, 29), (0.95, 150), (0.99, 473)])
def test_a_high_end_takes_so_many_calls(q: float, calls: int) -> None:
    assert between({300: calls - 1}, q, alpha=0.05).high is None
    assert between({300: calls}, q, alpha=0.05).high == bin_edges(300)[1]


def test_nothing_is_said_without_calls() -> None:
    assert between({}, 0.95, alpha=0.05) == Between()
    assert between({300: 0}, 0.95, alpha=0.05) == Between()


def test_a_difference_is_as_open_as_its_sides() -> None:
    blue, green = Between(low=0.5, high=0.75), Between(low=1.0, high=None)
    assert difference(green, blue) == Between(low=0.25, high=None)
    assert difference(blue, green) == Between(low=None, high=-0.25)
    assert difference(Between(high=0.5), blue) == Between(low=-0.75, high=0.0)
