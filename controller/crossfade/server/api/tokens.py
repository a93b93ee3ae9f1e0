"""Tokens: made, listed and revoked by an admin."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from crossfade.server.api.body import json_body
from crossfade.server.auth import LINK_SECONDS, actor, identity, login_link, needs
from crossfade.server.state import state
from crossfade.server.usecases.tokens import Role, create_token, list_tokens, revoke_token


def add_to(api: Blueprint) -> None:
    api.get("/tokens")(tokens)
    api.post("/tokens")(create)
    api.delete("/tokens/<id:token_id>")(revoke)
    api.post("/login-link")(link)


@needs(Role.ADMIN)
def tokens() -> ResponseReturnValue:
    return jsonify({"tokens": [token.to_dict() for token in list_tokens(state().engine)]})


@needs(Role.ADMIN)
def create() -> ResponseReturnValue:
    """Makes a token; its text is in this answer and nowhere else."""
    now = datetime.now(UTC)
    token, text = create_token(state().engine, json_body(), actor=actor(), now=now, secret=state().secret)
    return jsonify(token.to_dict() | {"token": text}), 201


@needs(Role.ADMIN)
def revoke(token_id: int) -> ResponseReturnValue:
    return jsonify(revoke_token(state().engine, token_id, actor=actor(), now=datetime.now(UTC)).to_dict())


@needs(Role.VIEWER)
def link() -> ResponseReturnValue:
    """A path that signs whoever opens it in to the pages, as the bearer of this request's token."""
    who = identity()
    return jsonify({"path": login_link(state().secret, who.token_id, who.role), "seconds": LINK_SECONDS}), 201
