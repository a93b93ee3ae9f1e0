"""Means of e-values by counting every outcome: in fractions where the numbers are rational, else to rounding.

A formula's mean is exact when its bets are; of the code it is then shown that it computes the formula.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cache
from itertools import combinations, pairwise, product
from math import comb, log, prod

import numpy as np
import pytest
from drawn_evidence import bucket, columns_of
from slow_judge import conditional_e

from crossfade.core.evidence import Bucket, Summary
from crossfade.stats.balanced import (
    Bets,
    binary_bets,
    bounded_bets,
    log_e_bounded,
    log_e_chord,
    small_bucket,
)
from crossfade.stats.conditional import log_e_conditional
from crossfade.stats.mixture import BOUND_WEIGHTS, bound_alternatives, gate_alternatives
from crossfade.stats.worse import CAP

PSIS = (Fraction(3, 2), Fraction(4), Fraction(40))
SPLITS = [(n_g, n - n_g) for n in range(2, 9) for n_g in range(1, n)]
"""Every (green calls, blue calls) of at most eight."""

FEW = ((1, 7), (4, 4), (6, 2), (2, 3))
RATES = (Fraction(1, 50), Fraction(1, 10), Fraction(2, 5), Fraction(4, 5))


def support(m: int, n_g: int, n_b: int) -> range:
    """How many of `m` bad calls can be green's."""
    return range(max(0, m - n_b), min(m, n_g) + 1)


def chances(n: int, p: Fraction) -> list[Fraction]:
    """Of 0, 1 .. n bad calls among n independent ones."""
    return [comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]


def outcomes(n_g: int, n_b: int, p_g: Fraction, p_b: Fraction) -> Iterator[tuple[int, int, Fraction]]:
    """(green's bad calls, blue's, their chance)."""
    for (x, p), (y, q) in product(enumerate(chances(n_g, p_g)), enumerate(chances(n_b, p_b))):
        yield x, y, p * q


def one(value: float) -> np.ndarray:
    return np.array([float(value)])


# The conditional e-value of binary losses


def test_the_conditional_e_value_is_the_fraction() -> None:
    cases = [
        (x, m, n_g, n_b, psi)
        for n_g, n_b, most in [*((*split, 8) for split in SPLITS), (10, 90, 12), (7, 20, 27), (60, 20, 9)]
        for m in range(min(n_g + n_b, most) + 1)
        for x in support(m, n_g, n_b)
        for psi in PSIS
    ]
    columns = columns_of(*[bucket((n_b, m - x), (n_g, x)) for x, m, n_g, n_b, _ in cases])
    found = log_e_conditional(columns, np.array([[log(case[-1])] for case in cases]))[:, 0]
    exact = [conditional_e(*case) for case in cases]
    assert found == pytest.approx([log(e.numerator) - log(e.denominator) for e in exact], abs=2e-12)


@pytest.mark.parametrize("psi", PSIS)
def test_its_mean_is_exactly_one_for_every_total_when_the_models_are_equal(psi: Fraction) -> None:
    for n_g, n_b in SPLITS:
        for m in range(n_g + n_b + 1):
            ways = comb(n_g + n_b, m)
            mean = sum(
                Fraction(comb(n_g, x) * comb(n_b, m - x), ways) * conditional_e(x, m, n_g, n_b, psi)
                for x in support(m, n_g, n_b)
            )
            assert mean == 1


@pytest.mark.parametrize("n_bad", range(9))
def test_its_mean_is_exactly_one_when_only_the_assignment_of_fixed_outcomes_is_random(n_bad: int) -> None:
    fixed = (1,) * n_bad + (0,) * (8 - n_bad)
    for n_g in range(1, 8):
        greens = [sum(fixed[i] for i in chosen) for chosen in combinations(range(8), n_g)]
        values = [conditional_e(x, n_bad, n_g, 8 - n_g, Fraction(5)) for x in greens]
        assert sum(values) == len(values)


@pytest.mark.parametrize("p_b", RATES)
def test_its_mean_is_at_most_one_when_green_is_better_and_exactly_one_when_equal(p_b: Fraction) -> None:
    psi = Fraction(6)
    for n_g, n_b in SPLITS:
        means = [
            sum(p * conditional_e(x, x + y, n_g, n_b, psi) for x, y, p in outcomes(n_g, n_b, p_g, p_b))
            for p_g in (p_b, p_b * Fraction(9, 10), p_b / 2, Fraction(0))
        ]
        assert means[0] == 1
        assert all(later < earlier for earlier, later in pairwise(means))


