"""Form: the registration form, to and from the body the API takes. It decides nothing about what is allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from werkzeug.datastructures import MultiDict

from crossfade.core.plan import DEFAULT_WEIGHTS, Breach
from crossfade.core.reading import number_in
from crossfade.errors import Problem

UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
PLAIN = ("alpha", "beta", "least_buckets", "least_green_calls")
SPANS = ("time_limit", "evaluate_every")
MOST_LINES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of steps or checks as typed. `path` is where its problems will be named, empty if it is blank."""

    values: Mapping[str, str]
    path: str = ""


@dataclass(slots=True, kw_only=True)
class Form:
    """What was typed, the body made of it, and what could not even be read."""

    route: str = ""
    green: str = ""
    reason: str = ""
    start: bool = True
    shadow: Line = field(default_factory=lambda: Line(values={}))
    """The shadow step before the others, blank for none."""
    steps: list[Line] = field(default_factory=list)
    checks: list[Line] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def blank(route: str = "") -> Form:
    """The form as it first shows: the default steps, and the error rate."""
    return Form(
        route=route,
        steps=[Line(values={"weight": f"{weight:g}", "bake": "10m", "approve": ""}) for weight in DEFAULT_WEIGHTS],
        checks=[
            Line(
                values={
                    "metric": "error_rate",
                    "margin": "0.5",
                    "on_breach": str(Breach.ROLL_BACK),
                    "maturity": "150s",
                    "gating": "on",
                }
            )
        ],
    )


def read(sent: MultiDict[str, str]) -> Form:
    """What was sent. Fields that cannot be read stay as typed in the body, so that core names them."""
    form = Form(
        route=sent.get("route", "").strip(),
        green=sent.get("green", "").strip(),
        reason=sent.get("reason", "").strip(),
        start="start" in sent,
    )
    plan: dict[str, Any] = {"steps": [], "checks": []}
    copies = {name: sent.get(f"shadow-{name}", "").strip() for name in ("shadow", "bake", "approve")}
    form.shadow = _step("shadow", copies, plan["steps"], form.problems)
    for values in _lines(sent, "step", ("weight", "bake", "approve")):
        form.steps.append(_step("weight", values, plan["steps"], form.problems))
    for values in _lines(
        sent, "check", ("metric", "margin", "limit", "overdispersion", "on_breach", "maturity", "gating")
    ):
        form.checks.append(_check(values, plan["checks"], form.problems) if values["metric"] else Line(values=values))
    for name in (*PLAIN, *SPANS):
        form.extra[name] = sent.get(name, "").strip()
        if form.extra[name]:
            read_value = number if name in PLAIN else _reading(span, f"plan.{name}", form.problems)
            plan[name] = read_value(form.extra[name])
    form.body = {"green": form.green, "plan": plan, "start": form.start, "reason": form.reason}
    return form


def _lines(sent: MultiDict[str, str], kind: str, names: tuple[str, ...]) -> list[dict[str, str]]:
    """The lines in the order shown: fields are named step-0-weight and so on."""
    count = sum(1 for key in sent if re.fullmatch(rf"{kind}-\d{{1,3}}-{names[0]}", key))
    return [
        {name: sent.get(f"{kind}-{number}-{name}", "").strip() for name in names}
        for number in range(min(count, MOST_LINES))
    ]


def _step(share: str, values: dict[str, str], into: list[dict[str, Any]], problems: list[Problem]) -> Line:
    """A step of this `share`, weight or shadow; none where that is left empty."""
    if not values[share]:
        return Line(values=values)
    path = f"plan.steps[{len(into)}]"
    step: dict[str, Any] = {share: number(values[share]), "approve": bool(values["approve"])}
    if values["bake"]:
        step["bake"] = _reading(span, f"{path}.bake", problems)(values["bake"])
    into.append(step)
    return Line(values=values, path=path)


def _check(values: dict[str, str], into: list[dict[str, Any]], problems: list[Problem]) -> Line:
    path = f"plan.checks[{len(into)}]"
    check: dict[str, Any] = {"metric": values["metric"], "gating": bool(values["gating"])}
    if values["margin"]:
        check["margin"] = number(values["margin"])
    if values["limit"]:
        check["limit"] = number(values["limit"].removeprefix("$").removesuffix("s"))
    if values["overdispersion"]:
        check["overdispersion"] = number(values["overdispersion"])
    if values["on_breach"]:
        check["on_breach"] = values["on_breach"]
    if values["maturity"]:
        check["maturity"] = _reading(span, f"{path}.maturity", problems)(values["maturity"])
    into.append(check)
    return Line(values=values, path=path)


def number(text: str) -> float | int | str:
    """The number as people type it, "1 000" and "5 %" too; any other text as it is, for core to refuse."""
    found = number_in(text.replace(" ", "").removesuffix("%"))
    return text if isinstance(found, str) else found


def span(text: str) -> float | int | None:
    """The seconds of "90", "90s", "10m", "2h", "1d"; None if it is no such thing."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)\s*(s|min|m|h|d|)", text.lower())
    if not match:
        return None
    seconds = float(match[1]) * UNITS[match[2]]
    return int(seconds) if seconds == int(seconds) else seconds


def _reading(reader: Any, path: str, problems: list[Problem]) -> Any:
    def read_or_tell(text: str) -> Any:
        value = reader(text)
        if value is None:
            problems.append(Problem(path, f"{text[:40]!r} is not a time; write it as 90s, 10m, 2h or 1d"))
            return 0
        return value

    return read_or_tell
