"""The conditional e-value against slow, independent arithmetic: fractions, binomial coefficients, every assignment."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, product
from math import comb, exp, log

import numpy as np
import pytest
from drawn_evidence import bucket, columns_of

from crossfade.stats import conditional
from crossfade.stats.conditional import log_e_conditional, log_odds_ratio

PSIS = (Fraction(3, 2), Fraction(4), Fraction(40))


def exact_e(x: int, m: int, n_g: int, n_b: int, psi: Fraction) -> Fraction:
    """psi^x over its mean under the hypergeometric, in fractions."""
    support = range(max(0, m - n_b), min(m, n_g) + 1)
    ways = {j: comb(n_g, j) * comb(n_b, m - j) for j in support}
    mean = sum((ways[j] * psi**j for j in support), Fraction(0)) / sum(ways.values())
    return psi**x / mean


def e_value(x: int, m: int, n_g: int, n_b: int, psi: Fraction) -> float:
    columns = columns_of(bucket((n_b, m - x), (n_g, x)))
    return exp(log_e_conditional(columns, np.array([[log(psi)]]))[0, 0])


@pytest.mark.parametrize(
    ("x", "m", "n_g", "n_b"), [(1, 1, 10, 90), (3, 5, 7, 20), (0, 4, 9, 9), (6, 6, 6, 1), (8, 9, 8, 2)]
)
@pytest.mark.parametrize("psi", PSIS)
def test_it_is_the_fraction(x: int, m: int, n_g: int, n_b: int, psi: Fraction) -> None:
    assert e_value(x, m, n_g, n_b, psi) == pytest.approx(float(exact_e(x, m, n_g, n_b, psi)), rel=1e-12)


@pytest.mark.parametrize(("n_g", "n_b"), [(1, 9), (4, 4), (7, 3), (20, 60)])
@pytest.mark.parametrize("psi", PSIS)
def test_its_mean_is_exactly_one_when_the_models_are_equal(n_g: int, n_b: int, psi: Fraction) -> None:
    for m in range(n_g + n_b + 1):
        support = range(max(0, m - n_b), min(m, n_g) + 1)
        chance = [comb(n_g, j) * comb(n_b, m - j) / comb(n_g + n_b, m) for j in support]
        mean = sum(p * e_value(j, m, n_g, n_b, psi) for p, j in zip(chance, support, strict=True))
        assert mean == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("bad", [1, 3, 5])
def test_its_mean_is_one_over_every_assignment_of_calls_whose_outcomes_were_fixed_beforehand(bad: int) -> None:
    outcomes = [1] * bad + [0] * (8 - bad)
    for n_g in (1, 3, 6):
        values = [
            e_value(sum(outcomes[i] for i in green), bad, n_g, 8 - n_g, Fraction(5))
            for green in combinations(range(8), n_g)
        ]
        assert sum(values) / len(values) == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize(("p_b", "p_g"), [(0.3, 0.3), (0.3, 0.1), (0.05, 0.04), (0.9, 0.5)])
def test_its_mean_is_at_most_one_when_green_is_no_worse(p_b: float, p_g: float) -> None:
    n_g, n_b = 4, 9
    mean = sum(
        comb(n_g, x)
        * p_g**x
        * (1 - p_g) ** (n_g - x)
        * comb(n_b, y)
        * p_b**y
        * (1 - p_b) ** (n_b - y)
        * e_value(x, x + y, n_g, n_b, Fraction(6))
        for x, y in product(range(n_g + 1), range(n_b + 1))
    )
    assert mean <= 1 + 1e-10
    if p_b == p_g:
        assert mean == pytest.approx(1, abs=1e-10)


def test_a_total_that_decides_alone_is_no_evidence_at_all() -> None:
    columns = columns_of(
        bucket((90, 0), (10, 0)), bucket((9, 9), (3, 3)), bucket((0, 0), (10, 4)), bucket((10, 4), (0, 0))
    )
    assert (log_e_conditional(columns, np.full((4, 2), 3.0)) == 0).all()


def test_many_buckets_at_once_are_what_each_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    buckets = [bucket((90, int(rng.integers(40))), (30, int(rng.integers(25)))) for _ in range(60)]
    psi = np.tile(np.log([1.5, 4.0, 40.0]), (60, 1))
    together = log_e_conditional(columns_of(*buckets), psi)
    alone = np.vstack([log_e_conditional(columns_of(one), psi[:1]) for one in buckets])
    monkeypatch.setattr(conditional, "MOST_TERMS", 50)
    assert together == pytest.approx(alone, abs=1e-12)
    assert log_e_conditional(columns_of(*buckets), psi) == pytest.approx(alone, abs=1e-12)


def test_nothing_overflows_with_millions_of_calls_and_extreme_alternatives() -> None:
    columns = columns_of(bucket((1_000_000, 20_000), (1_000_000, 30_000)), bucket((10**6, 0), (10**6, 9000)))
    log_e = log_e_conditional(columns, log_odds_ratio(np.array([1e-6, 1e-6]), np.array([[0.0003, 0.98]] * 2)))
    assert np.isfinite(log_e).all()
    assert log_e[1, 1] == pytest.approx(9000 * log(2), rel=0.01)
