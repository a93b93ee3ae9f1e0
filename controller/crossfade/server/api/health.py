"""Health: asked by load balancers, without a token. 503 while Postgres is away."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from crossfade import __version__
from crossfade.errors import Unavailable
from crossfade.server.auth import needs
from crossfade.server.state import state
from crossfade.server.usecases.tokens import Role
from crossfade.server.views.health import health as read_health


def add_to(api: Blueprint) -> None:
    api.get("/health")(health)
    api.get("/status")(status)


def health() -> ResponseReturnValue:
    """Whether this controller can do its work."""
    answer: dict[str, Any] = {"status": "ok", "version": __version__, "database": "ok", "last_tick": None}
    try:
        found = read_health(state().engine, now=datetime.now(UTC))
    except Unavailable:
        return jsonify(answer | {"status": "down", "database": "away"}), 503
    answer["status"] = found.status
    answer["last_tick"] = found.last_tick.isoformat() if found.last_tick else None
    return jsonify(answer)


@needs(Role.VIEWER)
def status() -> ResponseReturnValue:
    """The schedulers and shims as last heard of."""
    return jsonify(read_health(state().engine, now=datetime.now(UTC)).to_dict())
