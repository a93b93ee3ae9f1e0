"""The planner against the simulator: what it says a plan takes is what the real judge and decide then take."""

from __future__ import annotations

import re
from dataclasses import replace
from math import inf, sqrt
from typing import Any

import numpy as np
import pytest

from crossfade.core.decision import Act
from crossfade.core.evidence import Summary
from crossfade.core.plan import Check, Plan, Step
from crossfade.simulation.alike import Alike
from crossfade.simulation.planner import plan_ahead
from crossfade.simulation.play import Ended, play
from crossfade.simulation.truth import Truth

RUNS = 200
DAY = 86_400


def made(weights: tuple[float, ...], margins: dict[str, float], *, bake: float = 0.0, **more: Any) -> Plan:
    """A plan without maturity, as the simulator has none."""
    checks = tuple(Check(metric=metric, margin=margin, maturity=0.0) for metric, margin in margins.items())
    steps = tuple(Step(weight=weight, bake=bake) for weight in weights)
    return Plan(**{"steps": steps, "checks": checks, "evaluate_every": 1.0} | more)


def recorded(rates: dict[str, float], size: float = 1.0, calls: int = 10_000) -> dict[str, Summary]:
    return {metric: Summary(calls, calls * rate, calls * Alike(size).square(rate)) for metric, rate in rates.items()}


def played(
    plan: Plan, rates: dict[str, float], *, traffic: float, worse: float = 0.0, size: float = 1.0, most: float
) -> list[Ended]:
    """In buckets of ten seconds; the first check's green is worse by so much."""
    truths = [Truth(blue=rate, green=rate + (0 if position else worse)) for position, rate in enumerate(rates.values())]
    calls = round(traffic * 10)
    return play(
        plan,
        truths,
        Alike(size),
        rng=np.random.default_rng(5),
        runs=RUNS,
        calls=calls,
        most_calls=int(most / calls + 1) * calls,
    )


