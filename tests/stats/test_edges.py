"""Where the numbers that aim the bets end, and what rounding may do to them."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_evidence import bucket, columns_of, rate

from crossfade.core.evidence import EMPTY, Bucket, Summary
from crossfade.stats.base_rate import start_base_rate
from crossfade.stats.columns import to_columns
from crossfade.stats.mixture import bound_alternatives, gate_alternatives, worse_alternatives
from crossfade.stats.needed import MOST_CALLS, calls_needed, rate_information
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