# Balanced bets on independent calls


def exact_bets(bets: Bets, n_g: int, n_b: int) -> tuple[Fraction, Fraction, Fraction, Fraction]:
    """(u, u + d, lambda_g, lambda_b) of one bet, balanced to the last digit."""
    u, d, lambda_g = (Fraction(float(np.ravel(value)[0])) for value in (bets.u, bets.d, bets.lambda_g))
    assert float(bets.lambda_b[0]) == pytest.approx(float(-lambda_g * n_g / n_b))
    return u, u + d, lambda_g, -lambda_g * n_g / n_b


def e_of(bets: tuple[Fraction, ...], green: Sequence[Fraction], blue: Sequence[Fraction]) -> Fraction:
    """The product over calls."""
    u, m, lambda_g, lambda_b = bets
    return prod(1 + lambda_g * (y - m) for y in green) * prod(1 + lambda_b * (x - u) for x in blue)


def all_bets(a: float, c: float, d: float, n_g: int, n_b: int, side: int) -> list[Bets]:
    """Both kinds, aimed the same way."""
    a_, c_, d_, g, b = (one(value) for value in (a, c, d, n_g, n_b))
    return [binary_bets(a_, c_, d_, g, b, side), bounded_bets(a_, a_ * (1 - a_), c_, d_, g, b, side)]


@pytest.mark.parametrize("p_b", RATES)
@pytest.mark.parametrize("d", [Fraction(1, 10), Fraction(1, 50), Fraction(0), Fraction(-3, 200)])
@pytest.mark.parametrize("side", [1, -1])
def test_the_mean_of_balanced_bets_is_at_most_one_on_the_edge_of_the_null_and_less_beyond_it(
    p_b: Fraction, d: Fraction, side: int
) -> None:
    for (n_g, n_b), a in product(FEW, (0.01, 0.1, 0.5)):
        c = min(0.98, max(1e-6, a + float(d) + side * 0.06))
        for bets in all_bets(a, c, float(d), n_g, n_b, side):
            u, m, g, b = exact = exact_bets(bets, n_g, n_b)
            factors = (1 + g * (1 - m), 1 - g * m, 1 + b * (1 - u), 1 - b * u)
            means = []
            for p_g in (p_b + Fraction(bets.d[0]), p_b + Fraction(bets.d[0]) - side * Fraction(1, 200)):
                # The mean of a product over independent calls is the product of their means.
                green = p_g * factors[0] + (1 - p_g) * factors[1]
                blue = p_b * factors[2] + (1 - p_b) * factors[3]
                means.append(green**n_g * blue**n_b)
            assert means[0] <= 1
            assert means[1] < 1 if g else means[1] == 1
            assert e_of(exact, (Fraction(1),), (Fraction(0),)) == factors[0] * factors[3]


@pytest.mark.parametrize(("d", "side"), [(0.1, -1), (0.1, 1), (0.0, 1), (0.0, -1), (-0.015, 1), (-0.015, -1)])
def test_log_e_of_binary_losses_is_the_product_over_calls(d: float, side: int) -> None:
    for (n_g, n_b), a in product(FEW, (0.01, 0.1, 0.5)):
        for bets in all_bets(a, min(0.98, max(1e-6, a + d + side * 0.06)), d, n_g, n_b, side):
            exact = exact_bets(bets, n_g, n_b)
            for x, y in product(range(n_g + 1), range(n_b + 1)):
                calls = [[Fraction(1)] * bad + [Fraction(0)] * (n - bad) for n, bad in ((n_g, x), (n_b, y))]
                found = log_e_chord(bets, one(n_g), one(x), one(n_b), one(y))[0]
                assert found == pytest.approx(log(e_of(exact, *calls)), abs=1e-12)


LEVELS = (0.0, 0.375, 1.0)


