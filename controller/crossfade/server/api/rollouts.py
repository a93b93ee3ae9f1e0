"""Rollouts: registered, looked at, acted on."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from crossfade.core.phase import PERSONS_VERBS
from crossfade.core.reading import Reader
from crossfade.errors import NotFound
from crossfade.server.api.body import json_body
from crossfade.server.auth import actor, needs
from crossfade.server.state import state
from crossfade.server.usecases.act import act as do_act
from crossfade.server.usecases.amend import amend_checks
from crossfade.server.usecases.calibrate import calibrate_route
from crossfade.server.usecases.forecast import plan_route
from crossfade.server.usecases.register import register_rollout
from crossfade.server.usecases.tokens import Role
from crossfade.server.views.rollout import rollout as read_rollout
from crossfade.server.views.rollout import rollouts as read_rollouts


def add_to(api: Blueprint) -> None:
    api.post("/plan")(plan)
    api.post("/calibrate")(calibrate)
    api.post("/routes/<path:name>/rollouts")(register)
    api.get("/rollouts")(rollouts)
    api.get("/rollouts/<id:rollout_id>")(rollout)
    api.post("/rollouts/<id:rollout_id>/checks")(amend)
    api.post("/rollouts/<id:rollout_id>/<verb>")(act)


@needs(Role.VIEWER)
def plan() -> ResponseReturnValue:
    """What to expect of a plan before anything is registered. Changes nothing."""
    return jsonify(plan_route(state().engine, json_body(), now=datetime.now(UTC)))


@needs(Role.OPERATOR)
def calibrate() -> ResponseReturnValue:
    """A/A replays of a plan on a route's own traffic. Changes nothing, and works for it: for whoever may register."""
    return jsonify(calibrate_route(state().engine, json_body(), now=datetime.now(UTC)))


@needs(Role.OPERATOR)
def register(name: str) -> ResponseReturnValue:
    """Registers a candidate and, unless told otherwise, starts it."""
    now = datetime.now(UTC)
    registered = register_rollout(state().engine, name, json_body(), actor=actor(), now=now, lookup=state().lookup)
    view = read_rollout(state().engine, registered.rollout.id, now=now)
    answer = jsonify(view.to_dict() | registered.to_dict())
    answer.headers["Location"] = f"/v1/rollouts/{registered.rollout.id}"
    return answer, 201


@needs(Role.VIEWER)
def rollouts() -> ResponseReturnValue:
    found = read_rollouts(
        state().engine, route=request.args.get("route") or None, phase=request.args.get("phase") or None
    )
    return jsonify({"rollouts": [summary.to_dict() for summary in found]})


@needs(Role.VIEWER)
def rollout(rollout_id: int) -> ResponseReturnValue:
    return jsonify(read_rollout(state().engine, rollout_id, now=datetime.now(UTC)).to_dict())


@needs(Role.OPERATOR)
def act(rollout_id: int, verb: str) -> ResponseReturnValue:
    """Does what a person asks, for a reason, on the version they saw."""
    if verb not in PERSONS_VERBS:
        raise NotFound(f"no verb {verb!r}; a rollout knows {', '.join(PERSONS_VERBS)}")
    reader = Reader(json_body())
    reason = reader.text("reason", most=2000)
    version = reader.integer("version", least=1) if reader.has("version") else None
    reader.raw("version")
    reader.finish()
    now = datetime.now(UTC)
    do_act(state().engine, rollout_id, verb, reason=reason, actor=actor(), now=now, version=version)
    return jsonify(read_rollout(state().engine, rollout_id, now=now).to_dict())


@needs(Role.OPERATOR)
def amend(rollout_id: int) -> ResponseReturnValue:
    """Makes the checks sent those of a rollout that runs. The same again changes nothing, and says so."""
    now = datetime.now(UTC)
    amended = amend_checks(state().engine, rollout_id, json_body(), actor=actor(), now=now)
    view = read_rollout(state().engine, rollout_id, now=now)
    return jsonify(view.to_dict() | {"amendment": amended.to_dict()})
