"""Small seeded simulations of the real judge's parts: error rates and delays within what the design promises.

Runs are few, so limits carry a Monte-Carlo allowance; the full acceptance table is a benchmark of its own.
"""

from __future__ import annotations

from math import log
from statistics import median

import numpy as np
from drawn_evidence import drawn, rate

from crossfade.core.evidence import Bucket
from crossfade.stats.base_rate import start_base_rate
from crossfade.stats.columns import merge, to_columns
from crossfade.stats.gate import log_e_gate, start_gate
from crossfade.stats.mixture import log_sum
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


def calls_to_promotion(seed: int, p_g: float) -> int | None:
    """100 calls a bucket through 1, 5, 25 and 50 %; None when rolled back."""
    rng = np.random.default_rng(seed)
    base, dispersion, worse, spent = start_base_rate(rate(0.01)), start_dispersion(), start_worse(), 0
    for weight, following in ((0.01, 0.05), (0.05, 0.25), (0.25, 0.5), (0.5, 1.0)):
        gate, buckets, green = start_gate(), 0, 0.0
        while True:
            drawn_block = drawn(rng, 48, blue=0.01, green=p_g, weight=weight)
            columns = to_columns(merge(None, drawn_block)[0])
            a, variance, base_after = base.after(columns)
            phi, soon, dispersion_after = dispersion.after(columns)
            log_e = log_e_worse(columns, a, variance, MARGIN, True)
            at_gate = log_e_gate(columns, a, variance, phi, min(0.5, MARGIN / following), True)
            path = log_sum(gate.log_mass + np.cumsum(at_gate, axis=0))
            counted = buckets + np.arange(1, len(columns) + 1)
            opens = (path >= NEEDED) & (counted >= 6) & (green + np.cumsum(columns.n_g) >= 30)
            end = int(np.argmax(opens)) + 1 if opens.any() else len(columns)
            worse = worse.after(log_e[:end], phi[:end], soon[:end])
            spent += int((columns.n_g + columns.n_b)[:end].sum())
            if worse.peak >= NEEDED:
                return None
            part = columns.part(slice(0, end))
            (_, _, base), (_, _, dispersion) = base.after(part), dispersion.after(part)
            if opens.any():
                break
            base, dispersion = base_after, dispersion_after
            gate, buckets, green = gate.after(at_gate), int(counted[-1]), green + float(columns.n_g.sum())
    return spent


def test_equal_models_are_promoted_after_some_twenty_five_thousand_calls() -> None:
    found = [calls_to_promotion(seed, 0.01) for seed in range(80)]
    promoted = [each for each in found if each is not None]
    assert len(promoted) >= 0.92 * len(found)
    assert 19_000 <= median(promoted) <= 29_600


def test_a_green_worse_by_the_margin_is_seldom_promoted() -> None:
    found = [calls_to_promotion(seed, 0.015) for seed in range(40)]
    assert sum(each is not None for each in found) <= 0.08 * len(found)
