"""Unknown failures above what the route's policy allows are shown where an operator looks, and so are
calls that got no answer."""

from __future__ import annotations

from typing import Any

import pytest
from plane import PLAN, ROUTE, Plane

from crossfade.server.usecases import apply
from crossfade.server.views import declared
from crossfade.server.views.fleet import fleet
from crossfade.server.views.rollout import rollout as read_rollout


def unknown(plane: Plane, count: int, calls: int = 1000, *, rollout: int = 0, ago: float = 0) -> None:
    """So many of the calls' attempts failed in an unknown way, and a second one went well."""
    plane.observe(plane.row(calls=calls, rollout=rollout, ago=ago, attempts={"ok": calls, "unknown": count}))


def test_it_is_on_the_rollout_the_route_and_the_fleet(plane: Plane) -> None:
    rollout = plane.register().id
    plane.later(60)
    unknown(plane, 3, 1000, rollout=rollout)
    unknown(plane, 1, 996)  # recorded before the rollout was heard of
    said = (
        f"4 of the 2,000 attempts of {ROUTE} in the last ten minutes (0.20 %) failed in a way that Crossfade does not"
        " know; its policy's unknown_share is 0.10 %. They count against neither Model. The services' logs say with"
        " what (action unknown_outcomes)."
    )
    assert read_rollout(plane.engine, rollout, now=plane.now).alarm == said
    assert declared.route(plane.engine, ROUTE, now=plane.now).effective()["alarm"] == said
    assert {row.route: row.alarm for row in fleet(plane.engine, now=plane.now)} == {ROUTE: said, "other": ""}
    plane.act(rollout, "abort")
    assert read_rollout(plane.engine, rollout, now=plane.now).alarm == ""
    assert declared.route(plane.engine, ROUTE, now=plane.now).alarm == said


def test_it_is_not_raised_for_what_the_policy_allows_nor_for_what_is_past(plane: Plane) -> None:
    plane.later(3600)
    unknown(plane, 500, ago=900)
    unknown(plane, 1, 999)
    assert declared.route(plane.engine, ROUTE, now=plane.now).alarm == ""
    policy = {"blue": "old", "fallbacks": ["spare"], "policy": {"unknown_share": 0.0005}}
    apply.put_route(plane.engine, ROUTE, policy, actor="ann", now=plane.now)
    assert "(0.10 %) failed in a way" in declared.route(plane.engine, ROUTE, now=plane.now).alarm


def unanswered(plane: Plane, *, calls: int, busy: int = 0, rejected: int = 0, **more: Any) -> None:
    """So many calls, of which some got the busy answer or their own error."""
    answered = calls - busy - rejected
    plane.observe(plane.row(calls=answered, **more))
    ended = {"throttled": busy, "rejected": rejected}
    plane.observe(
        plane.row(
            calls=busy + rejected,
            judged=0,
            model="",
            busy=busy - busy // 3,
            raised=busy // 3 + rejected,
            outcomes={outcome: n for outcome, n in ended.items() if n},
            attempts={"throttled": 4 * busy, "outage": 3, "rejected": rejected},
            **more,
        )
    )


def test_calls_without_an_answer_are_told_on_the_rollout_the_route_and_the_fleet_until_it_is_over(plane: Plane) -> None:
    shadowed = {"steps": [{"shadow": 50, "bake": 60}, {"weight": 50}], "checks": PLAN["checks"]}
    rollout = plane.register(plan=shadowed).id
    plane.later(60)
    unanswered(plane, calls=3_000, busy=139, rejected=40, rollout=rollout)
    unanswered(plane, calls=214)  # recorded before the rollout was heard of
    lost = {"outcomes": {"outage": 900}, "attempts": {"outage": 900}}
    plane.observe(plane.row("green", 900, rollout=rollout, raised=900, judged=0, copies=900, model="", **lost))
    said = (
        "139 of 3,214 calls (4.3 %) in the last ten minutes got the busy answer or an error; of 562 failed attempts 556"
        " ended as throttled."
    )
    assert read_rollout(plane.engine, rollout, now=plane.now).alarm == said
    assert declared.route(plane.engine, ROUTE, now=plane.now).alarm == said
    assert {row.route: row.alarm for row in fleet(plane.engine, now=plane.now)} == {ROUTE: said, "other": ""}
    unknown(plane, 500, 1000)
    both = declared.route(plane.engine, ROUTE, now=plane.now).alarm
    assert both.startswith("139 of 4,214 calls (3.3 %)")
    assert "failed in a way that Crossfade does not know" in both
    plane.later(700)
    assert declared.route(plane.engine, ROUTE, now=plane.now).alarm == ""


def test_where_no_target_was_left_to_try_the_alarm_says_so(plane: Plane) -> None:
    plane.later(3600)
    plane.observe(plane.row(calls=7, judged=0, model="", busy=7, outcomes={"unavailable": 7}, attempts={}))
    said = "7 of 7 calls (100.0 %) in the last ten minutes got the busy answer or an error; no attempt failed."
    assert declared.route(plane.engine, ROUTE, now=plane.now).alarm == said


@pytest.mark.parametrize(
    ("calls", "busy", "rejected"),
    [(4, 4, 0), (1_000, 10, 0), (400, 0, 300), (6, 0, 6), (400, 4, 300)],
)
def test_few_calls_without_an_answer_and_those_at_fault_themselves_raise_no_alarm(
    plane: Plane, calls: int, busy: int, rejected: int
) -> None:
    plane.later(3600)
    unanswered(plane, calls=400, busy=400, ago=900)
    unanswered(plane, calls=calls, busy=busy, rejected=rejected)
    assert declared.route(plane.engine, ROUTE, now=plane.now).alarm == ""
