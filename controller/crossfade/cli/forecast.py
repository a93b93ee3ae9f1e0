"""Forecast: `crossfade plan` and `crossfade calibrate`, what to expect of a plan before anything is registered."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from crossfade.cli import render as shown
from crossfade.cli.client import Client
from crossfade.cli.columns import columns, to_the_right
from crossfade.cli.options import Output, may_ask_controller, on_controller
from crossfade.cli.plan import metric_and_value, whole_plan
from crossfade.core.metric import DOLLARS, metric_of
from crossfade.core.plan import read_plan
from crossfade.core.reading import Reader, rate_in
from crossfade.core.sentence import duration, harm, metric_name, percent, standing


@click.command()
@click.argument("route", required=False)
@whole_plan
@click.option("--traffic", type=float, metavar="CALLS_PER_SECOND", help="In place of the route's own.")
@click.option(
    "--base",
    "bases",
    multiple=True,
    metavar="METRIC=RATE",
    help="Blue's rate in place of what was recorded: error_rate=1% or 0.01, score.accuracy=0.93.",
)
@may_ask_controller
def plan(
    connect: Callable[[], AbstractContextManager[Client]],
    output: Output,
    route: str | None,
    plan: dict[str, Any],
    traffic: float | None,
    bases: tuple[str, ...],
) -> None:
    """What to expect of a rollout on ROUTE. Its time, its cost, and what it can tell; changes nothing.

    Without ROUTE no controller is asked: --traffic and a --base for each check then say what to plan with.
    """
    for name in ("green", "reason"):
        plan.pop(name, None)
    base = dict(metric_and_value(text, "--base", "METRIC=RATE such as error_rate=1%", rate_in) for text in bases)
    body: dict[str, Any] = {"plan": plan, "base": base} | ({} if traffic is None else {"traffic": traffic})
    if route is None:
        if traffic is None or not base:
            raise click.UsageError("give ROUTE, or --traffic and a --base for each check to plan without a controller")
        found = _offline(body)
    else:
        with connect() as client:
            found = client.post("/v1/plan", body | {"route": route})
    output.show(found, lambda: render(found["forecast"]))


@click.command()
@click.argument("route")
@whole_plan
@click.option("--replays", type=int, metavar="N", help="How many A/A replays. Default: 1,000.")
@click.option("--seed", type=int, metavar="N", help="Of the random numbers. Default: 1.")
@on_controller
def calibrate(
    client: Client, output: Output, route: str, plan: dict[str, Any], replays: int | None, seed: int | None
) -> None:
    """Whether the guarantees hold on ROUTE's own traffic. Splits blue anew many times; changes nothing."""
    for name in ("green", "reason"):
        plan.pop(name, None)
    asked = {name: value for name, value in (("replays", replays), ("seed", seed)) if value is not None}
    found = client.post("/v1/calibrate", {"route": route, "plan": plan} | asked)
    output.show(found, lambda: render_calibration(found["calibration"]))


def render_calibration(found: dict[str, Any]) -> RenderableType:
    """How the replays ended, what each check's overdispersion was, and the sentences."""
    if not found["replays"]:
        return shown.calibration(found)
    replays = found["replays"]
    ends = columns(
        "A/A replays", *to_the_right("rolled back", "at most", "alpha", "promoted", "undecided", "calls to decide")
    )
    ends.add_row(
        f"{replays:,}",
        f"{found['stopped'] / replays:.2%}",
        f"{found['most']:.2%}",
        f"{found['alpha']:.2%}",
        f"{found['promoted'] / replays:.1%}",
        f"{found['undecided'] / replays:.1%}",
        "-" if found["median_calls"] is None else f"{found['median_calls']:,}",
    )
    phi = columns("overdispersion", *to_the_right("starts with", "measured", "at the end", "9 in 10"))
    for check in found["checks"]:
        numbers = (check["given"], check["start"], check["median"], check["p90"])
        phi.add_row(metric_name(check["metric"]), *(f"{number:.2f}" for number in numbers))
    return Group(ends, Text(), phi, Text(), shown.calibration(found))


