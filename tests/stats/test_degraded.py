"""Blue against its own past: an outage is seen while it lasts, a new level becomes the past, noise is neither."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_evidence import drawn, plan_of, rate, series

from crossfade.core.evidence import Bucket, Summary
from crossfade.stats.judge import judge


def degraded(buckets: list[Bucket], history: Summary | None = None) -> bool:
    return judge(plan_of(weights=(10,)), [series(buckets, history=history)], step=0).verdicts[0].degraded


def outage(t: int) -> float:
    return 0.5 if 40 <= t < 46 else 0.01


@pytest.mark.parametrize("seed", range(5))
def test_an_outage_of_both_is_seen_at_once_and_over_after_a_while(seed: int) -> None:
    buckets = drawn(np.random.default_rng(seed), 240, blue=outage, green=outage, weight=0.1)
    assert not degraded(buckets[:40])
    assert degraded(buckets[:43])
    assert not degraded(buckets)


def test_a_level_that_stays_becomes_the_past() -> None:
    buckets = drawn(np.random.default_rng(1), 500, blue=lambda t: 0.01 if t < 50 else 0.05, green=0.01, weight=0.1)
    assert degraded(buckets[:70])
    assert not degraded(buckets)


def test_noise_is_seldom_taken_for_it() -> None:
    found = [degraded(drawn(np.random.default_rng(seed), 60, blue=0.01, green=0.01, weight=0.1)) for seed in range(60)]
    assert sum(found) <= 2


def test_graded_scores_are_asked_too() -> None:
    def loss(mean: float) -> Summary:
        return Summary(100, 100 * mean, 100 * (mean**2 + 0.01))

    good = [Bucket(10 * t, 0, loss(0.15), Summary(10, 1.5, 0.3)) for t in range(60)]
    bad = [Bucket(600 + 10 * t, 0, loss(0.4), Summary(10, 4, 1.7)) for t in range(4)]
    history = Summary(10_000, 1500, 325)
    assert not degraded(good, history)
    assert degraded([*good, *bad], history)


def test_without_blue_calls_there_is_nothing_to_say() -> None:
    assert not degraded([])
    assert not degraded([Bucket(0, 0, Summary(), Summary(10, 5, 5))])
    assert rate(0.01).n  # the history alone degrades nothing
