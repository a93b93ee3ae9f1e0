"""Amend: the form that changes the checks of a running rollout, and what it sends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from crossfade.core.metric import NAMES
from crossfade.core.reading import number_in
from crossfade.errors import Conflict, Invalid, Problem
from crossfade.server.auth import actor
from crossfade.server.pages.form import number
from crossfade.server.pages.message import message
from crossfade.server.pages.session import page_needs
from crossfade.server.state import state
from crossfade.server.usecases.amend import amend_checks
from crossfade.server.usecases.tokens import Role
from crossfade.server.views.rollout import rollout as read_rollout

NEW = ("metric", "margin", "limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A check of the rollout as the form has it. `path` is where its problems are named, empty if it is removed."""

    metric: str
    limit: float | None
    margin: str
    removed: bool
    path: str = ""


def add_to(pages: Blueprint) -> None:
    pages.add_url_rule("/rollouts/<id:rollout_id>/amend", "amend", amend, methods=["GET", "POST"])


@page_needs(Role.OPERATOR)
def amend(rollout_id: int) -> ResponseReturnValue:
    """The form, and what is sent with it."""
    view = read_rollout(state().engine, rollout_id, now=datetime.now(UTC))
    lines = _lines(view.plan, request.form if request.method == "POST" else None)
    if request.method == "GET":
        return _asked(view, lines, {})
    body: dict[str, Any] = {"checks": _checks(lines, request.form), "reason": request.form.get("reason", "").strip()}
    if version := request.form.get("version"):
        body["version"] = number_in(version)
    try:
        amended = amend_checks(state().engine, rollout_id, body, actor=actor(), now=datetime.now(UTC))
    except Invalid as error:
        return _asked(view, lines, _beside(lines, error.problems))
    except Conflict as error:
        ways = [("See what is there now", url_for("pages.rollout", rollout_id=rollout_id))]
        return message(409, f"Nothing was amended: {error}.", ways=ways), 409
    flash(amended.sentence, "amended")
    return redirect(url_for("pages.rollout", rollout_id=rollout_id), 303)


def _asked(view: Any, lines: list[Line], wrong: Mapping[str, list[str]]) -> ResponseReturnValue:
    version = request.values.get("version", "")
    page = render_template(
        "amend.html",
        view=view,
        lines=lines,
        new={name: request.form.get(f"new-{name}", "").strip() for name in NEW},
        new_path=f"checks[{sum(not line.removed for line in lines)}]",
        metrics=[*NAMES, "score.accuracy"],
        seen=version if version.isdecimal() else view.version,
        reason=request.form.get("reason", ""),
        wrong=wrong,
    )
    return page, 422 if wrong else 200


def _lines(plan: Mapping[str, Any], sent: Mapping[str, str] | None) -> list[Line]:
    """The rollout's checks, with what was typed."""
    lines: list[Line] = []
    for check in plan["checks"]:
        metric, margin = check["metric"], f"{check['margin']:g}"
        removed = sent is not None and f"remove-{metric}" in sent
        place = sum(not line.removed for line in lines)
        lines.append(
            Line(
                metric=metric,
                limit=check["limit"],
                margin=margin if sent is None else sent.get(f"margin-{metric}", margin).strip(),
                removed=removed,
                path="" if removed else f"checks[{place}]",
            )
        )
    return lines


def _checks(lines: list[Line], sent: Mapping[str, str]) -> list[dict[str, Any]]:
    """The list that is wanted, as the API takes it. An empty margin stays as it is."""
    found: list[dict[str, Any]] = [
        {"metric": line.metric} | ({"margin": number(line.margin)} if line.margin else {})
        for line in lines
        if not line.removed
    ]
    new = {name: sent.get(f"new-{name}", "").strip() for name in NEW}
    if new["metric"]:
        numbers = {"margin": new["margin"], "limit": new["limit"].removeprefix("$").removesuffix("s")}
        found.append({"metric": new["metric"]} | {name: number(text) for name, text in numbers.items() if text})
    return found


def _beside(lines: list[Line], problems: tuple[Problem, ...]) -> dict[str, list[str]]:
    """Problems by the path of their field; "" for those that have none."""
    place = sum(not line.removed for line in lines)
    paths = {f"{line.path}.margin" for line in lines if line.path} | {f"checks[{place}].{name}" for name in NEW}
    found: dict[str, list[str]] = {}
    for problem in problems:
        path = problem.path if problem.path in paths or problem.path == "reason" else ""
        found.setdefault(path, []).append(problem.message if path else str(problem))
    return found
