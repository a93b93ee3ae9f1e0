"""Small seeded simulations of the process that rolls back: error rates and delays within what the design promises.

Runs are few, so limits carry a Monte-Carlo allowance; the acceptance table (tests/simulation) plays whole rollouts.
"""

from __future__ import annotations

from math import log
from statistics import median

import numpy as np
from drawn_evidence import drawn, rate

from crossfade.core.evidence import Bucket
from crossfade.stats.base_rate import start_base_rate
from crossfade.stats.columns import to_columns
from crossfade.stats.overdispersion import start_dispersion
from crossfade.stats.worse import log_e_worse, start_worse

MARGIN, NEEDED = 0.005, log(20)


def rolled_back_at(buckets: list[Bucket], base: float) -> int | None:
    """The number of buckets after which the roll-back process crosses, or None."""
    columns = to_columns([k for k in buckets if k.green.n and k.blue.n])
    a, variance, _ = start_base_rate(rate(base)).after(columns)
    phi, soon, _ = start_dispersion().after(columns)
    log_e = log_e_worse(columns, a, variance, MARGIN, True)
    state = start_worse()
    if state.after(log_e, phi, soon).peak < NEEDED:
        return None
    for t in range(len(columns)):
        here = slice(t, t + 1)
        state = state.after(log_e[here], phi[here], soon[here])
        if state.peak >= NEEDED:
            return t + 1
    return None


def delays(runs: int, count: int, **kind) -> list[int | None]:
    base = 0.01 if callable(kind["blue"]) else kind["blue"]
    return [rolled_back_at(drawn(np.random.default_rng(seed), count, **kind), base) for seed in range(runs)]


def share_rolled_back(found: list[int | None]) -> float:
    return sum(each is not None for each in found) / len(found)


def test_equal_models_are_seldom_rolled_back() -> None:
    assert share_rolled_back(delays(200, 300, blue=0.01, green=0.01, weight=0.1)) <= 0.07


def test_a_green_worse_by_four_points_is_rolled_back_within_sixteen_hundred_calls() -> None:
    found = delays(200, 120, blue=0.01, green=0.05, weight=0.1)
    assert share_rolled_back(found) == 1
    assert median(each for each in found if each) * 100 <= 1700


def test_a_green_worse_by_twenty_five_points_is_rolled_back_within_a_few_buckets() -> None:
    found = delays(100, 40, blue=0.01, green=0.26, weight=0.1)
    assert share_rolled_back(found) == 1
    assert median(each for each in found if each) <= 3


def test_calls_that_share_their_fate_by_fours_do_not_roll_equal_models_back() -> None:
    assert share_rolled_back(delays(120, 300, blue=0.01, green=0.01, weight=0.1, clump=4)) <= 0.06


def test_an_outage_of_both_variants_does_not_roll_equal_models_back() -> None:
    def down(t: int) -> float:
        return 0.5 if 50 <= t < 60 else 0.01

    assert share_rolled_back(delays(150, 150, blue=down, green=down, weight=0.1)) <= 0.07


def test_a_green_that_goes_bad_after_fifty_thousand_good_calls_is_caught_within_five_thousand() -> None:
    found = delays(24, 560, blue=0.01, green=lambda t: 0.01 if t < 500 else 0.05, weight=0.1)
    late = [each for each in found if each is None or each > 500]
    assert median(each or 10**6 for each in late) - 500 <= 50
