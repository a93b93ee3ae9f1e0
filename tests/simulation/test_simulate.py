"""Simulate: the result depends on the case alone, adds up, and knows what no test can beat."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import log

import pytest

from crossfade.core.plan import Check, Plan, Step
from crossfade.simulation.bound import Losses, bound_calls
from crossfade.simulation.simulate import BLOCK, Case, Users, blocks, bound_of, share_of, simulate
from crossfade.simulation.traffic import Graded, Independent, Late
from crossfade.simulation.truth import Truth
from crossfade.stats.needed import score_information

ERRORS = Check(metric="error_rate", margin=0.5)


def plan(*weights: float, checks: tuple[Check, ...] = (ERRORS,)) -> Plan:
    return Plan(steps=tuple(Step(weight=weight, bake=0) for weight in weights), checks=checks)


def case(green: float, *weights: float, **more: object) -> Case:
    return replace(Case(plan=plan(*weights), truths=(Truth(blue=0.01, green=green),)), **more)


def test_result_is_the_same_whoever_plays_the_blocks() -> None:
    asked = case(0.06, 10, runs=2 * BLOCK + 10)
    with ThreadPoolExecutor(2) as pool:
        assert simulate(asked, pool.map) == simulate(asked)


def test_another_seed_is_another_result() -> None:
    asked = case(0.06, 10, runs=20)
    assert simulate(asked) != simulate(replace(asked, seed=2))


def test_blocks_have_the_runs_and_seeds_of_their_own() -> None:
    found = blocks(case(0.01, 10, runs=2 * BLOCK + 10))
    assert [block.runs for block in found] == [BLOCK, BLOCK, 10]
    assert len({block.seed.spawn_key for block in found}) == 3


def test_shares_add_up_to_one_and_calls_are_of_those_that_decided() -> None:
    result = simulate(case(0.03, 10, runs=30, most_calls=2_000))
    assert result.rolled_back.share + result.promoted.share + result.undecided.share == pytest.approx(1)
    assert 0 < result.undecided.share < 1
    assert result.median_calls is not None
    assert result.median_calls <= 2_000


def test_calls_are_none_where_nothing_was_decided() -> None:
    result = simulate(case(0.01, 10, runs=5, most_calls=100))
    assert (result.undecided.share, result.median_calls, result.p90_calls) == (1.0, None, None)


def test_bound_asks_more_of_a_check_with_less_of_alpha() -> None:
    worse = [Losses(blue=0.01, green=0.05)]
    whole, half = (bound_calls(plan(10, checks=(replace(ERRORS, share=share),)), worse) for share in (None, 0.5))
    assert half == pytest.approx(whole * log(2 / 0.05) / log(1 / 0.05))


def test_harm_is_what_greens_calls_cost() -> None:
    result = simulate(case(0.06, 10, runs=10))
    assert 0.5 * result.green_calls * 0.05 < result.harm < 2 * result.green_calls * 0.05


def test_error_of_a_share_is_not_nothing_at_the_ends() -> None:
    assert share_of(0, 1000).error == pytest.approx(0.0019, abs=1e-4)
    assert share_of(31, 1000).error == pytest.approx(1.96 * (0.031 * 0.969 / 1000) ** 0.5, rel=0.02)


@pytest.mark.parametrize("traffic", [Independent(4), Graded(), Late(), Users(count=500)], ids=str)
def test_every_kind_of_traffic_plays(traffic: object) -> None:
    result = simulate(case(0.3, 50, runs=3, most_calls=3_000, traffic=traffic))
    assert result.rolled_back.share == 1


@pytest.mark.parametrize("traffic", [Graded(), Users(count=50)], ids=str)
def test_rates_at_the_ends_play(traffic: object) -> None:
    asked = Case(plan=plan(50), truths=(Truth(blue=0.0, green=0.9, turns_at=0, turn=0.5),), traffic=traffic, runs=2)
    assert simulate(asked).rolled_back.share == 1


@pytest.mark.parametrize(("weight", "calls"), [(10, 8_750), (50, 3_475)])
def test_bound_at_one_weight_is_the_level_over_the_information(weight: float, calls: int) -> None:
    assert bound_of(case(0.02, weight)) == pytest.approx(calls, abs=5)


def test_bound_of_graded_scores_is_the_gaussian_one() -> None:
    found = bound_calls(plan(50), [Losses(blue=0.15, green=0.17, variance=0.1275)])
    assert found == pytest.approx(log(20) / score_information(0.02, 0.1275, 0.5))


def test_bound_of_an_equal_green_is_the_sum_over_the_gates() -> None:
    equal = [Losses(blue=0.01, green=0.01)]
    alone = [
        bound_calls(plan(weight, checks=(replace(ERRORS, margin=margin),)), equal)
        for weight, margin in ((10, 1.0), (50, 0.5))
    ]
    assert bound_calls(plan(10, 50), equal) == pytest.approx(sum(alone))


def test_bound_of_a_worse_green_waits_where_the_gate_cannot_open() -> None:
    """Worse by 4 points it cannot leave 10 %, whose gate asks for 1: the higher weight brings nothing."""
    worse = [Losses(blue=0.01, green=0.05)]
    assert bound_calls(plan(10, 50), worse) == pytest.approx(bound_calls(plan(10), worse))


def test_bound_of_a_worse_green_counts_what_earlier_steps_showed() -> None:
    worse = [Losses(blue=0.01, green=0.02)]
    assert bound_calls(plan(10), worse) < bound_calls(plan(1, 10), worse) < bound_calls(plan(1), worse)


def test_bound_with_several_checks_shares_alpha() -> None:
    two = plan(10, checks=(ERRORS, Check(metric="score.accuracy", margin=1)))
    losses = [Losses(blue=0.01, green=0.02), Losses(blue=0.1, green=0.1)]
    assert bound_calls(two, losses) / bound_calls(plan(10), losses[:1]) == pytest.approx(log(40) / log(20))


def test_bound_of_groups_is_as_many_times_larger() -> None:
    assert bound_of(case(0.02, 10, traffic=Independent(4))) == pytest.approx(4 * bound_of(case(0.02, 10)), abs=4)


@pytest.mark.parametrize(
    "asked",
    [
        case(0.02, 10, traffic=Late()),
        case(0.02, 10, traffic=Users(count=9)),
        case(0.02, 10, truths=(Truth(blue=0.01, green=0.01, turns_at=5, turn=0.04),)),
        case(0.02, 10, truths=(Truth(blue=0.01, green=0.01, drift=0.03),)),
        case(0.02, 10, truths=(Truth(blue=0.01, green=0.01, outage=(0, 100)),)),
    ],
)
def test_there_is_no_one_bound_where_rates_move_or_calls_hang_together(asked: Case) -> None:
    assert bound_of(asked) is None