def _offline(body: dict[str, Any]) -> dict[str, Any]:
    """What the API would reply. Raises `Invalid`."""
    from crossfade.simulation.base import like, read_base
    from crossfade.simulation.planner import MOST_TRAFFIC, plan_ahead

    reader = Reader(body)
    wanted = read_plan(reader.section("plan"))
    traffic = reader.number("traffic", least=0, most=MOST_TRAFFIC, unit="calls a second")
    base = read_base(reader.section("base"), wanted.checks)
    reader.finish()
    history = {metric: like(loss) for metric, loss in base.items()}
    return {"route": None, "forecast": plan_ahead(wanted, history, traffic=traffic).to_dict()}


def render(forecast: dict[str, Any]) -> RenderableType:
    """Steps, chances, blue's rates, sentences."""
    parts: list[RenderableType] = []
    if forecast["seconds"]:
        parts += [_steps(forecast), Text()]
    if forecast["chances"]:
        parts += [_chances(forecast["chances"]), Text()]
    if base := forecast.get("base"):  # a controller of an earlier build does not say
        parts.append(Text(f"Reckoned with blue at: {', '.join(_rate(*pair) for pair in base.items())}."))
    return Group(*parts, *(Text(sentence) for sentence in forecast["sentences"]))


def _rate(metric: str, rate: float) -> str:
    return f"{metric_name(metric)} {percent(rate)}{' of its limit' if metric_of(metric).limit_unit == DOLLARS else ''}"


def _steps(forecast: dict[str, Any]) -> RenderableType:
    counts = [*to_the_right("calls", "9 in 10", whole=True), *to_the_right("time", "9 in 10", "green calls")]
    table = columns("step", "weight", *counts, "waits longest for")
    for number, step in enumerate(forecast["steps"], 1):
        name = standing(step["weight"], step.get("shadow", 0.0))
        numbers = _shadowed(step) if step.get("shadow") else _spreads(step)
        table.add_row(str(number), name, *numbers, _slowest(step["slowest"]))
    shadow = any(step.get("shadow") for step in forecast["steps"])
    table.add_row("all others" if shadow else "all", "", *_spreads(forecast), "")
    return table


def _shadowed(step: dict[str, Any]) -> list[str]:
    """Of a shadow step no more is foreseen than the shortest it can last."""
    return ["?", "?", f"at least {duration(step['least_seconds'])}", "?", "?"]


def _spreads(found: dict[str, Any]) -> list[str]:
    calls, seconds, green = found["calls"], found["seconds"], found["green_calls"]
    if not (calls and seconds and green):
        return ["for ever", "", "for ever", "", ""]
    return [
        f"{calls['median']:,.0f}",
        f"{calls['p90']:,.0f}",
        duration(seconds["median"]),
        duration(seconds["p90"]),
        f"{green['median']:,.0f}",
    ]


def _slowest(name: str | None) -> str:
    return {"bake": "its bake time", None: ""}.get(name) or metric_name(name or "")


def _chances(chances: list[dict[str, Any]]) -> RenderableType:
    shares = to_the_right("caught", "promoted", "undecided", whole=True)
    table = columns("if green is worse in", "by", *shares, *to_the_right("after", "green calls", "until then"))
    for chance in chances:
        table.add_row(
            metric_name(chance["metric"]),
            f"{chance['points']:g} point{'' if chance['points'] == 1 else 's'}",
            f"{chance['caught']:.0%}",
            f"{chance['promoted']:.0%}",
            f"{chance['undecided']:.0%}",
            duration(chance["seconds"]) if chance["seconds"] else "-",
            f"{chance['green_calls']:,.0f}",
            harm(chance["metric"], chance["limit"], chance["harm"]),
        )
    return table


COMMANDS = (plan, calibrate)