def counted(n: int, chance: Sequence[Fraction]) -> Iterator[tuple[Summary, float]]:
    """The sums of n independent losses of 0, 3/8 and 1, and their chance."""
    for zeros, between in product(range(n + 1), repeat=2):
        ones = n - zeros - between
        if ones >= 0:
            ways = comb(n, zeros) * comb(n - zeros, between)
            each = prod(p**k for p, k in zip(chance, (zeros, between, ones), strict=True))
            yield Summary(n, between * 0.375 + ones, between * 0.375**2 + ones), float(ways * each)


@pytest.mark.parametrize("blue", [(0.7, 0.2, 0.1), (0.1, 0.8, 0.1), (0.5, 0.1, 0.4)])
@pytest.mark.parametrize("moved", [(-0.05, 0.0, 0.05), (0.04, -0.1, 0.06), (0.0, 0.0, 0.0), (0.03, 0.0, -0.03)])
def test_the_lower_bound_for_losses_of_three_sizes_has_a_mean_of_at_most_one(
    blue: tuple[float, ...], moved: tuple[float, ...]
) -> None:
    p_b = [Fraction(str(p)) for p in blue]
    p_g = [p + Fraction(str(by)) for p, by in zip(p_b, moved, strict=True)]
    d = float(sum((g - b) * Fraction(level) for g, b, level in zip(p_g, p_b, LEVELS, strict=True)))
    for (n_g, n_b), side, (a, variance) in product(FEW, (1, -1), ((0.18, 0.08), (0.5, 0.2), (0.05, 0.001))):
        c = a + d + side * 0.2
        bets = bounded_bets(*(np.array([[value]]) for value in (a, variance, c, d, n_g, n_b)), side)
        drawn = [(x, y, p * q) for (x, p), (y, q) in product(counted(n_b, p_b), counted(n_g, p_g))]
        log_e = log_e_bounded(bets, columns_of(*[Bucket(0, 0, x, y) for x, y, _ in drawn]))[:, 0]
        assert np.dot([p for *_, p in drawn], np.exp(log_e)) <= 1 + 1e-12


# Outcomes fixed beforehand, only the assignment random: what balanced bets cannot promise, and what is true instead


@cache
def chance(x: int, m: int, n_g: int, n_b: int) -> float:
    """That x of m bad calls are green's."""
    return comb(n_g, x) * comb(n_b, m - x) / comb(n_g + n_b, m) if m - x <= n_b else 0.0


def means_over_assignments(
    bets: Bets, n_g: np.ndarray, n_b: np.ndarray, m: np.ndarray, cap: float = np.inf
) -> np.ndarray:
    """By row, the mean of the tempered E when green is any n_g of the calls, m of which are bad whoever takes them."""
    total, seen = np.zeros(len(m)), np.zeros(len(m))
    for x in range(int(np.minimum(m, n_g).max()) + 1):
        p = np.array(
            [chance(x, int(k), int(g), int(b)) if x <= k else 0.0 for g, b, k in zip(n_g, n_b, m, strict=True)]
        )
        log_e = log_e_chord(bets, n_g, np.minimum(x, n_g), n_b, np.maximum(0, m - x)) / small_bucket(n_g, n_b)
        total += p * np.exp(np.minimum(log_e, cap))
        seen += p
    assert seen == pytest.approx(1)
    return total


