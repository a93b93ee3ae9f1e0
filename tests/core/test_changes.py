from __future__ import annotations

import pytest

from crossfade.core.changes import changed_plan
from crossfade.core.plan import Check, Plan, Step
from crossfade.errors import Invalid

PLAN = Plan(
    steps=(Step(weight=5, bake=60), Step(weight=50, bake=90, approve=True)),
    checks=(Check(metric="error_rate", margin=0.5), Check(metric="score.accuracy", margin=1, maturity=5)),
    time_limit=600.0,
)


def test_no_change_is_the_same_plan() -> None:
    assert changed_plan(PLAN, {}) == PLAN


def test_what_is_left_out_stays() -> None:
    found = changed_plan(PLAN, {"alpha": 0.1, "checks": [{"metric": "score.accuracy", "margin": 2}]})
    assert found.alpha == 0.1
    assert found.checks == (PLAN.checks[0], Check(metric="score.accuracy", margin=2, maturity=5))
    assert (found.steps, found.time_limit) == (PLAN.steps, 600.0)


def test_steps_are_replaced_and_take_their_bake_from_the_step_at_their_place() -> None:
    found = changed_plan(PLAN, {"steps": [{"weight": 1}, {"weight": 20, "approve": False}, {"weight": 60}]})
    assert found.steps == (
        Step(weight=1, bake=60),
        Step(weight=20, bake=90),
        Step(weight=60, bake=90, approve=True),
    )


def test_a_check_of_another_metric_is_added() -> None:
    found = changed_plan(PLAN, {"checks": [{"metric": "score.tone", "margin": 3}]})
    assert [check.metric for check in found.checks] == ["error_rate", "score.accuracy", "score.tone"]


def test_problems_are_named_by_the_place_they_were_written_at() -> None:
    with pytest.raises(Invalid) as error:
        changed_plan(
            PLAN,
            {
                "checks": [{"metric": "score.accuracy", "margin": -1}, {"metric": "tone", "margin": 1}],
                "alfa": 1,
                "steps": 3,
            },
        )
    assert {problem.path for problem in error.value.problems} == {
        "plan.checks[0].margin",
        "plan.checks[1].metric",
        "plan.alfa",
        "plan.steps",
    }


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(Invalid, match="must be an object"):
        changed_plan(PLAN, [])


def test_what_is_no_object_is_refused_in_whole_words() -> None:
    with pytest.raises(Invalid) as error:
        changed_plan(PLAN, 5)
    assert [str(problem) for problem in error.value.problems] == ["plan: must be an object with the fields that change"]


def test_steps_and_checks_that_are_no_objects_are_named_where_they_stand() -> None:
    with pytest.raises(Invalid) as error:
        changed_plan(PLAN, {"steps": [{"weight": 5}, 50], "checks": ["error_rate"]})
    assert [str(problem) for problem in error.value.problems] == [
        "plan.steps[1]: must be an object with named fields, not 50",
        "plan.steps[1].weight: is missing",
        "plan.checks[0]: must be an object with named fields, not the text 'error_rate'",
        "plan.checks[0].metric: is missing",
        "plan.checks[0].margin: is missing",
    ]


def test_a_problem_of_a_check_keeps_its_words() -> None:
    with pytest.raises(Invalid) as error:
        changed_plan(PLAN, {"checks": [{"metric": "score.accuracy", "margin": 51}, {"metric": "score.accuracy"}]})
    assert [str(problem) for problem in error.value.problems] == [
        "plan.checks[0].margin: is 51; must be at least 0.001 and at most 50 percentage points",
        "plan.checks[1].margin: is missing",
        "plan.checks[1].metric: 'score.accuracy' is checked twice; keep one",
    ]


def test_a_problem_of_a_check_that_stays_is_named_by_its_place_in_the_plan() -> None:
    with pytest.raises(Invalid) as error:
        changed_plan(
            PLAN, {"checks": [{"metric": "error_rate", "gating": False}, {"metric": "score.accuracy", "gating": False}]}
        )
    assert [problem.path for problem in error.value.problems] == ["plan.checks"]
