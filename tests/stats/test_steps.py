"""A step begins its gate's evidence anew, for one rollout and for some of many side by side."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest
from drawn_evidence import drawn, plan_of, rate, series

from crossfade.core.evidence import Bucket
from crossfade.stats.carried import Carried, start_carried
from crossfade.stats.columns import Columns, to_columns
from crossfade.stats.figures import Figures, figures
from crossfade.stats.judge import judge, judge_carried
from crossfade.stats.parts import placed, taken
from crossfade.stats.state import State, start_state

PLAN = plan_of(weights=(5, 25))
CHECK = PLAN.checks[0]
HISTORY = rate(0.02)
FIRST = drawn(np.random.default_rng(1), 20, blue=0.02, green=0.03, weight=0.3)
SECOND = drawn(np.random.default_rng(2), 20, blue=0.02, green=0.01, weight=0.3, step=1, start=20)


def begun(buckets: list[Bucket]) -> Carried:
    return start_carried(CHECK, CHECK.gate_margin(PLAN.gate_weight(0)), 0, HISTORY).after(buckets)


def moved(carried: Carried) -> Carried:
    return carried.at(1, CHECK.gate_margin(PLAN.gate_weight(1)))


def test_carried_over_a_step_and_judged_anew_is_one() -> None:
    carried = moved(begun(FIRST)).after(SECOND)
    whole = series([*FIRST, *SECOND], history=HISTORY)
    assert judge_carried(PLAN, [carried], step=1) == judge(PLAN, [whole], step=1)


def test_a_new_step_has_no_evidence_for_its_gate_and_keeps_all_that_rolls_back() -> None:
    before, after = (figures(each.state)[0] for each in (begun(FIRST), moved(begun(FIRST))))
    assert before.step_buckets == before.buckets == after.buckets == 20
    assert before.log_e_gate != 0
    assert (after.log_e_gate, after.step_buckets, after.step_blue.n, after.step_green.n) == (0, 0, 0, 0)
    assert (before.gate_margin, after.gate_margin) == (0.02, 0.005)
    for name in ("log_e_worse", "peak", "rises", "phi", "base_mean", "stratified", "blue", "green"):
        assert getattr(after, name) == getattr(before, name), name


def test_at_the_step_where_it_stands_nothing_begins_anew() -> None:
    carried = begun(FIRST)
    assert carried.at(0, 0.3).state is carried.state


def test_what_is_still_being_merged_goes_into_no_bucket_of_the_next_step() -> None:
    lonely = Bucket(200, 0, blue=rate(0.02, 50))
    assert moved(begun([*FIRST, lonely])).pending == (lonely,)
    later = moved(begun([*FIRST, lonely])).after(SECOND)
    assert (later.pending, figures(later.state)[0].step_blue.n) == ((lonely,), sum(k.blue.n for k in SECOND))


# Two rollouts side by side


def beside(one: list[Bucket], other: list[Bucket]) -> Columns:
    """Both rollouts' buckets, each pair at a time: shape (B, 2)."""
    pairs = [to_columns(pair).side_by_side() for pair in zip(one, other, strict=True)]
    sums = [field.name for field in fields(Columns) if field.name not in ("groups", "pairs")]
    return Columns(**{name: np.concatenate([getattr(k, name) for k in pairs]) for name in sums})


def two() -> State:
    """After the first step's buckets, in order and backwards."""
    start = start_state(margin=CHECK.loss_margin, gate_margin=0.02, step=0, history=HISTORY, runs=(2,))
    columns = beside(FIRST, FIRST[::-1])
    return start.counted(columns).after(columns)


def alone(buckets: list[Bucket]) -> State:
    start = start_state(margin=CHECK.loss_margin, gate_margin=0.02, step=0, history=HISTORY)
    return start.counted(to_columns(buckets)).after(to_columns(buckets))


def assert_alike(found: Figures, expected: Figures) -> None:
    for field in fields(Figures):
        if field.name != "bounds":
            value = plain(getattr(expected, field.name))
            assert plain(getattr(found, field.name)) == pytest.approx(value, rel=1e-12, abs=1e-12), field.name


def plain(value: Any) -> Any:
    return [getattr(value, field.name) for field in fields(value)] if is_dataclass(value) else value


def test_rollouts_side_by_side_are_each_as_if_alone() -> None:
    for found, buckets in zip(figures(two()), (FIRST, FIRST[::-1]), strict=True):
        assert_alike(found, figures(alone(buckets))[0])


def test_one_of_two_rollouts_moves_on_and_the_other_stays() -> None:
    state = two().at(np.array([0, 1]), np.array([0.4, 0.005]))
    stayed, went = figures(state)
    assert_alike(stayed, figures(alone(FIRST))[0])
    assert (stayed.gate_margin, went.gate_margin) == (0.02, 0.005)
    assert (went.log_e_gate, went.step_buckets, went.step_blue.n, went.step_green.n) == (0, 0, 0, 0)
    assert (went.buckets, went.log_e_worse) == (20, figures(two())[1].log_e_worse)
    assert state.step.tolist() == [0, 1]


def test_rollouts_can_be_taken_out_and_put_back_at_their_places() -> None:
    both = two()
    second = taken(both, np.array([1]))
    (found,) = figures(second)
    assert_alike(found, figures(alone(FIRST[::-1]))[0])
    further = to_columns(SECOND[:1]).side_by_side()
    state = placed(both, np.array([1]), second.counted(further).after(further))
    kept, changed = figures(state)
    assert_alike(kept, figures(alone(FIRST))[0])
    assert (kept.buckets, changed.buckets) == (20, 21)
    assert [each.buckets for each in figures(both)] == [20, 20]
    assert (state.margin, state.binary) == (both.margin, True)


def test_rollouts_without_an_interval_can_be_taken_too() -> None:
    start = start_state(margin=0.01, gate_margin=0.02, step=0, history=HISTORY, runs=(3,), bounds=False)
    assert taken(start, np.array([0, 2])).bounds is None
    assert taken(start, np.array([0, 2])).step.shape == (2,)


def test_side_by_side_only_the_buckets_of_each_ones_own_step_count_for_its_gate() -> None:
    start = start_state(margin=CHECK.loss_margin, gate_margin=0.02, step=0, history=HISTORY, runs=(2,))
    there, elsewhere = figures(start.after(beside(FIRST, SECOND)))
    assert (there.log_e_gate, there.step_buckets) == (pytest.approx(figures(alone(FIRST))[0].log_e_gate), 20)
    assert (elsewhere.log_e_gate, elsewhere.step_buckets, elsewhere.buckets) == (0, 0, 20)
