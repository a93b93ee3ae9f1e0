"""Where the judge's levels lie exactly, and what a verdict carries."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log

import numpy as np
import pytest
from drawn_evidence import drawn, plan_of, rate, series

from crossfade.core.evidence import Bucket, Series, Summary
from crossfade.core.plan import Check
from crossfade.core.verdict import Ruling
from crossfade.stats.carried import start_carried
from crossfade.stats.combine import failing, log_mean_e
from crossfade.stats.figures import Figures, figures
from crossfade.stats.interval import ABOVE_ZERO, Bounds, grid, interval
from crossfade.stats.judge import judge, judge_figures
from crossfade.stats.sample_ratio import start_sample_ratio

PLAN = plan_of(weights=(50,))
NEEDED = log(1 / 0.05)


def found(**changes: float) -> Figures:
    """Figures of an undecided rollout, some of them changed."""
    check = PLAN.checks[0]
    buckets = drawn(np.random.default_rng(4), 20, blue=0.01, green=0.01, weight=0.5)
    (plain,) = figures(start_carried(check, check.gate_margin(100), 0, rate(0.01)).after(buckets).state)
    return replace(plain, **changes)


def ruling(**changes: float) -> Ruling:
    return judge_figures(PLAN, [found(**changes)], step=0).verdicts[0].ruling


def test_evidence_at_its_level_decides_and_below_it_does_not() -> None:
    assert ruling() is Ruling.INCONCLUSIVE
    assert ruling(log_e_gate=NEEDED) is Ruling.PASSED
    assert ruling(log_e_gate=NEEDED - 1e-9) is Ruling.INCONCLUSIVE
    assert ruling(log_e_worse=NEEDED, rises=2) is Ruling.FAILED
    assert ruling(log_e_worse=NEEDED - 1e-9, rises=2) is Ruling.INCONCLUSIVE
    assert ruling(log_e_worse=NEEDED, rises=1) is Ruling.INCONCLUSIVE
    assert ruling(step_buckets=0, log_e_gate=NEEDED) is Ruling.NO_DATA


def test_what_fails_fails_whatever_its_gate_says() -> None:
    assert ruling(log_e_worse=NEEDED, rises=2, log_e_gate=NEEDED) is Ruling.FAILED


def test_evidence_that_once_crossed_stays_at_its_peak() -> None:
    (stopped,) = judge_figures(PLAN, [found(log_e_worse=1.0, peak=NEEDED)], step=0).verdicts
    assert stopped.log_e_worse == NEEDED
    (fallen,) = judge_figures(PLAN, [found(log_e_worse=1.0, peak=NEEDED - 1e-9)], step=0).verdicts
    assert fallen.log_e_worse == 1.0


def test_blue_is_degraded_from_the_level_of_alpha_on() -> None:
    at, below = (
        judge_figures(PLAN, [found(log_e_degraded=level)], step=0).verdicts[0] for level in (NEEDED, NEEDED - 1e-9)
    )
    assert (at.degraded, below.degraded) == (True, False)


def test_a_verdict_carries_its_sums_levels_and_margins() -> None:
    plan = plan_of(Check(metric="error_rate", margin=0.5), Check(metric="refusal", margin=1), weights=(5, 25), beta=0.1)
    first = Bucket(0, 0, blue=Summary(95, 2, 2), green=Summary(5, 1, 1))
    second = Bucket(10, 1, blue=Summary(75, 1, 1), green=Summary(25, 0, 0))
    judgement = judge(plan, [series([first, second])], step=1)
    errors, refusals = judgement.verdicts
    assert (errors.blue, errors.green) == (Summary(170, 3, 3), Summary(30, 1, 1))
    assert (errors.step_blue, errors.step_green) == (Summary(75, 1, 1), Summary(25, 0, 0))
    assert (errors.buckets, errors.step_buckets) == (2, 1)
    assert (errors.log_e_worse_needed, errors.log_e_gate_needed) == (log(40), log(10))
    assert (errors.gate_margin, refusals.gate_margin) == (0.005, 0.01)
    assert (refusals.ruling, refusals.blue, refusals.log_e_worse) == (Ruling.NO_DATA, Summary(), 0.0)
    assert judgement.log_e_worse == pytest.approx(log((exp(errors.log_e_worse) + 1) / 2))
    assert judgement.log_e_worse_needed == log(20)


def test_without_bounds_there_is_no_interval() -> None:
    (bare,) = judge_figures(PLAN, [replace(found(), bounds=None)], step=0).verdicts
    assert (bare.lower, bare.upper) == (None, None)


def test_a_forecast_is_left_out_where_nobody_reads_it() -> None:
    told, untold = (judge_figures(PLAN, [found()], step=0, forecast=asked).verdicts[0] for asked in (True, False))
    assert told.calls_needed is not None
    assert untold == replace(told, calls_needed=None)


def test_figures_are_plain_numbers() -> None:
    plain = found()
    assert {type(getattr(plain, name)) for name in ("rises", "buckets", "step_buckets")} == {int}
    assert {type(getattr(plain, name)) for name in ("log_e_worse", "peak", "log_e_gate", "phi", "base_mean")} == {float}
    assert (type(plain.base_known), type(plain.stratified)) == (bool, tuple)


# Several checks


def test_the_mean_of_no_checks_is_one() -> None:
    assert log_mean_e([], []) == 0.0
    assert log_mean_e([log(10), log(30)], [0.25, 0.75]) == pytest.approx(log(25))


@pytest.mark.parametrize(
    ("e", "failed"),
    [
        ((40.0, 1.0), (True, False)),
        ((39.9, 0.05), (False, False)),
        ((39.9, 0.2), (True, False)),
        ((1.0, 40.0), (False, True)),
        ((20.0, 20.0), (True, False)),
        ((19.0, 21.0), (False, True)),
        ((40.0, 41.0), (True, True)),
    ],
)
def test_a_check_fails_by_its_share_or_as_the_largest_part_of_a_mean_that_does(
    e: tuple[float, float], failed: tuple[bool, bool]
) -> None:
    assert failing([log(k) + 1e-12 for k in e], (0.5, 0.5), (True, True), 0.05) == failed


def test_at_its_level_to_the_last_bit_a_check_and_a_mean_fail() -> None:
    assert failing([log(1 / (0.5 * 0.05)), -50.0], (0.5, 0.5), (True, True), 0.05) == (True, False)
    assert failing([log(1 / (0.5 * 0.05))] * 2, (0.5, 0.5), (True, True), 0.05) == (True, True)
    assert failing([log(1 / 0.05)], (1.0,), (True,), 0.05) == (True,)


def test_the_largest_part_is_by_evidence_times_share_and_must_be_confirmed() -> None:
    e = [log(24.0), log(21.0)]
    assert failing(e, (0.2, 0.8), (True, True), 0.05) == (False, True)
    assert failing(e, (0.2, 0.8), (True, False), 0.05) == (False, False)
    assert failing([log(90.0), log(1.0)], (0.5, 0.5), (False, True), 0.05) == (False, False)


# The interval


def bounds(*, over: float | None = None, under: float | None = None, level: float = 3.0) -> Bounds:
    """All differences up to `over` rejected as "<= d" and all from `under` on as ">= d", exactly at `level`."""
    d = grid(0.01)
    reached_over = np.where(d <= over, level, 0.0) if over is not None else np.zeros(len(d))
    reached_under = np.where(d >= under, level, 0.0) if under is not None else np.zeros(len(d))
    nothing = np.full((len(d), 2), -1e3)
    return Bounds(over=np.column_stack((reached_over, nothing)), under=np.column_stack((reached_under, nothing)))


@pytest.mark.parametrize(
    ("over", "under", "ruled", "ends"),
    [
        (None, None, Ruling.INCONCLUSIVE, (None, None)),
        (-0.01, None, Ruling.INCONCLUSIVE, (-0.01, None)),
        (None, 0.02, Ruling.INCONCLUSIVE, (None, 0.02)),
        (-0.01, 0.02, Ruling.INCONCLUSIVE, (-0.01, 0.02)),
        (0.02, None, Ruling.INCONCLUSIVE, (0.0, None)),  # above 0 only once the check has failed
        (0.02, None, Ruling.FAILED, (0.02, None)),
        (-0.01, None, Ruling.FAILED, (ABOVE_ZERO, None)),
        (0.0, None, Ruling.FAILED, (ABOVE_ZERO, None)),
        (None, None, Ruling.FAILED, (ABOVE_ZERO, None)),
        (0.02, 0.06, Ruling.FAILED, (0.02, 0.06)),
        (0.02, 0.01, Ruling.FAILED, (0.02, None)),
        (0.02, 0.02, Ruling.FAILED, (0.02, None)),
        (None, None, Ruling.PASSED, (None, 0.03)),
        (None, 0.02, Ruling.PASSED, (None, 0.02)),
        (None, 0.04, Ruling.PASSED, (None, 0.03)),
        (-0.01, -0.02, Ruling.INCONCLUSIVE, (-0.02, -0.01)),
        (-0.01, -0.01, Ruling.INCONCLUSIVE, (-0.01, -0.01)),
        (0.0, -0.02, Ruling.PASSED, (-0.02, 0.0)),
    ],
)
def test_the_interval_is_what_is_not_rejected_and_agrees_with_the_ruling(
    over: float | None, under: float | None, ruled: Ruling, ends: tuple[float | None, float | None]
) -> None:
    found = interval(
        bounds(over=over, under=under), 0.01, level_over=3.0, level_under=3.0, ruling=ruled, gate_margin=0.03
    )
    assert found == pytest.approx(ends, abs=1e-12)


def test_each_side_of_the_interval_has_its_own_level() -> None:
    both = bounds(over=-0.01, under=0.02)
    levels = [(3.0, 3.1), (3.1, 3.0)]
    ends = [
        interval(both, 0.01, level_over=over, level_under=under, ruling=Ruling.INCONCLUSIVE, gate_margin=0.03)
        for over, under in levels
    ]
    assert ends == [(-0.01, None), (None, 0.02)]


def test_the_grid_has_both_signs_of_each_multiple_and_zero() -> None:
    d = grid(0.005)
    assert len(d) == 35
    assert d == pytest.approx(-d[::-1])
    assert d[17:] == pytest.approx(
        [
            0,
            0.001,
            0.002,
            0.003,
            0.004,
            0.005,
            0.00625,
            0.0075,
            0.01,
            0.015,
            0.02,
            0.03,
            0.04,
            0.06,
            0.08,
            0.12,
            0.16,
            0.32,
        ]
    )
    assert grid(0.5).max() == 0.75, "a difference of 1 or more cannot be asked about"


# The split


def test_a_split_counts_its_calls_and_what_green_should_have_had() -> None:
    split = start_sample_ratio().after([(0.1, 12, 88), (0.5, 40, 60)]).after([(0.5, 1, 0)]).split
    assert (split.calls, split.green, split.expected) == (201, 53, pytest.approx(60.5))
    assert split.log_e_needed == log(1000)


def test_a_series_is_found_by_its_metric() -> None:
    plan = plan_of(Check(metric="error_rate", margin=0.5), Check(metric="refusal", margin=1), weights=(50,))
    bad = Bucket(0, 0, blue=Summary(50, 1, 1), green=Summary(50, 9, 9))
    one = judge(plan, [Series("refusal", (bad,))], step=0)
    assert [v.green.n for v in one.verdicts] == [0, 50]
