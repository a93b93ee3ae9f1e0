"""Where the numbers that aim the bets end, and what rounding may do to them."""

from __future__ import annotations

from fractions import Fraction
from math import log

import numpy as np
import pytest
from drawn_evidence import bucket, columns_of, drawn, plan_of, rate, series
from slow_judge import Dispersion, nearest, real

from crossfade.core.evidence import EMPTY, Bucket, Summary
from crossfade.stats.balanced import binary_bets, bounded_bets
from crossfade.stats.base_rate import start_base_rate
from crossfade.stats.columns import to_columns
from crossfade.stats.interval import grid
from crossfade.stats.judge import judge
from crossfade.stats.mixture import bound_alternatives, gate_alternatives, worse_alternatives
from crossfade.stats.needed import MOST_CALLS, calls_needed, rate_information
from crossfade.stats.overdispersion import start_dispersion
from crossfade.stats.state import start_state
from crossfade.stats.worse import start_worse


def test_a_base_rate_leaves_a_bet_room_on_both_sides() -> None:
    assert start_base_rate(rate(0.0, 10**7)).mean == 1e-6
    assert start_base_rate(rate(1.0, 10**7)).mean == 0.97
    assert start_base_rate(rate(0.0, 10**7)).variance == 1e-6


def test_what_was_seen_is_not_scaled_again_when_traffic_falls() -> None:
    busy = [bucket((900, 90), (100, 10))] * 50
    quiet = bucket((1, 0), (1, 0))
    *_, at_once = start_base_rate(rate(0.5, 10**6)).after(columns_of(*busy, quiet))
    *_, first = start_base_rate(rate(0.5, 10**6)).after(columns_of(*busy))
    *_, then = first.after(columns_of(quiet))
    assert then.sums.tolist() == at_once.sums.tolist()


def test_the_base_rate_is_carried_in_fractions_even_where_history_is_whole() -> None:
    whole = start_base_rate(Summary(100, 2, 2))
    assert (whole.sums.dtype, whole.seen.dtype) == (np.float64, np.bool_)
    assert (bool(whole.known), bool(start_base_rate(EMPTY).known)) == (True, False)


def test_alternatives_stay_below_certainty() -> None:
    assert worse_alternatives(np.array(0.9), 0.05).tolist() == pytest.approx([0.95, 0.98, 0.98, 0.98, 0.98])
    assert gate_alternatives(np.array(0.97), 0.4).tolist() == pytest.approx([0.97, 0.98, 0.485])
    assert bound_alternatives(np.array(0.5), np.array([0.3]), 0.05, 1).tolist() == [pytest.approx([0.85, 0.98, 0.98])]
    assert bound_alternatives(np.array(0.5), np.array([0.3]), 0.06, -1).tolist() == [pytest.approx([0.74, 0.56, 1e-6])]


@pytest.mark.parametrize(
    ("history", "binary"),
    [
        (EMPTY, True),
        (Summary(10**7, 1e6, 1e6), True),
        (Summary(10**7, 1e6, 1e6 - 1e-4), True),
        (Summary(10**7, 1e6, 1e6 - 1e-2), False),
        (Summary(10, 1.0, 0.5), False),
    ],
)
def test_a_history_of_errors_is_binary_whatever_rounding_did_to_its_sums(history: Summary, binary: bool) -> None:
    assert start_state(margin=0.01, gate_margin=0.02, step=0, history=history).binary is binary


@pytest.mark.parametrize(
    ("blue", "green", "binary"),
    [
        (Summary(100, 3, 3), Summary(10, 0, 0), True),
        (Summary(10**7, 1e6, 1e6 - 1e-4), Summary(10, 1, 1), True),
        (Summary(10**7, 1e6, 1e6 - 1e-2), Summary(10, 1, 1), False),
        (Summary(100, 3.0 + 1e-7, 3.0 + 1e-7), Summary(10, 1, 1), True),
        (Summary(100, 3.0 + 1e-5, 3.0 + 1e-5), Summary(10, 1, 1), False),
        (Summary(100, 3.5, 3.5), Summary(10, 0.5, 0.5), False),
        (Summary(100, 3, 3), Summary(10, 0.5, 0.5), False),
        (Summary(100, 0.5, 0.5), Summary(10, 1, 1), False),
        (Summary(100, 3, 1), Summary(10, 1, 1), False),
    ],
)
def test_losses_are_binary_when_sums_are_whole_and_squares_are_the_same(
    blue: Summary, green: Summary, binary: bool
) -> None:
    assert to_columns([Bucket(0, 0, blue, green)]).is_binary.tolist() == [binary]


def test_no_buckets_are_columns_of_none() -> None:
    none = to_columns([])
    assert (len(none), none.step.dtype, none.is_binary.tolist()) == (0, np.int64, [])
    assert [column.shape for column in (none.n_g, none.s_g, none.q_g, none.n_b, none.s_b, none.q_b)] == [(0,)] * 6


def test_no_further_buckets_leave_everything_as_it_was() -> None:
    state = start_state(margin=0.01, gate_margin=0.02, step=0, history=EMPTY)
    assert state.after(to_columns([])) is state
    none = np.zeros(0)
    assert start_worse().after(np.zeros((0, 5)), none, none).log_e == 0


