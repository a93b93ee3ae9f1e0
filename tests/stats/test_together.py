"""What groups of keys teach of how calls of one user hang together."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from crossfade.core.evidence import Bucket, Summary
from crossfade.stats.columns import to_columns
from crossfade.stats.together import Together, scores_of, start_together


def bad(n: int, s: float) -> Summary:
    return Summary(n, s, s)


def after(*buckets: Bucket) -> Together:
    return start_together().after(scores_of(to_columns(buckets)))[2]


def test_without_keys_it_is_one() -> None:
    _, _, found = start_together().after(scores_of(to_columns([Bucket(0, 0, bad(50, 5), bad(50, 20))] * 3)))
    assert found.phi == 1
    assert found.score.shape == (2, 0)


def test_calls_of_one_user_that_all_fail_count_as_one() -> None:
    """Ten users of five calls each a variant, of whom one fails always: five times the variance, and as of any ten
    that are compared with their own mean, 10 / 9 of it."""
    groups = {g: bad(5, 5.0 if g == 0 else 0.0) for g in range(10)}
    found = after(Bucket(0, 0, bad(50, 5), bad(50, 5), groups, groups))
    assert float(found.phi) == pytest.approx(5 * 10 / 9)


def test_the_same_calls_of_users_who_never_return_count_each() -> None:
    groups = {g: bad(1, float(g < 5)) for g in range(50)}
    found = after(Bucket(0, 0, bad(50, 5), bad(50, 5), groups, groups))
    assert float(found.phi) == pytest.approx(1, rel=0.03)


def test_it_grows_as_users_return() -> None:
    groups = {g: bad(5, 5.0 if g == 0 else 0.0) for g in range(10)}
    bucket = Bucket(0, 0, bad(50, 5), bad(50, 5), groups, groups)
    once, twice, thrice = (float(after(*[bucket] * k).phi) for k in (1, 2, 3))
    assert (twice / once, thrice / once) == (pytest.approx(2), pytest.approx(3))


def test_a_variant_that_is_worse_as_a_whole_is_no_overdispersion() -> None:
    blue = {g: bad(10, 0.0) for g in range(40)}
    green = {g: bad(10, 10.0) for g in range(40)}
    assert after(Bucket(0, 0, bad(400, 0), bad(400, 400), blue, green)).phi == 1


def test_blues_users_say_what_greens_few_are_like() -> None:
    """Green has one group alone, which cannot be compared with any."""
    blue = {g: bad(5, 5.0 if g == 0 else 0.0) for g in range(10)}
    found = after(Bucket(0, 0, bad(50, 5), bad(5, 0), blue, {77: bad(5, 0)}))
    assert float(found.phi) == pytest.approx(5 * 10 / 9, rel=0.01)


def test_calls_without_a_key_are_each_their_own() -> None:
    """Half of the calls have keys, and come in ten users of five: phi is the mean of theirs and 1."""
    groups = {g: bad(5, 5.0 if g == 0 else 0.0) for g in range(10)}
    found = after(Bucket(0, 0, bad(100, 10), bad(100, 10), groups, groups))
    assert float(found.phi) == pytest.approx((5 * 10 / 9 + 1) / 2)


def test_only_buckets_that_are_here_count() -> None:
    groups = {g: bad(5, 5.0 if g == 0 else 0.0) for g in range(10)}
    columns = to_columns([Bucket(0, 0, bad(50, 5), bad(50, 5), groups, groups)] * 2)
    _, _, found = start_together().after(scores_of(columns).only(np.array([True, False])))
    assert float(found.phi) == float(after(Bucket(0, 0, bad(50, 5), bad(50, 5), groups, groups)).phi)
    assert found.anew(np.array(True)).phi == 1


def test_the_mean_over_all_assignments_is_the_variance_of_the_score() -> None:
    """Six users of four calls and a rate of their own, every way to give three of them to green. What the groups add
    up to, not centred, has for its mean the variance of green's score but for what the bucket's mean takes."""
    users = [0.0, 0.0, 1.0, 1.0, 4.0, 0.0]
    total = sum(users)
    seen, scores = [], []
    for chosen in combinations(range(6), 3):
        green = {g: bad(4, users[g]) for g in chosen}
        blue = {g: bad(4, users[g]) for g in range(6) if g not in chosen}
        s_g = sum(users[g] for g in chosen)
        found = after(Bucket(0, 0, bad(12, total - s_g), bad(12, s_g), blue, green))
        seen.append(float((found.score**2).sum()))
        scores.append(s_g - total / 2)
    # Sampling without replacement among six users: the variance of the score is 6 / 5 of what single users add.
    assert np.mean(np.square(scores)) == pytest.approx(6 / 5 * np.mean(seen))
