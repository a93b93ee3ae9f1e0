"""Rollout: the page of one rollout, top to bottom from the decision that acted."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, render_template
from flask.typing import ResponseReturnValue

from crossfade.server.api.journal import MOST_ENTRIES, as_asked
from crossfade.server.pages import chart, traffic, whatif
from crossfade.server.pages.live import live
from crossfade.server.pages.rail import rail
from crossfade.server.pages.staleness import staleness
from crossfade.server.pages.tile import tile
from crossfade.server.state import state
from crossfade.server.views.evaluations import evaluations
from crossfade.server.views.health import health
from crossfade.server.views.journal import journal
from crossfade.server.views.rollout import RolloutView
from crossfade.server.views.rollout import rollout as read_rollout

MOST_LOOKS = 400
TABLE_LOOKS = 30


def add_to(pages: Blueprint) -> None:
    pages.get("/rollouts/<id:rollout_id>")(rollout)
    pages.get("/rollouts/<id:rollout_id>/live")(rollout_live)
    pages.get("/rollouts/<id:rollout_id>/chart")(rollout_chart)
    pages.get("/rollouts/<id:rollout_id>/journal")(rollout_journal)


def rollout(rollout_id: int) -> ResponseReturnValue:
    return render_template("rollout.html", **_shown(rollout_id))


def rollout_live(rollout_id: int) -> ResponseReturnValue:
    return live(render_template("rollout_live.html", **_shown(rollout_id)))


def rollout_chart(rollout_id: int) -> ResponseReturnValue:
    looks = evaluations(state().engine, rollout_id, most=MOST_LOOKS)
    return live(json.dumps(chart.columns(looks)), "application/json")


def rollout_journal(rollout_id: int) -> Response:
    """The journal as the API gives it, for whoever is signed in here."""
    return as_asked(journal(state().engine, rollout_id, most=MOST_ENTRIES), f"rollout-{rollout_id}-journal")


def _shown(rollout_id: int) -> dict[str, Any]:
    now = datetime.now(UTC)
    engine = state().engine
    view = read_rollout(engine, rollout_id, now=now)
    copies = view.shadow.copies if view.shadow else 0
    names, looks = chart.table(evaluations(engine, rollout_id, most=TABLE_LOOKS))
    return {
        "view": view,
        "tone": _tone(view),
        "rail": rail(view),
        "tiles": [tile(figures, ended=view.ended_at is not None) for figures in view.tiles],
        "strips": [traffic.strip(view.blue_calls, 0), traffic.strip(view.green_calls, copies)],
        "outcomes": traffic.outcome_lines(view.blue_calls, view.green_calls),
        "attempts": traffic.attempt_lines(view.blue_calls, view.green_calls),
        "quantiles": traffic.quantiles(view),
        "tempering": traffic.tempering(view),
        "costs": traffic.cost_lines(view),
        "copies_cost": traffic.copies_cost(view) if view.shadow else "",
        "split": traffic.split(view),
        "check_names": names,
        "looks": looks,
        "fields": whatif.fields(view.plan),
        "live": view.ended_at is None,
        "stale": staleness(health(engine, now=now), now, live=_has_evidence(view)) if view.ended_at is None else None,
    }


def _has_evidence(view: RolloutView) -> bool:
    return view.blue_calls.calls + view.green_calls.calls > 0


def _tone(view: RolloutView) -> str:
    """The colour of the sentence."""
    if view.needs_person:
        return "warn"
    return {"promoted": "good", "rolled_back": "bad", "paused": "warn"}.get(view.phase, "calm")
