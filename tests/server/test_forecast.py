"""Planning on a route: at its real traffic and blue's real rates, or at what is given in their place."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from plane import PLAN, ROUTE, Plane, model  # type: ignore[import-not-found]

from crossfade.core.plan import read_plan
from crossfade.core.reading import Reader
from crossfade.errors import Invalid, NotFound
from crossfade.server.database import begin
from crossfade.server.store import declared
from crossfade.server.usecases import apply
from crossfade.server.usecases.calibrate import calibrate_route
from crossfade.server.usecases.forecast import Known, plan_route, read_known

ERRORS: dict[str, Any] = PLAN | {"checks": [{"metric": "error_rate", "margin": 2, "maturity": 20}]}


def planned(plane: Plane, **body: Any) -> dict[str, Any]:
    found = plan_route(plane.engine, {"route": ROUTE, "plan": PLAN, **body}, now=plane.now)
    forecast: dict[str, Any] = found["forecast"]
    return forecast


def known(plane: Plane) -> Known:
    with begin(plane.engine) as connection:
        return read_known(connection, declared.find_route(connection, ROUTE), read_plan(Reader(PLAN)), plane.now)


def served(plane: Plane, *, minutes: int = 10, calls: int = 20, scored: int = 5) -> None:
    """Blue's traffic up to now: two errors in a hundred calls, nine in ten scores are 1."""
    made = 0
    plane.later(60 * minutes)
    for ago in range(60 * minutes, 0, -10):
        plane.observe(plane.row(calls=calls, errors=int(ago % 50 == 0) * 2, ago=ago))
        plane.score(*((plane.call_id(ago=ago), float((made + k) % 10 > 0)) for k in range(scored)))
        made += scored


def test_traffic_rates_and_the_share_of_scored_calls_are_the_routes_own(plane: Plane) -> None:
    served(plane)
    found = known(plane)
    assert found.traffic == pytest.approx(2.0)
    assert found.history["error_rate"].mean == pytest.approx(0.02)
    assert found.history["score.accuracy"].mean == pytest.approx(0.1)
    assert found.scored == {"score.accuracy": pytest.approx(0.25)}
    forecast = planned(plane)
    assert forecast["traffic"] == pytest.approx(2.0)
    assert forecast["seconds"]["median"] > 0
    assert {(chance["metric"], chance["points"]) for chance in forecast["chances"]} == {
        (metric, points) for metric in ("error_rate", "score.accuracy") for points in (1, 2, 5)
    }
    assert all(step["calls"]["median"] <= step["calls"]["p90"] for step in forecast["steps"])


def test_a_first_bucket_that_began_half_way_and_one_still_arriving_do_not_lower_the_traffic(plane: Plane) -> None:
    plane.now += timedelta(seconds=5)
    for calls, ago in ((3, 55), (100, 45), (100, 35), (100, 25), (12, 5)):
        plane.observe(plane.row(calls=calls, ago=ago))
    assert known(plane).traffic == pytest.approx(10.0)


def test_what_an_earlier_blue_did_says_nothing(plane: Plane) -> None:
    served(plane)
    with begin(plane.engine) as connection:
        route = declared.find_route(connection, ROUTE)
    assert route.blue_since <= plane.now
    plane.sql("UPDATE routes SET blue_since = :now", now=plane.now)
    assert known(plane).history["error_rate"].n == 0
    assert planned(plane)["seconds"] is None


def test_traffic_and_rates_that_are_given_stand_in_for_what_was_recorded(plane: Plane) -> None:
    silent = planned(plane)
    assert silent["seconds"] is None
    assert "No calls" in silent["sentences"][0]
    base = {"error_rate": 0.01, "score.accuracy": 0.9}
    given = planned(plane, traffic=50, base=base)
    assert given["traffic"] == 50
    assert given["seconds"]["median"] < planned(plane, traffic=5, base=base)["seconds"]["median"]
    assert planned(plane, plan=ERRORS, traffic=50)["seconds"] is None, "blue's errors are still not known"


def test_planning_changes_nothing(plane: Plane) -> None:
    before = plane.sql("SELECT (SELECT count(*) FROM journal), (SELECT version FROM snapshot_state)")
    planned(plane, traffic=5, base={"error_rate": 0.01, "score.accuracy": 0.9})
    assert plane.sql("SELECT (SELECT count(*) FROM journal), (SELECT version FROM snapshot_state)") == before


def test_every_problem_of_the_body_is_named_with_its_path(plane: Plane) -> None:
    with pytest.raises(Invalid) as error:
        planned(
            plane,
            plan=ERRORS | {"steps": [{"weight": 50}, {"weight": 5}]},
            traffic=-1,
            base={"error_rate": 3, "score.accuracy": 0.9},
            green="new",
        )
    paths = {problem.path for problem in error.value.problems}
    assert paths == {"plan.steps[1].weight", "traffic", "base.error_rate", "base.score.accuracy", "green"}
    with pytest.raises(NotFound, match="nowhere"):
        planned(plane, route="nowhere", traffic=5)


def test_a_check_of_costs_is_refused_while_blue_has_no_price(plane: Plane) -> None:
    cost = {"metric": "cost", "margin": 1, "limit": 0.1}
    plan = PLAN | {"checks": [*PLAN["checks"], cost]}
    assert planned(plane, plan=plan, traffic=1)
    apply.apply_declarations(plane.engine, {"models": [model("old", price=None)]}, actor="ann", now=plane.now)
    said = r"plan\.checks\[2\]\.metric: what calls cost is not known while no price is declared for 'old'"
    with pytest.raises(Invalid, match=said):
        planned(plane, plan=plan, traffic=1)
    with pytest.raises(Invalid, match=said):
        calibrate_route(plane.engine, {"route": ROUTE, "plan": plan}, now=plane.now)
