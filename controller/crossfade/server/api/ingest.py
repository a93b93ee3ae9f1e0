"""Ingest: observations and scores from the shims."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from crossfade.server.api.body import json_body
from crossfade.server.auth import needs
from crossfade.server.state import state
from crossfade.server.usecases.ingest import record_batch, record_scores
from crossfade.server.usecases.tokens import Role


def add_to(api: Blueprint) -> None:
    api.post("/observations")(observations)
    api.post("/scores")(scores)


@needs(Role.SHIM)
def observations() -> ResponseReturnValue:
    """Counts a batch once."""
    now = datetime.now(UTC)
    counted = record_batch(state().engine, json_body(), now=now, retention=state().retention)
    return jsonify({"counted": counted})


@needs(Role.SHIM)
def scores() -> ResponseReturnValue:
    """Stores scores by call id; all of them or none."""
    accepted = record_scores(
        state().engine, json_body(), now=datetime.now(UTC), secret=state().secret, retention=state().retention
    )
    return jsonify({"accepted": accepted})
