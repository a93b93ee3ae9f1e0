"""Unknown failures above what the route's policy allows are shown where an operator looks."""

from __future__ import annotations

from plane import ROUTE, Plane

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
