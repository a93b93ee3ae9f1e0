"""Explanation: the page of one decision, its arithmetic as tables."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from crossfade.core.sentence import percent
from crossfade.server.state import state
from crossfade.server.views.explanation import explanation as explain

LAST_BUCKETS = 20


def add_to(pages: Blueprint) -> None:
    pages.get("/rollouts/<id:rollout_id>/explanation")(explanation)
    pages.get("/rollouts/<id:rollout_id>/decisions/<id:decision>")(decision)
    pages.add_app_template_filter(figure, "figure")
    pages.add_app_template_filter(difference, "difference")
    pages.add_app_template_filter(percent, "percent")
    pages.add_app_template_filter(moment_of, "moment_of")


def explanation(rollout_id: int) -> ResponseReturnValue:
    """Of the latest look."""
    return _shown(rollout_id, None)


def decision(rollout_id: int, decision: int) -> ResponseReturnValue:
    return _shown(rollout_id, decision)


def _shown(rollout_id: int, decision: int | None) -> str:
    whole = request.args.get("buckets") == "all"
    found = explain(
        state().engine,
        rollout_id,
        decision,
        now=datetime.now(UTC),
        retention=state().retention,
        buckets=None if whole else LAST_BUCKETS,
    )
    return render_template("explanation.html", found=found, whole=whole, last=LAST_BUCKETS)


def figure(value: float | None, digits: int = 4) -> str:
    """A number of the arithmetic; a dash without one."""
    return "–" if value is None else f"{value:z,.{digits}f}"


def difference(value: float | None) -> str:
    """A difference of losses in points with its sign: plus is worse."""
    return "–" if value is None else f"{100 * value:+z.3f}"


def moment_of(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
