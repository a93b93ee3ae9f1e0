"""Declarations: Models and routes, one at a time or as a whole document."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from crossfade.server.api.body import json_body
from crossfade.server.auth import actor, needs
from crossfade.server.state import state
from crossfade.server.usecases.apply import Change, apply_declarations, put_model, put_route
from crossfade.server.usecases.delete import delete_model, delete_route
from crossfade.server.usecases.tokens import Role
from crossfade.server.usecases.trial import try_route
from crossfade.server.views import declared


def add_to(api: Blueprint) -> None:
    api.get("/models")(models)
    api.get("/models/<path:name>")(model)
    api.put("/models/<path:name>")(save_model)
    api.delete("/models/<path:name>")(remove_model)
    api.get("/routes")(routes)
    api.get("/routes/<path:name>")(route)
    api.put("/routes/<path:name>")(save_route)
    api.delete("/routes/<path:name>")(remove_route)
    api.post("/routes/<path:name>/test")(test_route)
    api.post("/apply")(apply)


@needs(Role.VIEWER)
def models() -> ResponseReturnValue:
    return jsonify({"models": [view.to_dict() for view in declared.models(state().engine)]})


@needs(Role.VIEWER)
def model(name: str) -> ResponseReturnValue:
    return jsonify(declared.model(state().engine, name).to_dict())


@needs(Role.OPERATOR)
def save_model(name: str) -> ResponseReturnValue:
    return _saved(put_model(state().engine, name, json_body(), actor=actor(), now=datetime.now(UTC)))


@needs(Role.OPERATOR)
def remove_model(name: str) -> ResponseReturnValue:
    delete_model(state().engine, name, actor=actor(), now=datetime.now(UTC))
    return "", 204


@needs(Role.VIEWER)
def routes() -> ResponseReturnValue:
    return jsonify({"routes": [view.to_dict() for view in declared.routes(state().engine)]})


@needs(Role.VIEWER)
def route(name: str) -> ResponseReturnValue:
    return jsonify(declared.route(state().engine, name, now=datetime.now(UTC)).effective())


@needs(Role.OPERATOR)
def save_route(name: str) -> ResponseReturnValue:
    return _saved(put_route(state().engine, name, json_body(), actor=actor(), now=datetime.now(UTC)))


@needs(Role.OPERATOR)
def remove_route(name: str) -> ResponseReturnValue:
    delete_route(state().engine, name, actor=actor(), now=datetime.now(UTC))
    return "", 204


@needs(Role.VIEWER)
def test_route(name: str) -> ResponseReturnValue:
    """Which way a call would take, and why. Calls nothing and changes nothing."""
    found = try_route(state().engine, name, json_body(), now=datetime.now(UTC), secret=state().secret)
    return jsonify(found.to_dict())


@needs(Role.OPERATOR)
def apply() -> ResponseReturnValue:
    """Makes the declared Models and routes so; with `dry_run` only says what would change."""
    dry_run = request.args.get("dry_run", "").lower() not in ("", "0", "false", "no")
    changes = apply_declarations(state().engine, json_body(), actor=actor(), now=datetime.now(UTC), dry_run=dry_run)
    return jsonify({"changes": [change.to_dict() for change in changes], "applied": not dry_run})


def _saved(change: Change) -> ResponseReturnValue:
    return jsonify(change.to_dict()), 201 if change.change == "create" else 200