def test_what_cannot_be_told_apart_takes_the_most_calls_that_are_said() -> None:
    facts = {"p_b": 0.01, "variance": 0.01, "d": 0.005, "weight": 0.5, "log_e": 0.0, "level": 3.0, "phi": 1.0}
    for binary in (True, False):
        assert calls_needed(difference=0.005, binary=binary, **facts) is None
        assert calls_needed(difference=0.005 - 1e-12, binary=binary, **facts) == MOST_CALLS
    assert rate_information(0.01, 0.015 - 1e-12, 0.005, 0.5) == 0


@pytest.mark.parametrize(
    ("a", "c", "d"),
    [
        (0.97, 0.6, -0.5),
        (0.9, 0.97, 0.3),
        (0.05, 0.001, -0.3),
        (0.97, 0.98, 0.9),
        (1e-6, 1e-6, -0.9),
        (0.5, 0.52, 0.0),
    ],
)
@pytest.mark.parametrize(("n_g", "n_b"), [(50, 50), (1, 99), (99, 1)])
def test_bets_aim_at_a_rate_that_both_variants_can_have(a: float, c: float, d: float, n_g: int, n_b: int) -> None:
    a_, c_, d_, g, b = (np.array([float(value)]) for value in (a, c, d, n_g, n_b))
    side = 1 if c - a > d else -1
    binary = binary_bets(a_, c_, d_, g, b, side)
    assert binary.u == pytest.approx(float(nearest(real(a), real(c), real(d), n_g, n_b)), abs=1e-8)
    bounded = bounded_bets(a_, a_ * (1 - a_), c_, d_, g, b, side)
    aimed = a + (c - a - d) * n_g / (n_g + n_b)
    assert bounded.u == pytest.approx(min(max(aimed, 0.0, -d), 1.0, 1.0 - d))
    for bets in (binary, bounded):
        assert -1e-12 <= bets.u <= 1 + 1e-12
        assert -1e-12 <= bets.u + d <= 1 + 1e-12
        for loss in (0.0, 1.0):
            assert 1 + bets.lambda_g * (loss - bets.u - d) >= 0.00099
            assert 1 + bets.lambda_b * (loss - bets.u) >= 0.00099


def test_overdispersion_carried_in_parts_is_that_of_all_at_once() -> None:
    columns = to_columns(drawn(np.random.default_rng(6), 40, blue=0.1, green=0.2, weight=0.3, clump=2))
    before, soon, whole = start_dispersion().after(columns)
    state, befores, soons = start_dispersion(), [], []
    for part in (columns.part(slice(0, 7)), columns.part(slice(7, 8)), columns.part(slice(8, 40))):
        known, after, state = state.after(part)
        befores += known.tolist()
        soons += after.tolist()
    assert (befores, soons) == (before.tolist(), soon.tolist())
    for name in ("seen", "nominal", "sums", "last", "phi"):
        assert getattr(state, name).tolist() == getattr(whole, name).tolist(), name


def test_the_peak_counts_from_the_second_bucket_that_raised_the_evidence() -> None:
    ones = np.ones(1)
    first = start_worse().after(np.full((1, 5), 0.5), ones, ones)
    second = first.after(np.full((1, 5), 0.5), ones, ones)
    assert (first.rises, first.peak) == (1, 0)
    assert (second.rises, second.peak) == (2, second.log_e)
    assert second.peak > first.log_e > 0
    fallen = second.after(np.full((1, 5), -0.5), ones, ones)
    assert (fallen.rises, fallen.peak) == (2, second.peak)
    assert fallen.log_e < second.log_e


def test_before_the_first_bucket_the_calls_needed_are_those_of_equal_models() -> None:
    verdict = judge(plan_of(weights=(10,)), [series([], history=rate(0.01))], step=0).verdicts[0]
    p_b = 100.05 / 10_001
    assert verdict.calls_needed == calls_needed(
        p_b=p_b, difference=0.0, variance=p_b, d=0.005, weight=0.1, log_e=0.0, level=log(20), phi=1.0, binary=True
    )
    assert judge(plan_of(weights=(10,)), [], step=0).verdicts[0].calls_needed is None


def test_a_difference_of_95_points_is_not_asked_about() -> None:
    assert grid(0.475).max() == 1.5 * 0.475


def test_buckets_of_one_call_each_have_the_overdispersion_of_the_slow_judge() -> None:
    outcomes = [(1, 0), (0, 1), (0, 0), (1, 1), (1, 0), (1, 0), (0, 1)]
    buckets = [bucket((1, blue), (1, green), 10 * t) for t, (blue, green) in enumerate(outcomes)]
    slow = Dispersion(Fraction(1))
    for k in buckets:
        slow.add(k)
    before, soon, state = start_dispersion().after(to_columns(buckets))
    assert state.phi == pytest.approx(float(slow.ratio(20)), rel=1e-12)
    assert soon[-1] == pytest.approx(float(slow.ratio(3)), rel=1e-12)
    assert before[0] == 1
    assert soon[-1] > 1
