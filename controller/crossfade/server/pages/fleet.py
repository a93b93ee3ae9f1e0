"""Fleet: one row a route, and the rollouts of the past."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, render_template, request, url_for
from flask.typing import ResponseReturnValue

from crossfade.server.pages.live import live
from crossfade.server.pages.staleness import Staleness, staleness
from crossfade.server.state import state
from crossfade.server.views.fleet import FleetRow
from crossfade.server.views.fleet import fleet as read_fleet
from crossfade.server.views.health import health
from crossfade.server.views.rollout import rollouts

MOST_PAST = 20
FILTERS: dict[str, tuple[str, Callable[[FleetRow], bool]]] = {
    "all": ("All routes", lambda row: True),  # noqa: ARG005
    "person": ("Needs a person", lambda row: row.needs_person),
    "live": ("Rolling out", lambda row: row.live),
    "idle": ("At rest", lambda row: not row.live),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A choice of rows with how many it has, and its address."""

    key: str
    words: str
    count: int
    address: str
    chosen: bool


def add_to(pages: Blueprint) -> None:
    pages.get("/")(fleet)
    pages.get("/live", endpoint="fleet_live")(fleet_live)


def fleet() -> ResponseReturnValue:
    return render_template("fleet.html", here="fleet", **_shown())


def fleet_live() -> ResponseReturnValue:
    return live(render_template("fleet_live.html", **_shown()))


def _shown() -> dict[str, Any]:
    now = datetime.now(UTC)
    key = request.args.get("show", "all")
    key = key if key in FILTERS else "all"
    rows = read_fleet(state().engine, now=now)
    started = any(row.live and row.phase != "pending" for row in rows)
    stale: Staleness | None = staleness(health(state().engine, now=now), now, started)
    return {
        "rows": [row for row in rows if FILTERS[key][1](row)],
        "filters": [_filter(name, rows, name == key) for name in FILTERS],
        "past": [r for r in rollouts(state().engine, most=MOST_PAST * 2) if r.ended_at][:MOST_PAST],
        "stale": stale,
        "show": key,
    }


def _filter(key: str, rows: list[FleetRow], chosen: bool) -> Filter:
    words, holds = FILTERS[key]
    address = url_for("pages.fleet", show=key) if key != "all" else url_for("pages.fleet")
    return Filter(key=key, words=words, count=sum(map(holds, rows)), address=address, chosen=chosen)
