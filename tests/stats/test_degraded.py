"""Blue against its own past: an outage is seen while it lasts, a new level becomes the past, noise is neither."""

from __future__ import annotations

from fractions import Fraction
from math import exp, log

import numpy as np
import pytest
from drawn_evidence import drawn, plan_of, rate, series
from slow_judge import Base, Judged, conditional_e, log_e_balanced, real

from crossfade.core.evidence import Bucket, Summary
from crossfade.stats.carried import start_carried
from crossfade.stats.degraded import log_e_degraded
from crossfade.stats.figures import figures
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


# Against the slow judge's e-values


MULTIPLES, WEIGHTS = (1, 2, 4, 8, 32), (0.15, 0.45, 0.20, 0.10, 0.10)


def asked(recent: tuple[float, ...], past: tuple[float, ...], margin: float, *, binary: bool) -> float:
    return float(log_e_degraded(np.array(recent), np.array(past), margin, binary))


def test_for_errors_it_is_the_conditional_e_value_of_whole_calls() -> None:
    a = Fraction(20, 1000)
    alternatives = [min(Fraction(98, 100), a + Fraction(5, 1000) * k) for k in MULTIPLES]
    psis = [c / (1 - c) / (a / (1 - a)) for c in alternatives]
    e = sum(w * float(conditional_e(10, 30, 100, 1000, psi)) for w, psi in zip(WEIGHTS, psis, strict=True))
    assert e > 20
    # Decayed sums are no whole numbers; the nearest are.
    assert asked((100.4, 9.7, 9.6), (999.8, 20.4, 20.3), 0.005, binary=True) == pytest.approx(log(e), rel=1e-9)


@pytest.mark.parametrize("past", [(800.5, 120.25, 40.0), (800.5, 790.0, 789.0), (50.0, 0.0, 0.0)])
def test_for_scores_it_is_the_mean_of_balanced_bets(past: tuple[float, float, float]) -> None:
    n, s, q = past
    recent = (60.5, 60.25, 60.125)
    a = min(0.97, max(1e-6, s / n))
    row = Judged(
        step=0, n_g=recent[0], s_g=recent[1], q_g=recent[2], n_b=n, s_b=s, q_b=q, binary=False, as_binary=False,
        a=real(a), variance=real(max(1e-6, q / n - a * a)), phi=real(1), soon=real(1),
    )  # fmt: skip
    calls = recent[0] + n
    bets = [log_e_balanced(row, real(min(0.98, a + 0.001 * k)), real(0), 1) for k in MULTIPLES]
    e = sum(w * exp(float(bet) * (calls - 1) / calls) for w, bet in zip(WEIGHTS, bets, strict=True))
    assert asked(recent, past, 0.001, binary=False) == pytest.approx(log(e), rel=1e-9)
    assert log(e) != 0


@pytest.mark.parametrize(
    ("recent", "past"),
    [
        ((100.0, 2.5, 2.5), (1000.0, 20.0, 20.0)),  # worse by no more than the margin
        ((0.5, 0.5, 0.5), (1000.0, 20.0, 20.0)),  # less than one call of late
        ((10.0, 9.0, 9.0), (0.5, 0.0, 0.0)),  # less than one call before
        ((10.0, 2.0, 1.0), (100.0, 50.0, 30.0)),  # better
        ((100.0, 15.0, 5.0), (1000.0, 150.0, 50.0)),  # the same, in graded losses
    ],
)
def test_nothing_is_asked_where_blue_is_not_worse_by_the_margin(
    recent: tuple[float, ...], past: tuple[float, ...]
) -> None:
    for binary in (True, False):
        assert asked(recent, past, 0.005, binary=binary) == 0


def test_one_call_on_each_side_is_enough_to_ask() -> None:
    assert asked((1.0, 1.0, 1.0), (1.0, 0.0, 0.0), 0.005, binary=True) == pytest.approx(log(2), abs=0.001)


def test_rollouts_side_by_side_are_asked_each_for_itself() -> None:
    recent = np.array([(100.0, 9.0, 9.0), (100.0, 2.0, 2.0), (100.0, 30.0, 30.0)])
    past = np.array([(1000.0, 20.0, 20.0)] * 3)
    found = log_e_degraded(recent, past, 0.005, True)
    alone = [asked(tuple(r), tuple(p), 0.005, binary=True) for r, p in zip(recent, past, strict=True)]
    assert found == pytest.approx(alone, rel=1e-12)
    assert found[1] == 0


def test_a_rollouts_last_minutes_are_held_against_its_base_rate() -> None:
    history = rate(0.02, 200)
    outage = [Bucket(10 * t, 0, Summary(100, 20, 20), Summary(10, 2, 2)) for t in range(2)]
    check = plan_of(weights=(10,)).checks[0]
    (found,) = figures(start_carried(check, 0.005, 0, history).after(outage).state)
    base = Base(history, 100)
    for k in outage:
        base.add(k.blue.n, Fraction(k.blue.s), Fraction(k.blue.q))
    recent = 1 + 0.5 ** (1 / 12)
    past = tuple(float(k) for k in (base.n, base.s, base.q))
    assert found.log_e_degraded == pytest.approx(
        asked((100 * recent, 20 * recent, 20 * recent), past, 0.005, binary=True), rel=1e-9
    )
    assert found.log_e_degraded > 0
