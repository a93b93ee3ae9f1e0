"""What a plan may hold: each bound, and the words of the problem beyond it."""

from __future__ import annotations

from typing import Any

import pytest

from crossfade.core.plan import Breach, Check, Plan, Step, plan_to_dict, read_plan
from crossfade.core.reading import Reader

CHECK: dict[str, Any] = {"metric": "error_rate", "margin": 1}
STEP: dict[str, Any] = {"weight": 5}
MONTH, QUARTER = 30 * 86_400, 90 * 86_400


def read(document: dict[str, Any]) -> tuple[Plan, list[str]]:
    reader = Reader({"checks": [CHECK]} | document, "plan")
    return read_plan(reader), [str(problem) for problem in reader.problems]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"steps": []}, "steps: has 0 entries; must have at least 1 and at most 50"),
        ({"checks": []}, "checks: has 0 entries; must have at least 1 and at most 20"),
        (
            {"steps": [{"weight": 5, "bake": -1}]},
            "steps[0].bake: is -1; must be at least 0 and at most 7.776e+06 seconds",
        ),
        (
            {"steps": [{"weight": 5, "bake": QUARTER + 1}]},
            "steps[0].bake: is 7.776e+06; must be at least 0 and at most 7.776e+06 seconds",
        ),
        ({"steps": [{"weight": 5, "approve": 1}]}, "steps[0].approve: must be true or false, not 1"),
        ({"steps": [{}]}, "steps[0].weight: is missing"),
        (
            {"steps": [STEP | {"rest": 1}]},
            "steps[0].rest: is not a known field; allowed: approve, bake, shadow, weight",
        ),
        (
            {"checks": [CHECK | {"margin": 50.5}]},
            "checks[0].margin: is 50.5; must be at least 0.001 and at most 50 percentage points",
        ),
        (
            {"checks": [CHECK | {"on_breach": "shout"}]},
            "checks[0].on_breach: 'shout' is not known; allowed: roll_back, pause, tell",
        ),
        ({"checks": [CHECK | {"gating": "no"}]}, "checks[0].gating: must be true or false, not the text 'no'"),
        (
            {"checks": [CHECK | {"maturity": -1}]},
            "checks[0].maturity: is -1; must be at least 0 and at most 2.592e+06 seconds",
        ),
        (
            {"checks": [CHECK | {"maturity": MONTH + 1000}]},
            "checks[0].maturity: is 2.593e+06; must be at least 0 and at most 2.592e+06 seconds",
        ),
        (
            {"checks": [CHECK | {"rest": 1}]},
            "checks[0].rest: is not a known field; allowed: gating, limit, margin, maturity, metric, on_breach,"
            " overdispersion",
        ),
        (
            {"checks": [{"metric": "latency", "margin": 1, "limit": 3601}]},
            "checks[0].limit: is 3601; must be above 0 and at most 3600 seconds",
        ),
        (
            {"checks": [{"metric": "cost", "margin": 1, "limit": 1001}]},
            "checks[0].limit: is 1001; must be above 0 and at most 1000 US dollars",
        ),
        ({"alpha": 0}, "alpha: is 0; must be above 0 and at most 0.5"),
        ({"alpha": 0.6}, "alpha: is 0.6; must be above 0 and at most 0.5"),
        ({"beta": 0}, "beta: is 0; must be above 0 and at most 0.5"),
        ({"beta": 0.6}, "beta: is 0.6; must be above 0 and at most 0.5"),
        ({"least_buckets": 1}, "least_buckets: is 1; must be at least 2 and at most 10000"),
        ({"least_buckets": 10_001}, "least_buckets: is 10001; must be at least 2 and at most 10000"),
        ({"least_green_calls": 0}, "least_green_calls: is 0; must be at least 1"),
        ({"time_limit": 0}, "time_limit: is 0; must be above 0 seconds"),
        ({"evaluate_every": 0.5}, "evaluate_every: is 0.5; must be at least 1 and at most 3600 seconds"),
        ({"evaluate_every": 3601}, "evaluate_every: is 3601; must be at least 1 and at most 3600 seconds"),
        ({"most_throttled": 0}, "most_throttled: is 0; must be above 0 and at most 1"),
        ({"most_throttled": 1.5}, "most_throttled: is 1.5; must be above 0 and at most 1"),
        (
            {"rest": 1},
            "rest: is not a known field; allowed: alpha, beta, checks, evaluate_every, least_buckets,"
            " least_green_calls, most_throttled, steps, time_limit",
        ),
    ],
)
def test_a_plan_says_what_each_field_may_hold(changes: dict[str, Any], problem: str) -> None:
    assert read(changes)[1] == [f"plan.{problem}"]


