"""Registering a candidate: everything wrong at once; "does not exist" told apart from "could not look up"."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from plane import PLAN, ROUTE, KnowsAll, Plane, model

from crossfade.core.histogram import cost_bin, duration_bin
from crossfade.core.model import Target
from crossfade.core.plan import read_plan
from crossfade.core.reading import Reader
from crossfade.core.rollout import Rollout
from crossfade.errors import Conflict, Invalid, NotFound
from crossfade.server.lookup import Found, Lookup
from crossfade.server.store.rollouts import plan_hash
from crossfade.server.usecases import apply
from crossfade.server.usecases.register import Registered, register_rollout


class Says:
    """Answers the same of every target."""

    def __init__(self, found: Found, detail: str) -> None:
        self.found, self.detail = found, detail

    def find(self, target: Target) -> Lookup:
        return Lookup(region=target.region, model_id=target.model_id, found=self.found, detail=self.detail)


def register(plane: Plane, lookup: Any = None, route: str = ROUTE, **body: Any) -> Registered:
    body = {"green": "new", "plan": PLAN, **body}
    return register_rollout(plane.engine, route, body, actor="ann", now=plane.now, lookup=lookup or KnowsAll())


def paths(error: pytest.ExceptionInfo[Invalid]) -> list[str]:
    return sorted(problem.path for problem in error.value.problems)


def test_every_problem_is_named_at_once_and_nothing_is_saved(plane: Plane) -> None:
    plan = {
        "steps": [{"weight": 20}, {"weight": 10}, {"weight": 101}],
        "checks": [{"metric": "speed", "margin": 1}, {"metric": "error_rate", "margin": 0, "colour": 1}],
    }
    with pytest.raises(Invalid) as error:
        register(plane, green="nobody", plan=plan, begin=True)
    assert {
        "green",
        "begin",
        "plan.steps[1].weight",
        "plan.steps[2].weight",
        "plan.checks[0].metric",
        "plan.checks[1].margin",
        "plan.checks[1].colour",
    } <= set(paths(error))
    assert plane.one("SELECT count(*) FROM rollouts") == 0


def test_green_must_differ_from_blue_and_the_route_must_be_there(plane: Plane) -> None:
    with pytest.raises(Invalid, match="already"):
        register(plane, green="old")
    with pytest.raises(NotFound):
        register(plane, route="nowhere")


def test_models_of_two_body_families_cannot_share_a_route(plane: Plane) -> None:
    def put(name: str, family: str) -> None:
        body = model(name, body_family=family)
        apply.put_model(plane.engine, name, body, actor="ann", now=plane.now)

    put("old", "anthropic")
    put("new", "nova")
    with pytest.raises(Invalid, match="InvokeModel"):
        register(plane)
    put("new", "anthropic")
    assert register(plane).rollout.is_live


def test_a_target_that_does_not_exist_is_refused_by_its_place(plane: Plane) -> None:
    with pytest.raises(Invalid, match="no such model") as error:
        register(plane, Says(Found.NO, "no such model"))
    assert paths(error) == ["models.new.targets[0]"]
    assert plane.one("SELECT count(*) FROM rollouts") == 0


def test_a_target_that_could_not_be_looked_up_is_allowed_and_said(plane: Plane) -> None:
    registered = register(plane, Says(Found.UNKNOWN, "no credentials"))
    assert [lookup["found"] for lookup in registered.to_dict()["lookups"]] == ["unknown"]
    said = plane.one("SELECT sentence FROM journal WHERE act = 'register'")
    assert "Could not look up vendor.new in us-east-1: no credentials." in said


def test_what_to_expect_follows_the_last_hour(plane: Plane) -> None:
    quiet = register(plane)
    assert quiet.expect["traffic"] == 0
    assert "No calls" in quiet.expect["text"]
    plane.act(quiet.rollout.id, "abort")
    for ago in range(600, 0, -10):
        plane.observe(plane.row(calls=20, ago=ago))
    busy = register(plane).expect
    assert busy["traffic"] == pytest.approx(2.0)
    assert busy["steps"][0]["green_calls_per_hour"] == 720
    assert busy["steps"][0]["least_seconds"] is None
    assert "no accuracy scores of blue's to plan with" in busy["text"]


def test_what_to_expect_has_the_forecast(plane: Plane) -> None:
    plane.later(600)
    for ago in range(600, 0, -10):
        plane.observe(plane.row(calls=20, ago=ago))
    expect = register(plane, plan=PLAN | {"checks": [{"metric": "error_rate", "margin": 2, "maturity": 20}]}).expect
    forecast = expect["forecast"]
    assert expect["text"].startswith("At 2 calls a second, the 2 steps take about ")
    assert forecast["seconds"]["median"] >= sum(step["least_seconds"] for step in expect["steps"])
    assert forecast["chances"] == ()


def limits_of(registered: Registered) -> dict[str, float | None]:
    return {check.metric: check.limit for check in registered.rollout.plan.checks}


WITH_LIMITS = PLAN | {"checks": [{"metric": name, "margin": 1} for name in ("error_rate", "latency", "cost")]}


def test_limits_are_fixed_from_blues_last_day_and_saved_in_the_plan(plane: Plane) -> None:
    plane.later(2 * 86_400)
    slow = {"latency": {duration_bin(0.2): 94, duration_bin(1.8): 5, duration_bin(9.0): 1}}
    dear = {"cost_n": 100, "costs": {cost_bin(0.01): 50, cost_bin(0.03): 50}}
    plane.observe(plane.row(calls=100, ago=3600, **slow, **dear))
    plane.observe(plane.row(calls=100, ago=90_000, latency={duration_bin(60.0): 100}))  # a day before
    found = limits_of(register(plane, plan=WITH_LIMITS))
    assert found["error_rate"] is None
    assert found["latency"] == pytest.approx(1.8, rel=0.015)
    assert found["cost"] == pytest.approx(0.08, rel=0.015)
    plan, hashed = plane.sql("SELECT plan, plan_hash FROM rollouts")[0]
    stored = read_plan(Reader(plan))
    assert {check.metric: check.limit for check in stored.checks} == found
    assert hashed == plan_hash(stored)
    sentence = plane.one("SELECT sentence FROM journal WHERE act = 'register'")
    assert f" Counted: calls slower than {found['latency']} s, cost a call up to ${found['cost']}. " in sentence


def test_a_limit_that_is_given_stays_as_it_is(plane: Plane) -> None:
    plan = PLAN | {"checks": [{"metric": "latency", "margin": 1, "limit": 2.5}]}
    assert limits_of(register(plane, plan=plan)) == {"latency": 2.5}


def test_without_history_a_limit_must_be_given_and_bedrock_is_not_asked(plane: Plane) -> None:
    plane.later(2 * 86_400)
    asked = Says(Found.NO, "nobody should ask")
    with pytest.raises(Invalid) as error:
        register(plane, asked, plan=WITH_LIMITS, green="nobody")
    assert paths(error) == ["green", "plan.checks[1].limit", "plan.checks[2].limit"]
    said = {problem.path: problem.message for problem in error.value.problems}
    assert said["plan.checks[1].limit"] == (
        "blue has no recorded timed calls in the last day to take a limit from (20 at least); give one in seconds"
    )
    plane.observe(plane.row(calls=19, latency={5: 19}, cost_n=19, costs={0: 19}, ago=60))
    with pytest.raises(Invalid, match="only 19 recorded timed calls"):
        register(plane, plan=WITH_LIMITS)
    plane.observe(plane.row(calls=1, latency={5: 1}, cost_n=1, costs={0: 1}, ago=60))
    with pytest.raises(Invalid, match="declare its price, or give one in US dollars"):
        register(plane, plan=WITH_LIMITS)
    assert plane.one("SELECT count(*) FROM rollouts") == 0


def test_what_calls_cost_is_not_judged_while_a_price_is_not_declared(plane: Plane) -> None:
    cost = {"metric": "cost", "margin": 1, "limit": 0.1}
    [change] = apply.apply_declarations(
        plane.engine, {"models": [model("new", price=None)]}, actor="ann", now=plane.now
    )
    assert change.fields == {"price": ({"input_per_1k": 0.003, "output_per_1k": 0.015}, None)}
    with pytest.raises(Invalid) as error:
        register(plane, plan=PLAN | {"checks": [*PLAN["checks"], cost]})
    assert [str(problem) for problem in error.value.problems] == [
        "plan.checks[2].metric: what calls cost is not known while no price is declared for 'new': declare its price,"
        " or leave this check out"
    ]
    running = register(plane).rollout.id
    with pytest.raises(Invalid, match=r"checks\[2\]\.metric: what calls cost is not known while no price is declared"):
        plane.amend(running, *PLAN["checks"], cost)
    apply.apply_declarations(plane.engine, {"models": [model("new", price={})]}, actor="ann", now=plane.now)
    plane.amend(running, *PLAN["checks"], cost)


def test_a_limit_is_taken_from_this_blue_only(plane: Plane) -> None:
    plane.later(2 * 86_400)
    plane.observe(plane.row(calls=100, ago=60, latency={duration_bin(5.0): 100}))
    route = {"name": ROUTE, "blue": "spare"}
    apply.put_route(plane.engine, ROUTE, route, actor="ann", now=plane.now)
    plane.later(60)
    plan = PLAN | {"checks": [{"metric": "latency", "margin": 1}]}
    with pytest.raises(Invalid, match="no recorded timed calls"):
        register(plane, plan=plan)
    plane.observe(plane.row(calls=50, ago=30, latency={duration_bin(0.5): 50}))
    assert limits_of(register(plane, plan=plan))["latency"] == pytest.approx(0.5, rel=0.015)


def test_a_blue_that_changes_while_bedrock_is_asked_is_a_conflict(plane: Plane) -> None:
    class Meanwhile(KnowsAll):
        def find(self, target: Target) -> Lookup:
            later = plane.later(1)
            apply.put_route(plane.engine, ROUTE, {"name": ROUTE, "blue": "spare"}, actor="bob", now=later)
            return super().find(target)

    with pytest.raises(Conflict, match="changed meanwhile"):
        register(plane, Meanwhile())


@pytest.mark.parametrize(
    ("changed", "path", "said"),
    [
        (model("new", takes=[]), "green", "declared not to take tools"),
        (model("new", price=None), "plan.checks[0].metric", "no price is declared for 'new'"),
    ],
)
def test_a_green_that_changes_while_bedrock_is_asked_is_looked_at_again(
    plane: Plane, changed: dict[str, Any], path: str, said: str
) -> None:
    class Meanwhile(KnowsAll):
        def find(self, target: Target) -> Lookup:
            apply.put_model(plane.engine, "new", changed, actor="bob", now=plane.now)
            return super().find(target)

    apply.put_route(plane.engine, ROUTE, {"blue": "old", "needs": ["tools"]}, actor="ann", now=plane.now)
    plan = PLAN | {"checks": [{"metric": "cost", "margin": 1, "limit": 0.1}]}
    with pytest.raises(Invalid, match=said) as error:
        register(plane, Meanwhile(), plan=plan)
    assert paths(error) == [path]
    assert plane.one("SELECT count(*) FROM rollouts") == 0


def test_of_many_registrations_at_once_one_wins(plane: Plane) -> None:
    start = threading.Barrier(4)
    won: list[Rollout] = []
    lost: list[str] = []

    def run() -> None:
        start.wait()
        try:
            won.append(register(plane).rollout)
        except Conflict as error:
            lost.append(str(error))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(won) == 1
    assert len(lost) == 3
    assert all(f"rollout {won[0].id}" in text for text in lost)


def test_a_resume_after_a_breach_that_paused_accepts_it(plane: Plane) -> None:
    plan = PLAN | {"checks": [{"metric": "error_rate", "margin": 2, "maturity": 20, "on_breach": "pause"}]}
    rollout = register(plane, plan=plan).rollout
    for _ in range(12):
        plane.later(10)
        place: dict[str, Any] = {"ago": 10, "rollout": rollout.id}
        plane.observe(plane.row("blue", 90, **place), plane.row("green", 10, 8, **place))
    plane.later(30)
    plane.tick()
    assert plane.sql("SELECT phase, act, reason FROM rollouts") == [("paused", "pause", "check_failed")]
    plane.later(20)
    plane.tick()
    assert plane.one("SELECT reason FROM rollouts") == "check_failed", "a paused rollout keeps saying why"
    assert plane.act(rollout.id, "resume").accepted == ("error_rate",)
    plane.later(20)
    plane.tick()
    assert plane.one("SELECT phase FROM rollouts") == "progressing"


@pytest.mark.parametrize(("verb", "reason", "path"), [("roll_back", "x", "verb"), ("pause", "  ", "reason")])
def test_an_act_needs_a_persons_verb_and_a_reason(plane: Plane, verb: str, reason: str, path: str) -> None:
    rollout = register(plane).rollout
    with pytest.raises(Invalid) as error:
        plane.act(rollout.id, verb, reason=reason)
    assert paths(error) == [path]
    with pytest.raises(NotFound):
        plane.act(999, "abort")


def test_a_score_that_no_call_carries_is_told_with_those_that_there_are(plane: Plane) -> None:
    plane.later(60)
    plane.observe(plane.row(calls=40, ago=40))
    misspelt = {"checks": [{"metric": "score.acuracy", "margin": 1}]}
    nothing_yet = register(plane, plan=misspelt)
    assert "none of blue's calls carry a score 'acuracy' yet" in nothing_yet.calibration.sentences[0]
    assert "misspelt" not in nothing_yet.expect["text"]
    plane.act(nothing_yet.rollout.id, "abort", reason="again")
    plane.score((plane.call_id(ago=40), 1.0))
    plane.score((plane.call_id(ago=30), 1.0), metric="tone")
    assert (
        "No call of blue's carries a score 'acuracy'; the scores that there are: 'accuracy' and 'tone'."
        " Is the name misspelt?"
    ) in register(plane, plan=misspelt).expect["text"]


def test_calls_that_may_outlast_a_maturity_are_told_of(plane: Plane) -> None:
    errors = {"metric": "error_rate", "margin": 2}
    scores = {"metric": "score.accuracy", "margin": 5}
    said = register(plane, plan={"checks": [errors | {"maturity": 60}, scores]}).expect["text"]
    assert said.endswith(
        "may take 120 s (its stream_deadline), which is longer than the maturity of error rate (60 s): calls that hang"
        " beyond that are never judged. Give a maturity of 150 s, or the route shorter deadlines."
    )
    assert "deadline" not in register(plane, route="other", plan={"checks": [errors, scores]}).expect["text"]
