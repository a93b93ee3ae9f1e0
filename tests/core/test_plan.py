from __future__ import annotations

import pytest

from crossfade.core.plan import Breach, Check, Plan, plan_to_dict, read_plan
from crossfade.core.reading import Reader
from crossfade.errors import Invalid

GOOD = {
    "steps": [{"weight": 5, "bake": 60}, {"weight": 25, "approve": True}],
    "checks": [{"metric": "error_rate", "margin": 0.5}, {"metric": "score.accuracy", "margin": 1, "maturity": 3600}],
}


def read(document: object) -> Plan:
    reader = Reader(document, "plan")
    plan = read_plan(reader)
    reader.check()
    return plan


def refused(document: object) -> list[str]:
    with pytest.raises(Invalid) as caught:
        read(document)
    return [str(problem) for problem in caught.value.problems]


def test_a_plan_reads_and_writes_back_the_same() -> None:
    plan = read(GOOD)
    assert plan.steps[1].approve
    assert plan.checks[1].score_name == "accuracy"
    assert read(plan_to_dict(plan)) == plan


def test_steps_may_be_left_out() -> None:
    plan = read({"checks": [{"metric": "error_rate", "margin": 1}]})
    assert [step.weight for step in plan.steps] == [1, 5, 25, 50]
    assert plan.checks[0].on_breach is Breach.ROLL_BACK


@pytest.mark.parametrize("second", [5, 4.9])
def test_steps_must_rise(second: float) -> None:
    lines = refused(GOOD | {"steps": [{"weight": 5}, {"weight": second}]})
    assert lines == [f"plan.steps[1].weight: is {second:g}; weights must rise, and the step before has 5"]


@pytest.mark.parametrize("weight", [0, -1, 100, 120])
def test_a_weight_lies_above_0_and_below_100(weight: float) -> None:
    (line,) = refused(GOOD | {"steps": [{"weight": weight}]})
    assert line == f"plan.steps[0].weight: is {weight:g}; must be at least 0.001 and below 100 percent"


def test_a_shadow_step_comes_first_at_weight_0_and_reads_back_the_same() -> None:
    plan = read(GOOD | {"steps": [{"shadow": 10, "bake": 60}, {"weight": 25}]})
    assert (plan.steps[0].weight, plan.steps[0].shadow, plan.paired) == (0.0, 10.0, {0})
    assert plan.gate_weight(0) == 25
    assert plan.unshadowed.steps == plan.steps[1:]
    assert read(plan_to_dict(plan)) == plan
    assert "shadow" not in plan_to_dict(read(GOOD))["steps"][0]  # the hash of a plan without one stays what it was


def test_a_shadow_step_that_cannot_be_is_refused() -> None:
    both = refused(GOOD | {"steps": [{"shadow": 10, "weight": 1}, {"weight": 5}]})
    assert both == ["plan.steps[0].weight: is 1; while green gets copies only (shadow) it is 0: leave it out"]
    (later,) = refused(GOOD | {"steps": [{"weight": 5}, {"shadow": 10}]})[:1]
    assert later.startswith("plan.steps[1].shadow: only the first step may be a shadow")
    alone = refused(GOOD | {"steps": [{"shadow": 10}]})
    assert alone[0].startswith("plan.steps: a shadow step alone shows green to nobody")
    for percent in (0, -1, 101):
        (line,) = refused(GOOD | {"steps": [{"shadow": percent, "weight": 0}, {"weight": 5}]})[:1]
        assert line.startswith(f"plan.steps[0].shadow: is {percent:g}; must be above 0 and at most 100 percent")


@pytest.mark.parametrize("margin", [0, -0.5, 51])
def test_a_margin_of_zero_or_the_wrong_sign_is_refused(margin: float) -> None:
    (line,) = refused(GOOD | {"checks": [{"metric": "error_rate", "margin": margin}]})
    assert line.startswith(f"plan.checks[0].margin: is {margin:g}; must be at least 0.001 and at most 50")


@pytest.mark.parametrize("metric", ["errors", "score.", "score.Accuracy", "accuracy", "score.a b"])
def test_an_unknown_metric_is_refused_with_what_is_allowed(metric: str) -> None:
    (line,) = refused(GOOD | {"checks": [{"metric": metric, "margin": 1}]})
    assert "allowed: error_rate, latency, first_token, cost, truncated_output, refusal, safety_stop, or score" in line


def test_a_limit_is_kept_where_the_metric_needs_one_and_refused_elsewhere() -> None:
    plan = read({"checks": [{"metric": "latency", "margin": 1, "limit": 1.8}, {"metric": "cost", "margin": 1}]})
    assert [check.limit for check in plan.checks] == [1.8, None]
    assert [check.maturity for check in plan.checks] == [150, 150], "a call is recorded when it ends"
    assert read(plan_to_dict(plan)) == plan
    (line,) = refused({"checks": [{"metric": "refusal", "margin": 1, "limit": 1}]})
    assert line == "plan.checks[0].limit: refusal is held against no limit; leave it out"
    (line,) = refused({"checks": [{"metric": "latency", "margin": 1, "limit": 0}]})
    assert line.startswith("plan.checks[0].limit: is 0; must be above 0 and at most 3600 seconds")
    (line,) = refused({"checks": [{"metric": "cost", "margin": 1, "limit": 2000}]})
    assert line.startswith("plan.checks[0].limit: is 2000; must be above 0 and at most 1000 US dollars")


def test_all_problems_come_at_once() -> None:
    lines = refused(
        {
            "steps": [{"weight": 25}, {"weight": 5}, {"weight": 101}],
            "checks": [{"metric": "x", "margin": 0, "colour": 1}, {"margin": "much"}],
            "alpha": 0,
            "surprise": True,
        }
    )
    assert [line.split(":")[0] for line in lines] == [
        "plan.steps[2].weight",
        "plan.steps[1].weight",
        "plan.checks[0].metric",
        "plan.checks[0].margin",
        "plan.checks[0].colour",
        "plan.checks[1].metric",
        "plan.checks[1].margin",
        "plan.alpha",
        "plan.surprise",
    ]


def test_a_metric_is_checked_once_and_one_check_must_gate() -> None:
    once = {"metric": "error_rate", "margin": 1}
    assert refused({"checks": [once, once]}) == ["plan.checks[1].metric: 'error_rate' is checked twice; keep one"]
    assert refused({"checks": [once | {"gating": False}]}) == [
        "plan.checks: none of them gates; at least one check must have gating = true"
    ]
    assert refused({}) == ["plan.checks: has 0 entries; must have at least 1 and at most 20"]


@pytest.mark.parametrize(("weight", "margin"), [(1, 0.5), (5, 0.1), (25, 0.02), (50, 0.01), (100, 0.005)])
def test_a_gate_asks_in_proportion_to_harm(weight: float, margin: float) -> None:
    assert Check(metric="error_rate", margin=0.5).gate_margin(weight) == pytest.approx(margin)


def test_the_gate_after_the_last_step_is_promotion() -> None:
    plan = read(GOOD)
    assert [plan.gate_weight(0), plan.gate_weight(1)] == [25, 100]
    assert [plan.is_last(0), plan.is_last(1)] == [False, True]
