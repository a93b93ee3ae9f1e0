"""What a terminal shows of a rollout."""

from __future__ import annotations

import io
import re
from typing import Any

from rich.console import Console

from crossfade.cli import arithmetic, render

CALLS = {"calls": 0, "errors": 0, "busy": 0, "retries": 0, "failovers": 0}
ROLLOUT: dict[str, Any] = {
    "id": 7, "route": "chat", "version": 2, "phase": "progressing", "step": 0, "steps": [], "weight": 10,
    "observed_weight": None, "sentence": "Holding at 10 %.", "blue": "old", "green": "new", "blue_calls": CALLS,
    "green_calls": CALLS, "tiles": [], "durations": [], "ended_at": None,
}  # fmt: skip


def shown(**more: Any) -> str:
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(render.status(ROLLOUT | more))
    return console.export_text()


def test_status_has_a_line_for_each_quantile_of_durations() -> None:
    sentence = "blue 199 ms (197 to 201 ms), green –; green - blue –"
    said = shown(durations=[{"name": "whole call, p95", "sentence": sentence}])
    assert "durations in this step" in said
    assert f"whole call, p95: {sentence}" in said


def test_status_says_nothing_of_durations_that_are_not_there() -> None:
    assert "durations" not in shown()


def test_one_of_a_kind_is_not_many() -> None:
    said = shown(
        blue_calls=CALLS | {"calls": 1, "retries": 1}, green_calls=CALLS | {"calls": 7, "failovers": 1, "retries": 2}
    )
    assert "1 call, 1 retry" in said
    assert "7 calls, 2 retries, 1 failover" in said


def test_a_step_where_the_rollout_ended_has_its_own_sign() -> None:
    steps = [{"weight": 5, "approve": False, "state": "done"}, {"weight": 25, "approve": False, "state": "stopped"}]
    said = shown(steps=steps, phase="aborted", weight=0, observed_weight=24.6, ended_at="2026-11-23T12:00:00+00:00")
    assert "✔ 5 %" in said
    assert "✖ 25 %" in said
    assert "0 % of calls to green, observed 24.6 % in its last step" in said


def test_a_shadow_step_is_said_with_what_its_copies_cost() -> None:
    steps = [
        {"weight": 0.0, "shadow": 10.0, "approve": False, "state": "current"},
        {"weight": 25.0, "shadow": 0.0, "approve": False, "state": "to_come"},
    ]
    shadow = {"percent": 10.0, "calls": 6000, "copies": 590, "answered": 588, "priced": 588, "cost": 1.25}
    said = shown(steps=steps, weight=0, observed_weight=9.83, shadow=shadow)
    assert "a shadow of 10 %" in said
    assert "copies of 10 % of calls to green, observed 9.8 %" in said
    assert "shadow: 590 copies of 6,000 calls, 588 answered, cost: $1.25" in said
    unpriced = shown(steps=steps, weight=0, shadow=shadow | {"priced": 0, "cost": None})
    assert "588 answered, cost: no price" in unpriced
    partly = shown(steps=steps, weight=0, shadow=shadow | {"priced": 40, "cost": 0.125})
    assert "588 answered, cost: $0.125 (known of 40)" in partly
    later = shown(steps=steps, step=1, weight=25, shadow=shadow)
    assert "25 % of calls to green" in later
    assert "590 copies" in later


def test_an_alarm_of_the_routes_calls_is_in_the_status() -> None:
    assert re.search(r"Alarm: +4 of the 2,000 attempts failed", shown(alarm="4 of the 2,000 attempts failed"))
    assert "Alarm" not in shown(alarm="")


def test_a_check_that_awaits_its_first_look_says_what_it_asks() -> None:
    check = {"metric": "latency", "limit": 1.8, "margin": 2.0, "on_breach": "pause", "gating": False}
    said = shown(
        phase="pending", tiles=[check | {"ruling": "no_data", "sentence": "not started yet", "awaits_look": True}]
    )
    assert (
        "? calls slower than 1.8 s: no data  not started yet: margin 2 points; a breach pauses; does not gate" in said
    )


def test_a_split_of_keyed_calls_says_that_they_are_not_tested() -> None:
    said = shown(split={"calls": 0, "sentence": "no call was split by chance yet"})
    assert "no call was split by chance yet; calls that follow a key are not tested" in said


def test_nothing_is_less_than_nothing() -> None:
    assert arithmetic._row([-0.0, -1e-9, -0.5]) == "0.000 0.000 -0.500"
    assert arithmetic._points(-1e-9) == "+0.000 points"