def test_a_plan_may_go_up_to_each_bound() -> None:
    steps = [{"weight": 1 + place, "bake": QUARTER, "approve": True} for place in range(50)]
    checks = [
        {"metric": f"score.s{place}", "margin": 50, "on_breach": "tell", "maturity": MONTH} for place in range(18)
    ]
    limited = [
        {"metric": "latency", "margin": 1, "limit": 3600},
        {"metric": "cost", "margin": 1, "limit": 1000, "overdispersion": 100},
    ]
    whole = {
        "steps": steps,
        "checks": [*checks, *limited],
        "alpha": 0.5,
        "beta": 0.5,
        "least_buckets": 10_000,
        "least_green_calls": 10**9,
        "time_limit": 1e-3,
        "evaluate_every": 3600,
        "most_throttled": 1,
    }
    plan, problems = read(whole)
    assert problems == []
    assert (len(plan.steps), len(plan.checks)) == (50, 20)
    assert (plan.steps[0], plan.steps[49]) == (
        Step(weight=1, bake=QUARTER, approve=True),
        Step(weight=50, bake=QUARTER, approve=True),
    )
    assert plan.checks[0] == Check(metric="score.s0", margin=50, on_breach=Breach.TELL, maturity=MONTH)
    assert [check.limit for check in plan.checks[18:]] == [3600, 1000]
    assert plan_to_dict(plan) == whole | {
        "checks": [
            {"metric": c.metric, "margin": c.margin, "on_breach": str(c.on_breach), "gating": True,
             "maturity": c.maturity, "limit": c.limit, "overdispersion": 100 if c.metric == "cost" else 1}
            for c in plan.checks
        ]
    }  # fmt: skip
    assert read(whole | {"steps": [*steps, {"weight": 60}]})[1] == [
        "plan.steps: has 51 entries; must have at least 1 and at most 50"
    ]
    assert read(whole | {"checks": [*checks, *limited, CHECK]})[1] == [
        "plan.checks: has 21 entries; must have at least 1 and at most 20"
    ]


def test_a_plan_may_go_down_to_each_bound() -> None:
    least = {"least_buckets": 2, "least_green_calls": 1, "evaluate_every": 1, "time_limit": None}
    plan, problems = read(
        least | {"steps": [{"weight": 0.001, "bake": 0}], "checks": [CHECK | {"maturity": 0, "margin": 0.001}]}
    )
    assert problems == []
    assert (plan.least_buckets, plan.least_green_calls, plan.evaluate_every, plan.time_limit) == (2, 1, 1.0, None)
    assert (plan.steps, plan.checks[0].maturity) == ((Step(weight=0.001, bake=0),), 0)


def test_what_a_plan_leaves_out_has_the_documented_value() -> None:
    plan, problems = read({})
    assert problems == []
    assert plan == Plan(
        steps=tuple(Step(weight=weight, bake=600.0, approve=False) for weight in (1, 5, 25, 50)),
        checks=(
            Check(metric="error_rate", margin=1, on_breach=Breach.ROLL_BACK, gating=True, maturity=150.0, limit=None),
        ),
        alpha=0.05,
        beta=0.05,
        least_buckets=6,
        least_green_calls=30,
        time_limit=None,
        evaluate_every=10.0,
        most_throttled=0.05,
    )
    assert read({"checks": [{"metric": "score.tone", "margin": 1}]})[0].checks[0].maturity == 60.0


def test_every_step_must_rise_above_the_one_before() -> None:
    assert read({"steps": [{"weight": w} for w in (5, 10, 10, 8)]})[1] == [
        "plan.steps[2].weight: is 10; weights must rise, and the step before has 10",
        "plan.steps[3].weight: is 8; weights must rise, and the step before has 10",
    ]


def test_a_weight_that_is_wrong_by_itself_is_one_problem() -> None:
    assert read({"steps": [{"weight": 5}, {"weight": 0}]})[1] == [
        "plan.steps[1].weight: is 0; must be at least 0.001 and below 100 percent"
    ]


def test_a_weight_below_one_percent_must_rise_too() -> None:
    assert read({"steps": [{"weight": 5}, {"weight": 0.5}]})[1] == [
        "plan.steps[1].weight: is 0.5; weights must rise, and the step before has 5"
    ]


def test_a_step_bakes_ten_minutes_and_needs_no_person_unless_said_otherwise() -> None:
    assert read({"steps": [{"weight": 5}]})[0].steps == (Step(weight=5, bake=600.0, approve=False),)
