"""The API under /v1: JSON in, JSON or problem+json out. Every endpoint is listed in docs/api.md."""

from __future__ import annotations

from flask import Blueprint

from crossfade.server.api import declarations, explanation, health, ingest, journal, rollouts, snapshot, tokens

PREFIX = "/v1"


def blueprint() -> Blueprint:
    """All endpoints."""
    api = Blueprint("api", __name__, url_prefix=PREFIX)
    for part in (health, snapshot, ingest, declarations, explanation, rollouts, journal, tokens):
        part.add_to(api)
    return api
