"""What a terminal shows of a rollout."""

from __future__ import annotations

import io
import re
from typing import Any

from rich.console import Console, RenderableType

from crossfade.cli import arithmetic, declaration, forecast, render
from crossfade.cli.columns import columns

CALLS = {"calls": 0, "errors": 0, "busy": 0, "retries": 0, "failovers": 0}
ROLLOUT: dict[str, Any] = {
    "id": 7, "route": "chat", "version": 2, "phase": "progressing", "step": 0, "steps": [], "weight": 10,
    "observed_weight": None, "sentence": "Holding at 10 %.", "blue": "old", "green": "new", "blue_calls": CALLS,
    "green_calls": CALLS, "tiles": [], "durations": [], "ended_at": None,
}  # fmt: skip


def shown(**more: Any) -> str:
    return printed(render.status(ROLLOUT | more), 160)


def printed(what: RenderableType, width: int) -> str:
    """What a terminal of so many characters shows."""
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(what)
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


def test_copies_of_calls_are_not_said_to_be_calls() -> None:
    shadow = {"percent": 10.0, "calls": 1640, "copies": 164, "answered": 164, "priced": 0, "cost": None}
    said = shown(blue_calls=CALLS | {"calls": 9}, green_calls=CALLS | {"calls": 195}, shadow=shadow)
    assert "90 %  9 calls" in said
    assert "10 %  31 calls and 164 copies" in said
    assert "  164 copies" in shown(green_calls=CALLS | {"calls": 164}, shadow=shadow)
    assert "  0 calls" in shown(shadow=shadow | {"copies": 0})


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


def test_at_a_shadow_step_green_gets_copies_and_no_share() -> None:
    steps = [{"weight": 0.0, "shadow": 10.0, "approve": False, "state": "current"}]
    said = shown(steps=steps, weight=0, split={"calls": 0, "sentence": "no call was split by chance yet"})
    assert "green new  copies of 10 %" in said
    assert "nothing to test: at a shadow step blue gets every call" in said
    over = shown(steps=steps, weight=0, phase="rolled_back", ended_at="2026-11-23T12:00:00+00:00", observed_weight=9.8)
    assert "green new  0 %" in over
    assert "0 % of calls to green, observed 9.8 % in its last step" in over


def test_how_calls_ended_is_said_where_the_errors_do_not_say_it() -> None:
    ended = {"ok": 90, "model_error": 2, "throttled": 3, "timed_out": 5}
    assert "ended: ok 90, timed out 5, throttled 3, model error 2" in shown(blue_calls=CALLS | {"outcomes": ended})
    assert "ended" not in shown(blue_calls=CALLS | {"errors": 2, "outcomes": {"ok": 90, "model_error": 2}})


def test_a_check_is_named_once() -> None:
    tile = {"metric": "error_rate", "ruling": "passed", "sentence": "error rate 1.00 % on green against 2.00 % on blue"}
    assert "error rate: passed  1.00 % on green against 2.00 % on blue" in shown(tiles=[tile])


LISTED: dict[str, Any] = {
    "id": 7, "route": "anthropic.claude-3-haiku-20240307-v1:0", "green": "haiku-of-the-next-generation", "step": 1,
    "steps": 4, "weight": 25.0, "phase": "progressing", "sentence": "Holding at 25 %: about 412 more calls.",
    "ended_at": None,
}  # fmt: skip


def test_a_list_has_each_rollout_with_its_reason_below_it_and_cuts_nothing() -> None:
    ended = LISTED | {"id": 6, "phase": "aborted", "ended_at": "2026-11-23T12:00:00+00:00", "sentence": "Aborted."}
    said = printed(render.rollouts_list([LISTED, ended]), 80)
    assert "7  anthropic.claude-3-haiku-20240307-v1:0 → haiku-of-the-next-generation" in said
    assert "\n   progressing, step 2 of 4, 25 %" in said
    assert "\n   Holding at 25 %: about 412 more calls." in said
    assert "aborted\n" in "\n".join(line.rstrip() for line in said.splitlines())  # an ended one is at no step


def test_what_has_no_room_in_a_table_goes_on_and_is_not_cut() -> None:
    name = "anthropic.claude-3-haiku-20240307-v1:0"
    said = printed(columns("route", "why", rows=[(name, "because of this")]), 30)
    assert "…" not in said
    assert name in "".join(line.split(" ")[0] for line in said.splitlines()[1:])


