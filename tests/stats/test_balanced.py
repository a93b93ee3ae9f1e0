"""Balanced bets: their balance, their aim, and their bounds from sums; their mean is in test_exact."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from drawn_evidence import bucket, columns_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from slow_judge import nearest, real

from crossfade.core.evidence import Bucket, Summary
from crossfade.stats.balanced import (
    binary_bets,
    bounded_bets,
    log_e_bounded,
    log_e_chord,
)

inside = st.floats(0.001, 0.95)


def one(value: float) -> np.ndarray:
    return np.array([[value]])


def bets(a: float, c: float, d: float, n_g: int, n_b: int, side: int, *, binary: bool = True):
    if binary:
        return binary_bets(one(a), one(c), one(d), one(n_g), one(n_b), side)
    return bounded_bets(one(a), one(a * (1 - a)), one(c), one(d), one(n_g), one(n_b), side)


def summed(losses: list[float]) -> Summary:
    return Summary(len(losses), sum(losses), sum(loss * loss for loss in losses))


@given(
    green=st.lists(st.floats(0, 1), min_size=1, max_size=8),
    blue=st.lists(st.floats(0, 1), min_size=1, max_size=8),
    a=inside,
    c=inside,
    d=st.floats(-0.4, 0.4),
    side=st.sampled_from([1, -1]),
)
@settings(max_examples=200, deadline=None)
def test_the_bounds_from_sums_never_exceed_the_product_over_calls(
    green: list[float], blue: list[float], a: float, c: float, d: float, side: int
) -> None:
    n_g, n_b = len(green), len(blue)
    chosen = bets(a, c, d, n_g, n_b, side, binary=False)
    whole = sum(np.log1p(chosen.lambda_g * (y - chosen.u - d)) for y in green)
    whole += sum(np.log1p(chosen.lambda_b * (x - chosen.u)) for x in blue)
    bound = log_e_bounded(chosen, columns_of(Bucket(0, 0, summed(blue), summed(green))))
    assert np.isfinite(bound).all()
    assert bound[0, 0] <= whole[0, 0] + 1e-9


@given(
    a=inside, c=inside, d=st.floats(-0.9, 0.9), n_g=st.integers(1, 10**6), n_b=st.integers(1, 10**6),
    side=st.sampled_from([1, -1]), binary=st.booleans(),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_bets_balance_and_no_call_can_lose_more_than_everything(
    a: float, c: float, d: float, n_g: int, n_b: int, side: int, binary: bool
) -> None:
    chosen = bets(a, c, d, n_g, n_b, side, binary=binary)
    assert side * chosen.lambda_g[0, 0] >= 0
    assert n_g * chosen.lambda_g[0, 0] + n_b * chosen.lambda_b[0, 0] == pytest.approx(0, abs=1e-6)
    for bet, m in ((chosen.lambda_g, chosen.u + d), (chosen.lambda_b, chosen.u)):
        assert (1 + bet * (0 - m))[0, 0] >= 0.0009
        assert (1 + bet * (1 - m))[0, 0] >= 0.0009


@pytest.mark.parametrize(
    ("a", "c", "d", "n_g", "n_b"),
    [
        (0.01, 0.01, 0.005, 25, 75),
        (0.01, 0.01, 0.1, 1, 99),
        (0.2, 0.5, 0.0, 50, 50),
        (0.001, 0.0005, 0.02, 5, 95),
        (0.1, 0.02, -0.05, 10, 90),
    ],
)
def test_u_is_the_nearest_point_of_the_null(a: float, c: float, d: float, n_g: int, n_b: int) -> None:
    def kl(p: float, q: float) -> float:
        return p * log(p / q) + (1 - p) * log((1 - p) / (1 - q))

    def distance(u: float) -> float:
        return n_b * kl(a, u) + n_g * kl(c, u + d)

    low, high = max(0.0, -d) + 1e-9, min(1.0, 1 - d) - 1e-9
    best = minimize_scalar(distance, bounds=(low, high), method="bounded", options={"xatol": 1e-12})
    u = float(bets(a, c, d, n_g, n_b, 1 if c - a > d else -1).u[0, 0])
    assert distance(u) <= best.fun * (1 + 1e-6) + 1e-12


def test_u_is_found_at_any_split_and_rate_of_the_ramp() -> None:
    rng = np.random.default_rng(1)
    count, side = 1500, rng.choice([1, -1], 1500)
    margin = rng.choice([0.001, 0.005, 0.01, 0.05], count)
    a = 10 ** rng.uniform(-4, -0.3, count)
    d = margin * rng.choice([-4, -1, -0.2, 0, 0.2, 1, 4], count)
    c = np.clip(a + d + side * margin * rng.choice([1, 4, 16], count), 1e-6, 0.98)
    n_g, n_b = np.rint(10 ** rng.uniform(0, 3, count)), np.rint(10 ** rng.uniform(2, 3.7, count))
    found = binary_bets(a, c, d, n_g, n_b, 1).u
    rows = zip(a, c, d, n_g, n_b, strict=True)
    best = np.array([float(nearest(*map(real, row[:3]), int(row[3]), int(row[4]))) for row in rows])
    room = np.maximum(1e-6, np.minimum.reduce([best, 1 - best, best + d, 1 - best - d]))
    assert (np.abs(found - best) / room).max() <= 1e-6


def test_a_bucket_of_binary_losses_is_the_likelihood_ratio_in_plain_arithmetic() -> None:
    a, c, d, n_g, s_g, n_b, s_b = 0.02, 0.02, 0.02, 25, 1, 75, 2
    chosen = bets(a, c, d, n_g, n_b, -1)
    u = float(chosen.u[0, 0])
    p = u + d
    plain = s_g * log(c / p) + (n_g - s_g) * log((1 - c) / (1 - p))
    plain += s_b * log(a / u) + (n_b - s_b) * log((1 - a) / (1 - u))
    log_e = log_e_chord(chosen, one(n_g), one(s_g), one(n_b), one(s_b))[0, 0]
    assert log_e == pytest.approx(plain, abs=1e-4)


def test_losses_of_zero_and_one_lose_nothing_to_the_bounds() -> None:
    chosen = bets(0.15, 0.2, 0.0, 50, 50, 1, binary=False)
    sums = columns_of(bucket((50, 8), (50, 12)))
    exact = log_e_chord(chosen, one(50), one(12), one(50), one(8))
    assert log_e_bounded(chosen, sums) == pytest.approx(exact, abs=1e-9)
