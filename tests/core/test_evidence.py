from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.core.evidence import Bucket, Pairs, Summary

losses = st.lists(st.floats(0, 1), max_size=30)
numbers = st.one_of(st.floats(), st.integers(-3, 9))


def summed(values: list[float]) -> Summary:
    return Summary(len(values), sum(values), sum(value * value for value in values))


binary = st.integers(0, 1000).flatmap(lambda n: st.integers(0, n).map(lambda s: Summary(n, float(s), float(s))))


@given(parts=st.lists(binary, max_size=6), seed=st.integers(0, 99))
def test_summaries_merge_in_any_order(parts: list[Summary], seed: int) -> None:
    shuffled = Random(seed).sample(parts, len(parts))
    assert sum(parts, Summary()) == sum(shuffled, Summary())


@given(parts=st.lists(losses, max_size=6), repeats=st.integers(1, 50))
def test_sums_of_losses_are_possible_and_so_is_whatever_they_add_up_to(parts: list[list[float]], repeats: int) -> None:
    total = sum([summed(values) for values in parts] * repeats, Summary())
    assert total.n == repeats * sum(map(len, parts))


def test_what_rounding_adds_to_each_of_many_sums_is_still_allowed_in_their_sum() -> None:
    rounded = Summary(1, 1 + 9e-10, 1 + 9e-10)
    assert sum([rounded] * 1000, Summary()).n == 1000


@pytest.mark.parametrize(
    ("sums", "which"),
    [
        ((math.nan, 0, 0), "n must be a whole number of calls, at least 0"),
        ((math.inf, 0, 0), "n must be"),
        ((math.inf, math.inf, math.inf), "n must be"),
        ((-1, 0, 0), "n must be"),
        ((2.5, 1, 1), "n must be"),
        ((1, math.nan, 0), r"s, the sum of losses in \[0, 1\], must be in \[0, n\]"),
        ((1, math.inf, 0), "s, the sum"),
        ((1, -1e-12, 0), "s, the sum"),
        ((2, -0.5, -0.5), "s, the sum"),
        ((1, 2, 1), "s, the sum"),
        ((0, 1e-12, 0), "s, the sum"),
        ((1, 0.5, math.nan), r"q, the sum of squared losses in \[0, 1\], must be in \[0, s\]"),
        ((1, 0.5, math.inf), "q, the sum"),
        ((2, 1, -1e-12), "q, the sum"),
        ((2, 1, 1.5), "q, the sum"),
    ],
)
def test_impossible_sums_are_refused_with_the_one_that_is_wrong(sums: tuple[float, float, float], which: str) -> None:
    with pytest.raises(ValueError, match=f"^impossible sums: {which}.*; got n={sums[0]}, s={sums[1]}, q={sums[2]}$"):
        Summary(*sums)  # type: ignore[arg-type]


@given(n=numbers, s=numbers, q=numbers)
def test_what_is_not_refused_is_finite_and_in_order(n: float, s: float, q: float) -> None:
    try:
        made = Summary(n, s, q)  # type: ignore[arg-type]
    except ValueError:
        return
    assert math.isfinite(made.n)
    assert 0 <= made.q <= made.s * (1 + 1e-9) + 1e-9 * made.n
    assert made.s <= made.n * (1 + 1e-9)


def test_means_and_variances_of_nothing_are_unknown() -> None:
    assert Summary().mean is None
    assert Summary().variance is None
    assert Summary(4, 1, 1).mean == 0.25
    assert Summary(4, 1, 1).variance == pytest.approx(0.1875)


def test_a_variance_that_rounding_took_below_zero_is_zero() -> None:
    assert Summary(10, 10 * 0.1, 10 * 0.1**2 - 1e-17).variance == pytest.approx(0, abs=1e-15)
    assert (Summary(3, 3 * 0.7, 3 * 0.7**2).variance or 0) >= 0


def test_buckets_add_up_and_keep_the_earliest_start() -> None:
    both = Bucket(10, 1, Summary(1), Summary(2, 1, 1)) + Bucket(20, 1, Summary(3, 1, 1))
    assert both == Bucket(10, 1, Summary(4, 1, 1), Summary(2, 1, 1))


@pytest.mark.parametrize("sums", [(1, 0, 0.5), (2, 2, 2.5), (1, 1 + 1e-9, 2)])
def test_where_the_sum_of_losses_is_as_low_or_high_as_it_may_be_the_squares_are_what_is_wrong(
    sums: tuple[int, float, float],
) -> None:
    with pytest.raises(ValueError, match="q, the sum of squared losses"):
        Summary(*sums)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=30))
def test_sums_of_pairs_are_possible_and_agree_with_those_of_their_halves(pairs: list[tuple[float, float]]) -> None:
    total = Pairs()
    for blue, green in pairs:
        d = green - blue
        total += Pairs(1, max(0.0, d), max(0.0, -d), d * d)
    assert total.n == len(pairs)
    assert total.up - total.down == pytest.approx(sum(g for _, g in pairs) - sum(b for b, _ in pairs), abs=1e-9)


@pytest.mark.parametrize(
    "sums", [(1, 0.7, 0.7, 0.5), (1, -0.1, 0.0, 0.0), (2, 1.0, 0.0, 3.0), (1, math.nan, 0.0, 0.0), (-1, 0.0, 0.0, 0.0)]
)
def test_impossible_sums_of_pairs_are_refused(sums: tuple[int, float, float, float]) -> None:
    with pytest.raises(ValueError, match="impossible sums of pairs"):
        Pairs(*sums)


def test_buckets_of_pairs_add_up() -> None:
    one = Bucket(10, 0, Summary(1, 1.0, 1.0), Summary(1, 0.0, 0.0), pairs=Pairs(1, 0.0, 1.0, 1.0))
    two = Bucket(20, 0, Summary(1, 0.0, 0.0), Summary(1, 1.0, 1.0), pairs=Pairs(1, 1.0, 0.0, 1.0))
    assert (one + two).pairs == Pairs(2, 1.0, 1.0, 2.0)
    assert Bucket(0, 0).pairs is None
