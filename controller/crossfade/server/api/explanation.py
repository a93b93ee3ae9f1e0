"""Explanation and replay: past decisions to the last number, and what another plan would have decided."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from crossfade.errors import Invalid, Problem
from crossfade.server.api.body import json_body
from crossfade.server.auth import needs
from crossfade.server.state import state
from crossfade.server.usecases.tokens import Role
from crossfade.server.views import explanation as explanation_view
from crossfade.server.views import replay as replay_view

USUAL_BUCKETS = 1000
MOST_DIGITS = 6


def add_to(api: Blueprint) -> None:
    api.get("/rollouts/<id:rollout_id>/explanation")(explanation)
    api.get("/rollouts/<id:rollout_id>/decisions/<id:decision>/explanation")(explanation_of)
    api.post("/rollouts/<id:rollout_id>/replay")(replay)


@needs(Role.VIEWER)
def explanation(rollout_id: int) -> ResponseReturnValue:
    """Of the latest look."""
    return _explained(rollout_id, None)


@needs(Role.VIEWER)
def explanation_of(rollout_id: int, decision: int) -> ResponseReturnValue:
    """Of a decision in the journal."""
    return _explained(rollout_id, decision)


@needs(Role.VIEWER)
def replay(rollout_id: int) -> ResponseReturnValue:
    """Changes nothing: it is a POST because a plan is no address."""
    found = replay_view.replayed(
        state().engine, rollout_id, json_body(), now=datetime.now(UTC), retention=state().retention
    )
    return jsonify(found.to_dict())


def _explained(rollout_id: int, decision: int | None) -> ResponseReturnValue:
    found = explanation_view.explanation(
        state().engine, rollout_id, decision, now=datetime.now(UTC), retention=state().retention, buckets=_buckets()
    )
    return jsonify(found.to_dict())


def _buckets() -> int | None:
    """How many of the last buckets are wanted; None for all."""
    text = request.args.get("buckets", str(USUAL_BUCKETS))
    if text == "all":
        return None
    if not text.isdecimal() or len(text) > MOST_DIGITS or not int(text):
        raise Invalid([Problem("buckets", f"{text[:40]!r} is not a number of buckets from 1, or all")])
    return int(text)
