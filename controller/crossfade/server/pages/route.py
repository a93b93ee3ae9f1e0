"""Route: the page of one route, at rest or not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from crossfade.server.pages import traffic
from crossfade.server.pages.live import live
from crossfade.server.state import state
from crossfade.server.views.route import route_page


def add_to(pages: Blueprint) -> None:
    pages.get("/live/routes/<path:name>")(route_live)
    pages.get("/routes/<path:name>")(route)


def route(name: str) -> ResponseReturnValue:
    return render_template("route.html", **_shown(name))


def route_live(name: str) -> ResponseReturnValue:
    return live(render_template("route_live.html", **_shown(name)))


def _shown(name: str) -> dict[str, Any]:
    page = route_page(state().engine, name, now=datetime.now(UTC))
    return {
        "page": page,
        "outcomes": traffic.lately(page.late),
        "attempts": traffic.attempts(page.late),
        "served": traffic.served(page.late),
        "changed": [setting for setting in page.settings if setting["value"] != setting["default"]],
    }
