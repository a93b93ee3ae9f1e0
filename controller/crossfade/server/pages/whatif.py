"""What if: a form for another plan, and what the recorded evidence would have come to under it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from crossfade.core.sentence import metric_name
from crossfade.errors import Invalid, Problem
from crossfade.server.pages.form import number, span
from crossfade.server.state import state
from crossfade.server.views.replay import replayed
from crossfade.server.views.rollout import rollout as read_rollout

PLAIN = {
    "alpha": "Alpha",
    "beta": "Beta",
    "least_buckets": "Least buckets a step",
    "least_green_calls": "Least green calls a step",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of the form: its name in the address, label, value as typed, and the path of its problems."""

    name: str
    label: str
    value: str
    path: str
    hint: str = ""


def add_to(pages: Blueprint) -> None:
    pages.get("/rollouts/<id:rollout_id>/replay")(replay)


def replay(rollout_id: int) -> ResponseReturnValue:
    """The form as sent and its result; without anything in the address the rollout's own plan."""
    now = datetime.now(UTC)
    view = read_rollout(state().engine, rollout_id, now=now)
    given = fields(view.plan, request.args)
    found, wrong = None, []
    try:
        body = {"plan": changes(view.plan, given) if request.args else {}}
        found = replayed(state().engine, rollout_id, body, now=now, retention=state().retention)
    except Invalid as error:
        wrong = list(error.problems)
    page = render_template("replay.html", view=view, fields=given, found=found, wrong=_beside(given, wrong))
    return page, 422 if wrong else 200


def fields(plan: Mapping[str, Any], typed: Mapping[str, str] | None = None) -> list[Field]:
    """The form of a plan; what was `typed` stands in place of what the plan has."""
    typed = typed or {}
    bakes = list(dict.fromkeys(f"{step['bake']:g}s" for step in plan["steps"]))
    found = [
        Field(
            name=f"margin-{check['metric']}",
            label=f"Margin of {metric_name(check['metric'])}",
            value=f"{check['margin']:g}",
            path=f"plan.checks[{place}].margin",
            hint="in points",
        )
        for place, check in enumerate(plan["checks"])
    ]
    weights = ", ".join(f"{step['weight']:g}" for step in plan["steps"])
    found.append(
        Field(name="steps", label="Steps", value=weights, path="plan.steps", hint="green's weights in percent")
    )
    found.append(
        Field(
            name="bake",
            label="Bake time of each step",
            value=bakes[0] if len(bakes) == 1 else "",
            path="plan.bake",
            hint="90s, 10m, 2h" if len(bakes) == 1 else f"now {', '.join(bakes)}; empty leaves them",
        )
    )
    found += [Field(name=n, label=label, value=f"{plan[n]:g}", path=f"plan.{n}") for n, label in PLAIN.items()]
    return [
        Field(name=f.name, label=f.label, value=typed.get(f.name, f.value).strip(), path=f.path, hint=f.hint)
        for f in found
    ]


def changes(plan: Mapping[str, Any], given: Iterable[Field]) -> dict[str, Any]:
    """What the API takes. An empty field leaves what the plan has. Raises `Invalid` for what cannot be read."""
    value = {field.name: field.value for field in given if field.value}
    metrics = [check["metric"] for check in plan["checks"]]
    found: dict[str, Any] = {
        "checks": [{"metric": m} | _named("margin", value.get(f"margin-{m}"), number) for m in metrics],
    }
    weights = [number(part.strip()) for part in value["steps"].split(",")] if "steps" in value else None
    bake = span(value["bake"]) if "bake" in value else None
    if "bake" in value and bake is None:
        raise Invalid([Problem("plan.bake", f"{value['bake'][:40]!r} is not a time; write it as 90s, 10m, 2h or 1d")])
    steps = [{"weight": weight} for weight in weights or [step["weight"] for step in plan["steps"]]]
    found["steps"] = [step if bake is None else step | {"bake": bake} for step in steps]
    for name in PLAIN:
        found |= _named(name, value.get(name), number)
    return found


def _named(name: str, text: str | None, read: Any) -> dict[str, Any]:
    return {} if text is None else {name: read(text)}


def _beside(given: Iterable[Field], problems: Iterable[Problem]) -> dict[str, list[str]]:
    """Problems by the path of the field they stand beside; "" for those that have none."""
    paths = [field.path for field in given]
    found: dict[str, list[str]] = {}
    for problem in problems:
        exact = problem.path if problem.path in paths else ""
        path = exact or ("plan.steps" if problem.path.startswith("plan.steps") else "")
        found.setdefault(path, []).append(problem.message if path else str(problem))
    return found