def splits(calls: int) -> list[tuple[int, int]]:
    """(green calls, bad calls) of so many: all of few, else those where the worst was found."""
    if calls <= 10:
        return list(product(range(1, calls), repeat=2))
    n_g = {1, 2, 5, calls // 10, calls // 6, calls // 5, calls // 2, calls - 1}
    return list(product(sorted(n_g), (1, 2, 3, 5, calls // 20)))


@pytest.mark.parametrize(
    ("calls", "most"), [(2, 1), (3, 1.13), (4, 1.19), (6, 1.08), (8, 1.041), (10, 1.05), (100, 1.004), (1000, 1.0005)]
)
def test_the_capped_roll_back_of_scores_exceeds_one_by_little_even_with_fixed_outcomes_and_any_aim(
    calls: int, most: float
) -> None:
    aims = [
        (scale * m / calls, min(0.98, scale * m / calls + more), variance, n_g, m)
        for n_g, m in splits(calls)
        for scale in (1.0, 0.9, 0.75, 0.3, 0.01)
        for more in (0.003, 0.02, 0.1, 0.4, 0.98)
        for variance in (1e-5, 1e-3, 0.02, 0.2)
    ]
    a, c, variance, n_g, m = (np.array(column, dtype=float) for column in zip(*aims, strict=True))
    n_b = calls - n_g
    bets = bounded_bets(np.clip(a, 1e-6, 0.97), variance, c, np.zeros(1), n_g, n_b, 1)
    assert means_over_assignments(bets, n_g, n_b, m, CAP).max() <= most + 1e-12


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("calls", [2, 3, 4, 5, 6, 7, 8])
def test_the_gate_never_exceeds_one_even_when_every_call_has_its_fixed_outcome_under_each_model(
    calls: int, binary: bool
) -> None:
    """Every mix of calls that are bad under neither, green only, blue only and both; green is worse by exactly d."""
    mixes = [
        (harmed, healed, both)
        for harmed, healed, both in product(range(calls + 1), range(3), range(calls + 1))
        if harmed + healed + both <= calls and 0 < (harmed - healed) / calls <= 0.5
    ]
    for (harmed, healed, both), n_g in product(mixes, range(1, calls)):
        x, y, ways = taken_by_green(n_g, (harmed, healed, both, calls - harmed - healed - both))
        d, g, b = one((harmed - healed) / calls), one(n_g), one(calls - n_g)
        a = np.clip(np.array([[1.0], [0.3], [0.01]]) * (both + healed) / calls, 1e-6, 0.97)
        c = gate_alternatives(a[:, 0], float(d[0]))
        bets = binary_bets(a, c, d, g, b, -1) if binary else bounded_bets(a, a * (1 - a), c, d, g, b, -1)
        log_e = log_e_chord(bets, g, x, b, y) / small_bucket(g, b)
        assert (ways * np.exp(log_e)).sum(axis=0).max() <= comb(calls, n_g) * (1 + 1e-12)


def taken_by_green(n_g: int, mix: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of calls bad under (green only, blue only, both, neither): green's bad calls, blue's, and in how many ways."""
    harmed, healed, both, neither = mix
    rows = []
    for taken in product(*(range(count + 1) for count in mix)):
        if sum(taken) == n_g:
            x, y = taken[0] + taken[2], healed - taken[1] + both - taken[2]
            rows.append((x, y, prod(comb(count, k) for count, k in zip(mix, taken, strict=True))))
    assert sum(ways for *_, ways in rows) == comb(harmed + healed + both + neither, n_g)
    x, y, ways = (column[:, None, None] for column in np.array(rows, dtype=float).T)
    return x, y, ways


@pytest.mark.parametrize(
    ("margin", "calls", "most"),
    [
        (0.005, 10, 1.001),
        (0.005, 100, 1.002),
        (0.005, 1000, 1.003),
        (0.01, 1000, 1.006),
        (0.05, 10, 1.02),
        (0.05, 100, 1.06),
        (0.05, 1000, 1.07),
    ],
)
def test_the_interval_of_a_known_base_rate_exceeds_one_by_little_with_fixed_outcomes(
    margin: float, calls: int, most: float
) -> None:
    n_g, m = (np.array(column, dtype=float) for column in zip(*splits(calls), strict=True))
    n_b = calls - n_g
    a = np.clip(m / calls, 1e-6, 0.97)
    c = bound_alternatives(a, np.zeros(1), margin, 1)[:, 0, :]
    bets = [binary_bets(a, c[:, k], np.zeros(1), n_g, n_b, 1) for k in range(c.shape[1])]
    assert (BOUND_WEIGHTS @ [means_over_assignments(each, n_g, n_b, m) for each in bets]).max() <= most


def test_without_a_cap_a_bold_bet_on_one_green_call_is_fooled_by_fixed_outcomes() -> None:
    """One bad call in 1,000, and green has one call: the cap is what the roll-back of scores owes its limit to."""
    n_g, n_b, m = one(1), one(999), one(1)
    bets = bounded_bets(one(0.001), one(0.001 * 0.999), one(0.5734), np.zeros(1), n_g, n_b, 1)
    assert means_over_assignments(bets, n_g, n_b, m)[0] == pytest.approx(1.503, abs=0.001)
    assert means_over_assignments(bets, n_g, n_b, m, CAP)[0] < 1