def test_the_numbers_of_a_forecast_are_whole_on_a_narrow_terminal() -> None:
    def spread(median: float, p90: float) -> dict[str, float]:
        return {"median": median, "p90": p90}

    weighed = {"weight": 12.5, "shadow": 0.0, "slowest": "first_token", "least_seconds": 60.0}
    shadow = {"weight": 0.0, "shadow": 10.0, "slowest": None, "least_seconds": 3600.0}
    found = {"calls": spread(1234567, 12345678), "seconds": spread(12345, 1234567), "green_calls": spread(123456, 1)}
    chance = {
        "metric": "first_token", "limit": 0.8, "points": 0.5, "caught": 0.994, "promoted": 0.003, "undecided": 0.003,
        "seconds": 12345.0, "green_calls": 123456.0, "harm": 1234.5,
    }  # fmt: skip
    steps = [shadow | dict.fromkeys(found), weighed | found]
    said = printed(forecast.render({"steps": steps, "chances": [chance], "sentences": [], **found}), 80)
    assert "…" not in said
    for number in ("1,234,567", "12,345,678", "123,456", "14 days", "1,234.5"):
        assert number in said


ROUTE: dict[str, Any] = {
    "name": "chat", "blue": "old", "fallbacks": ["small"], "needs": ["cache_points"], "busy_text": "Later.",
    "rules": [
        {"when": {"complexity_least": 0.25, "characters_below": 2e3, "tools": False, "images": True}, "use": "cheap"},
        {"when": {"tiers": ["free", "trial"], "labels": {"team": "search"}}, "use": "cheap"},
        {"when": {"moon": "full"}, "use": "night"},
    ],
    "shares": {"[red]cheap": 12.5}, "validator": {"members": ["label"], "characters_most": 1000},
    "blue_since": "2026-11-23T12:00:00+00:00", "policy": {"deadline": 45.0},
    "policy_in_force": [
        {"name": "deadline", "value": 45.0, "default": 60.0, "least": 0.1, "most": 3600, "unit": "s", "says": "all"},
        {"name": "outage_tries", "value": 2, "default": 2, "least": 1, "most": 10, "unit": "tries", "says": "`outage`"},
        {"name": "busy", "value": True, "default": True, "says": "polite"},
    ],
}  # fmt: skip
MODELS: dict[str, Any] = {
    name: {"name": name, "targets": [{"region": "us-east-1", "model_id": f"us.vendor.{name}-v1:0"}, *more]}
    for name, more in {
        "old": [{"region": "eu-west-1", "model_id": "eu.old", "endpoint_url": "http://127.0.0.1:1"}],
        "new": [],
        "small": [],
    }.items()
}  # fmt: skip


def test_a_route_is_shown_in_words() -> None:
    said = printed(declaration.route(ROUTE, MODELS, ROLLOUT), 80)
    for line in (
        r"blue +old, since 2026-11-23 12:00:00 UTC",
        r"live +rollout 7 ◌ progressing  Holding at 10 %\.",
        r"needs +cache points",
        r"answers +must be a JSON object with label; have at most 1,000 characters",
        r"blue +old +us-east-1 +us\.vendor\.old-v1:0",
        r" +eu-west-1 +eu\.old +at http://127\.0\.0\.1:1",
        r"green +new +us-east-1 +us\.vendor\.new-v1:0",
        r"fallback +small +us-east-1 +us\.vendor\.small-v1:0",
        r"1\. +→ cheap +if complexity at least 0\.25, characters below 2,000, no tools,",
        r"2\. +→ cheap +if tier 'free' or 'trial', label team 'search'",
        r'3\. +→ night +if \{"moon": "full"\}',
        r"12\.5 % +→ \[red\]cheap",
        r"87\.5 % +stays",
        r"\* +deadline +45 +60 +0\.1 to 3,600 +all \(s\)",
        r"\s +outage_tries +2 +2 +1 to 10 +outage \(tries\)",
        r"\s +busy +yes +yes +yes, no +polite",
        r"\* set by this route; all others are as by default",
    ):
        assert re.search(rf"^\s*{line}\s*$", said, re.MULTILINE), line
    bare = ROUTE | {"rules": [], "shares": {}, "needs": [], "validator": None, "policy_in_force": [], "fallbacks": []}
    quiet = printed(declaration.route(bare, MODELS, None), 80)
    assert re.search(r"^live +no rollout", quiet, re.MULTILINE)
    assert not re.search("Rules|Shares|needs|answers|setting|green", quiet)


def test_a_model_is_shown_in_words() -> None:
    more = {"takes": ["tools", "cache_points"], "used_by": ["chat"], "body_family": "nova"}
    price = {"input_per_1k": 0.003, "output_per_1k": 0.015}
    said = printed(declaration.model(MODELS["old"] | more | {"price": price}), 80)
    assert re.search(r"^price +\$0\.00300 for 1,000 tokens in, \$0\.0150 for 1,000 out", said, re.MULTILINE)
    assert re.search(r"^takes +tools, cache points", said, re.MULTILINE)
    assert re.search(r"^ +2\. +eu-west-1 +eu\.old", said, re.MULTILINE)
    bare = printed(declaration.model(MODELS["new"]), 80)
    for line in ("price +not declared", "body +Converse only", "takes +not declared", "used by +no route"):
        assert re.search(f"^{line}", bare, re.MULTILINE), line
