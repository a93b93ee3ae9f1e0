"""Changes: a plan with some of it replaced, as "what if" asks for it. What is left out stays as it was."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from crossfade.core.plan import Plan, plan_to_dict, read_plan
from crossfade.core.reading import Reader
from crossfade.errors import Invalid, Problem

_OF_CHECK = re.compile(r"(plan\.checks\[)(\d+)(\].*)")


def changed_plan(plan: Plan, changes: object) -> Plan:
    """`plan` with `changes` laid over it.

    A check is found by its metric, and what it leaves out stays; one of another metric is added. `steps` are the
    steps from now on, as many as are given; what one leaves out is as in the step at its place, or as in the last.
    What an amendment wrote falls away: the plan is one that holds from the start, and shares alpha equally.
    Raises `Invalid` with every problem, its path as in `changes` (`plan.checks[0].margin`).
    """
    if not isinstance(changes, Mapping):
        raise Invalid([Problem("plan", "must be an object with the fields that change")])
    whole = plan_to_dict(unamended(plan))
    places: list[int | None] = list(range(len(whole["checks"])))
    merged = whole | dict(changes)
    if "steps" in changes:
        merged["steps"] = _steps(whole["steps"], changes["steps"])
    if "checks" in changes:
        merged["checks"], places = _checks(whole["checks"], changes["checks"])
    reader = Reader(merged, "plan")
    found = read_plan(reader)
    if reader.problems:
        raise Invalid([_as_given(problem, places) for problem in reader.problems])
    return found


def unamended(plan: Plan) -> Plan:
    """The plan as if it had been registered so."""
    return replace(plan, checks=tuple(replace(check, since=None, share=None) for check in plan.checks))


def _steps(old: list[dict[str, Any]], new: Any) -> Any:
    if not isinstance(new, list):
        return new
    return [
        old[min(place, len(old) - 1)] | dict(step) if isinstance(step, Mapping) else step
        for place, step in enumerate(new)
    ]


def _checks(old: list[dict[str, Any]], new: Any) -> tuple[Any, list[int | None]]:
    """The checks, and for each its place among the new ones."""
    if not isinstance(new, list):
        return new, []
    merged: list[Any] = list(old)
    places: list[int | None] = [None] * len(old)
    metrics = [check["metric"] for check in old]
    for place, check in enumerate(new):
        metric = check.get("metric") if isinstance(check, Mapping) else None
        if metric in metrics and places[metrics.index(metric)] is None:
            at = metrics.index(metric)
            merged[at], places[at] = merged[at] | dict(check), place
        else:
            merged.append(check)
            places.append(place)
    return merged, places


def _as_given(problem: Problem, places: list[int | None]) -> Problem:
    found = _OF_CHECK.fullmatch(problem.path)
    place = places[int(found[2])] if found and int(found[2]) < len(places) else None
    if found is None or place is None:
        return problem
    return Problem(f"{found[1]}{place}{found[3]}", problem.message)