CASES: dict[str, tuple[Plan, dict[str, float], float, float]] = {
    "rare errors": (made((1, 5, 25, 50), {"error_rate": 0.5}), {"error_rate": 0.001}, 20, 1.0),
    "errors of 1 %": (made((1, 5, 25, 50), {"error_rate": 0.5}), {"error_rate": 0.01}, 30, 1.0),
    "errors of 10 %": (made((1, 5, 25, 50), {"error_rate": 1.0}), {"error_rate": 0.1}, 150, 1.0),
    "one step": (made((10,), {"error_rate": 1.0}), {"error_rate": 0.01}, 20, 1.0),
    "wide margin": (made((5, 50), {"error_rate": 4.0}), {"error_rate": 0.05}, 10, 1.0),
    "right or wrong": (made((5, 25, 50), {"score.accuracy": 2.0}), {"score.accuracy": 0.15}, 50, 1.0),
    "graded scores": (made((5, 25, 50), {"score.grade": 2.0}), {"score.grade": 0.15}, 30, 0.4),
    "two checks": (
        made((10, 50), {"error_rate": 1.0, "score.accuracy": 3.0}), {"error_rate": 0.01, "score.accuracy": 0.15},
        40, 1.0,
    ),
    "baking": (made((10, 50), {"error_rate": 2.0}, bake=600.0), {"error_rate": 0.01}, 20, 1.0),
    "four calls a bucket": (made((10, 50), {"error_rate": 5.0}), {"error_rate": 0.01}, 0.4, 1.0),
    "many green calls asked": (
        made((2, 50), {"error_rate": 5.0}, least_green_calls=100), {"error_rate": 0.01}, 20, 1.0
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_forecast_is_within_a_quarter_of_what_the_simulator_takes(name: str) -> None:
    plan, rates, traffic, size = CASES[name]
    forecast = plan_ahead(plan, recorded(rates, size), traffic=traffic, quick=True)
    assert forecast.calls
    assert forecast.seconds
    assert forecast.green_calls
    ended = played(plan, rates, traffic=traffic, size=size, most=4 * forecast.calls.p90)
    through = [each for each in ended if each.act is Act.PROMOTE]
    assert len(through) >= 0.9 * RUNS
    calls = np.array([each.calls for each in through])
    assert forecast.calls.median == pytest.approx(np.median(calls), rel=0.25)
    assert forecast.calls.p90 == pytest.approx(np.quantile(calls, 0.9), rel=0.25)
    assert forecast.seconds.median == pytest.approx(np.median(calls) / traffic, rel=0.25)
    green = np.median([each.green_calls for each in through])
    assert forecast.green_calls.median == pytest.approx(green, rel=0.25)
    for position, step in enumerate(forecast.steps):
        assert step.calls
        assert step.calls.median == pytest.approx(np.median([each.steps[position] for each in through]), rel=0.35)


@pytest.mark.parametrize("name", ["errors of 1 %", "graded scores", "two checks", "wide margin"])
def test_chances_are_those_of_rollouts_played_bucket_by_bucket(name: str) -> None:
    plan, rates, traffic, size = CASES[name]
    forecast = plan_ahead(plan, recorded(rates, size), traffic=traffic)
    assert forecast.calls
    for check in plan.checks:
        points = [chance.points for chance in forecast.chances if chance.metric == check.metric]
        assert points == sorted({check.margin, 1.0, 2.0, 5.0})
    for chance in forecast.chances:
        assert chance.caught + chance.promoted + chance.undecided == pytest.approx(1)
        if chance.metric != plan.checks[0].metric:
            continue
        ended = played(
            plan, rates, traffic=traffic, size=size, worse=chance.points / 100, most=4 * forecast.calls.p90
        )  # fmt: skip
        caught = sum(each.act is Act.ROLL_BACK for each in ended) / RUNS
        # Three standard errors of the difference of two shares, and two points for what coarser looks cost.
        allowed = 3 * sqrt(max(caught * (1 - caught), 0.01) * (1 / RUNS + 1 / 100)) + 0.02
        assert abs(chance.caught - caught) <= allowed, chance
        harm = np.array([each.harm for each in ended])
        allowed = 3 * harm.std() * sqrt(1 / RUNS + 1 / 100) + 0.1 * harm.mean()
        assert abs(chance.harm - harm.mean()) <= allowed, chance


def test_the_same_question_always_has_the_same_answer() -> None:
    plan, rates, traffic, _ = CASES["wide margin"]
    first, second = (plan_ahead(plan, recorded(rates), traffic=traffic) for _ in range(2))
    assert first == second


def test_a_better_green_is_through_sooner_and_correlated_calls_take_longer() -> None:
    plan, rates, traffic, _ = CASES["right or wrong"]
    forecast = plan_ahead(plan, recorded(rates), traffic=traffic, quick=True)
    checks = tuple(replace(check, overdispersion=3.0) for check in plan.checks)
    bursts = plan_ahead(replace(plan, checks=checks), recorded(rates), traffic=traffic, quick=True)
    assert forecast.seconds
    assert forecast.better_seconds
    assert bursts.seconds
    assert forecast.better_seconds.median < 0.7 * forecast.seconds.median
    assert bursts.seconds.median > 2 * forecast.seconds.median


def test_maturity_and_few_scores_make_every_step_longer() -> None:
    plan, rates, traffic, _ = CASES["right or wrong"]
    late = replace(plan, checks=tuple(replace(check, maturity=3600.0) for check in plan.checks))
    now = plan_ahead(plan, recorded(rates), traffic=traffic, quick=True)
    after = plan_ahead(late, recorded(rates), traffic=traffic, settled=2.0, quick=True)
    tenth = plan_ahead(plan, recorded(rates), traffic=traffic, scored={"score.accuracy": 0.1}, quick=True)
    assert now.seconds
    assert after.seconds
    assert tenth.seconds
    assert after.seconds.median == pytest.approx(now.seconds.median + 3 * 3602)
    assert tenth.seconds.median == pytest.approx(10 * now.seconds.median, rel=0.2)


def test_smallest_margin_takes_as_long_as_there_is() -> None:
    plan = made((5, 50), {"error_rate": 1.0}, time_limit=2.0 * DAY)
    forecast = plan_ahead(plan, recorded({"error_rate": 0.02}), traffic=1.0, quick=True)
    smallest = forecast.smallest["error_rate"]
    assert smallest is not None
    other = replace(plan, checks=(replace(plan.checks[0], margin=smallest),))
    there = plan_ahead(other, recorded({"error_rate": 0.02}), traffic=1.0, quick=True)
    assert there.seconds
    assert there.seconds.median == pytest.approx(2.0 * DAY, rel=0.15)


def test_what_takes_too_long_is_said_with_what_would_do() -> None:
    plan = made((1, 5, 25, 50), {"error_rate": 0.5})
    forecast = plan_ahead(plan, recorded({"error_rate": 0.01}), traffic=300 / DAY, quick=True)
    text = " ".join(forecast.sentences)
    assert "At 300 calls a day a margin of 0.5 points on error rate takes about" in text
    assert "; a margin of 1.5 points would take about" in text
    assert "with its last step alone, 50 %, about" in text
    light = plan_ahead(
        made((1, 5), {"error_rate": 0.5}), recorded({"error_rate": 0.01}), traffic=300 / DAY, quick=True
    )  # fmt: skip
    assert "with a further step at 50 %, about" in " ".join(light.sentences)


def test_a_margin_finer_than_the_data_is_said() -> None:
    plan = made((50,), {"error_rate": 0.01})
    text = " ".join(plan_ahead(plan, recorded({"error_rate": 0.01}), traffic=200 / DAY, quick=True).sentences)
    assert "finer than the data" in text
    assert "6,000 calls of a month" in text


def test_a_base_rate_that_is_hardly_known_is_said() -> None:
    plan = made((50,), {"error_rate": 2.0})
    found = plan_ahead(plan, {"error_rate": Summary(480, 0.0, 0.0)}, traffic=5.0, quick=True)
    assert found.seconds
    assert "no bad answer in 480 calls" in " ".join(found.sentences)


def test_a_check_of_cost_speaks_of_dollars_and_not_of_bad_answers() -> None:
    plan = Plan(steps=(Step(weight=50),), checks=(Check(metric="cost", margin=2, limit=0.04),))
    found = plan_ahead(plan, {"cost": Summary(9, 1.36, 0.3)}, traffic=30 / 3600, quick=True)
    text = " ".join(found.sentences)
    assert "bad answer" not in text
    assert text.startswith("At 30 calls an hour, ")
    assert "if green costs half as much" in text
    assert re.search(r"Blue's cost a call is hardly known from 9 calls with a known cost: \$0\.0\d+ is assumed", text)


def test_what_a_check_counts_has_its_own_name_in_every_sentence() -> None:
    checks = (Check(metric="latency", margin=0.01, limit=1.8), Check(metric="refusal", margin=2))
    history = {"latency": Summary(480, 0.0, 0.0), "refusal": Summary(480, 2.0, 2.0)}
    found = plan_ahead(Plan(steps=(Step(weight=50),), checks=checks), history, traffic=200 / DAY, quick=True)
    text = " ".join(found.sentences)
    assert "bad answer" not in text
    assert "if green has half as many slow calls and refusals" in text
    assert "it is less than one slow call among the 6,000 calls of a month" in text
    assert "no slow call in 480 calls" in text
    assert "only 2 refusals in 480 calls" in text


def test_a_shadow_step_is_in_no_number_and_the_shortest_it_can_last_is_said() -> None:
    plan = made((50,), {"error_rate": 2.0})
    shadow = replace(plan, steps=(Step(weight=0, shadow=10, bake=60), *plan.steps))
    history = recorded({"error_rate": 0.01})
    found, without = (plan_ahead(each, history, traffic=5.0, settled=2.0, quick=True) for each in (shadow, plan))
    assert found.seconds == without.seconds
    assert (found.steps[0].shadow, found.steps[0].seconds) == (10, None)
    maturity = plan.checks[0].maturity
    assert found.steps[0].least_seconds == max(60, plan.least_buckets * 10 + maturity + 2)
    assert found.sentences[0].startswith("How long the shadow step takes is not foreseen")
    assert "It is in none of the numbers" in found.sentences[0]
    slow = plan_ahead(shadow, history, traffic=0.1, settled=2.0, quick=True)
    assert slow.steps[0].least_seconds == pytest.approx(100 * plan.least_green_calls + maturity + 2)


NEVER: dict[str, tuple[Plan, dict[str, Summary], float, str]] = {
    "no traffic": (made((5,), {"error_rate": 1.0}), recorded({"error_rate": 0.01}), 0.0, "No calls"),
    "no history": (made((5,), {"score.grade": 1.0}), {}, 3.0, "no grade scores"),
    "empty history": (made((5,), {"error_rate": 1.0}), {"error_rate": Summary()}, 3.0, "no calls of blue's"),
    "weight 0": (made((0, 50), {"error_rate": 1.0}), recorded({"error_rate": 0.01}), 3.0, "Step 1 gives green 0 %"),
    "weight 100": (made((5, 100), {"error_rate": 1.0}), recorded({"error_rate": 0.01}), 3.0, "Step 2 gives green 100"),
}  # fmt: skip


@pytest.mark.parametrize("name", NEVER)
def test_what_cannot_be_told_is_a_sentence(name: str) -> None:
    plan, history, traffic, said = NEVER[name]
    forecast = plan_ahead(plan, history, traffic=traffic)
    assert forecast.seconds is None
    assert forecast.chances == ()
    assert said in forecast.sentences[0]
    assert len(forecast.steps) == len(plan.steps)


@pytest.mark.parametrize("rate", [0.0, 1.0])
@pytest.mark.parametrize("traffic", [1e-6, 1e5])
def test_rates_and_traffic_at_their_ends_are_forecast_without_a_division_by_nothing(
    rate: float, traffic: float
) -> None:
    forecast = plan_ahead(made((50,), {"error_rate": 1.0}), recorded({"error_rate": rate}), traffic=traffic)
    assert forecast.sentences
    assert not any(word in " ".join(forecast.sentences) for word in ("inf", "nan"))
    assert inf not in [chance.harm for chance in forecast.chances]


def test_a_better_green_is_said_first_and_an_equal_one_beside_it() -> None:
    forecast = plan_ahead(
        made((10, 50), {"error_rate": 1.0}), recorded({"error_rate": 0.05}, 1.0), traffic=20, quick=True
    )
    assert re.match(
        "At 20 calls a second, the 2 steps take about .* if green has half as many bad answers, and about .* if it is"
        " as good as blue, and nine times in ten no more than .*; green then gets about",
        forecast.sentences[0],
    )
