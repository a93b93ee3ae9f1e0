"""Blocks: a process that begins anew every hundred buckets, where calls have keys."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawn_evidence import drawn, rate
from golden_cases import by_user
from golden_cases import rate as fails

from crossfade.stats.block import NOTHING, start_block, to_come
from crossfade.stats.columns import to_columns
from crossfade.stats.state import State, start_state
from crossfade.stats.together import scores_of

KEYED = to_columns(by_user(3, 250, fails(0.1), fails(0.1), weight=0.4, users=200))
ONES = np.ones(len(KEYED))
NONE = np.zeros(len(KEYED))


def fresh() -> State:
    return start_state(margin=0.02, gate_margin=0.02, step=0, history=rate(0.1), bounds=False)


def test_without_keys_there_are_none() -> None:
    columns = to_columns(drawn(np.random.default_rng(1), 20, blue=0.1, green=0.3, weight=0.5))
    late, block = start_block().after(scores_of(columns), np.zeros((20, 5)), np.ones(20), np.ones(20), np.zeros(20))
    assert late is None
    assert block.buckets == 0


def test_no_evidence_leaves_e_at_one_through_every_block() -> None:
    late, block = start_block().after(scores_of(KEYED), np.zeros((250, 5)), ONES, ONES, NONE)
    assert late is not None
    assert late == pytest.approx(np.zeros(250), abs=1e-9)
    assert block.log_ended == pytest.approx(np.log(1 - to_come(np.array(2.0))))


def test_their_weights_add_up_to_one() -> None:
    j = np.arange(10_000.0)
    assert (to_come(j) - to_come(j + 1)).sum() + to_come(np.array(10_000.0)) == pytest.approx(1)
    assert to_come(np.array(0.0)) == 1


def test_what_is_over_keeps_what_it_has() -> None:
    """Evidence in the first block alone: later ones neither add to it nor take from it."""
    log_e = np.zeros((250, 5))
    log_e[:30] = 0.5
    late, _ = start_block().after(scores_of(KEYED), log_e, ONES, ONES, NONE)
    assert late is not None
    assert late[-1] == pytest.approx(late[99], abs=1e-3)
    assert late[-1] > 5


def test_keys_that_come_in_the_middle_begin_the_first_block() -> None:
    groups = np.array(KEYED.groups)
    groups[:40] = 0
    late, block = start_block().after(scores_of(replace(KEYED, groups=groups)), np.zeros((250, 5)), ONES, ONES, NONE)
    assert late is not None
    assert np.isneginf(late[:40]).all()
    assert np.isfinite(late[40:]).all()
    assert block.buckets == 210


def test_the_first_key_adds_nothing_to_evidence_that_green_is_no_worse() -> None:
    """A mixture that begins at 1 where E has fallen to 0.07 would more than double it: that is no test martingale."""
    good = drawn(np.random.default_rng(2), 1500, blue=0.05, green=0.03, weight=0.5)
    one_key = replace(to_columns(good[-1:]), groups=np.array(KEYED.groups[:1]))
    before = fresh().after(to_columns(good))
    after = before.after(replace(one_key, s_g=np.zeros(1), q_g=np.zeros(1), s_b=np.zeros(1), q_b=np.zeros(1)))
    assert before.worse.log_mixture < -2
    assert after.block.buckets == 1
    assert after.worse.log_e == pytest.approx(before.worse.log_mixture)


def test_blocks_begin_with_no_more_than_one() -> None:
    late, _ = start_block().after(scores_of(KEYED), np.zeros((250, 5)), ONES, ONES, np.full(250, 2.0))
    assert late == pytest.approx(np.zeros(250), abs=1e-9)


def test_a_green_that_goes_bad_late_is_found_sooner_than_by_all_that_came_before() -> None:
    """Users who differ return for 150 buckets; then every fourth call of green fails besides."""
    good = by_user(5, 150, fails(0.1), fails(0.1), weight=0.4, users=100, spread=0.7, calls=100)
    bad = by_user(5, 100, fails(0.1), fails(0.4), weight=0.4, users=100, spread=0.0, calls=100, start=150)
    state = fresh().after(to_columns([*good, *bad]))
    alone = replace(fresh(), block=start_block())
    columns = to_columns([*good, *bad])
    (part,) = alone.worked(columns)
    assert part.late is not None
    found = int(np.argmax(part.worse.log_e >= 3.0))
    assert found > 150
    assert state.block.log_ended > NOTHING
    assert part.late[found] > part.worse.log_mixture[found]
