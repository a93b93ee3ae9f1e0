"""Auth: who is asking. A bearer token for the API; for the pages a session that stands for a token."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import g, request, session
from itsdangerous import BadSignature, SignatureExpired, URLSafeTimedSerializer
from werkzeug.exceptions import Unauthorized

from crossfade.errors import Forbidden
from crossfade.server.state import state
from crossfade.server.usecases.tokens import Role, Token, authenticate, live_token

LINK_SECONDS = 3600
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Somebody known. `text` is the bearer token as presented, empty for a session."""

    token_id: int
    name: str
    role: Role
    text: str = field(default="", repr=False)

    def may(self, role: str) -> bool:
        return self.role.may(Role(role))


def needs(role: Role) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Lets only bearers of a token with this role (or one above it) call the endpoint, and says so on it."""

    def decorate(endpoint: Callable[P, R]) -> Callable[P, R]:
        @wraps(endpoint)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            g.identity = _allowed(_bearer(), role)
            return endpoint(*args, **kwargs)

        guarded.needs = role  # type: ignore[attr-defined]
        return guarded

    return decorate


def identity() -> Identity:
    """Who is asking; only within an endpoint that needs somebody."""
    found: Identity = g.identity
    return found


def actor() -> str:
    """The name acts are journalled under."""
    return identity().name


def _bearer() -> Identity:
    """Who the Authorization header names. Raises Unauthorized."""
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    text = text.strip()
    if scheme.lower() != "bearer" or not text:
        raise Unauthorized("send the header `Authorization: Bearer TOKEN`")
    token = authenticate(state().engine, text, now=datetime.now(UTC), secret=state().secret)
    if token is None:
        raise Unauthorized("this token is not known, or is revoked")
    return Identity(token_id=token.id, name=token.name, role=token.role, text=text)


def _allowed(who: Identity, role: Role) -> Identity:
    if not who.role.may(role):
        raise Forbidden(f"the token {who.name!r} is a {who.role} token; this needs {role}")
    return who


def sign_in(token: Token, role: Role | None = None) -> None:
    """Begins a session that stands for `token`, with at most its role. Raises `Forbidden` for a shim's token."""
    if token.role is Role.SHIM:
        raise Forbidden("this is a shim token: services use it; pages need a viewer, operator or admin token")
    session.clear()
    session.permanent = True
    session["token"] = token.id
    session["role"] = str(role if role and token.role.may(role) else token.role)


def sign_out() -> None:
    session.clear()


def visitor() -> Identity | None:
    """Whom the session stands for; None without one, or if its token has been revoked since."""
    if "token" not in session:
        return None
    token = live_token(state().engine, session["token"])
    if token is None or token.role is Role.SHIM:
        session.clear()
        return None
    held = Role(session.get("role", Role.VIEWER))
    return Identity(token_id=token.id, name=token.name, role=held if token.role.may(held) else token.role)


def login_link(secret: str, token_id: int, role: Role | str) -> str:
    """The path that signs in whoever opens it within the hour, as if with token `token_id` and at most `role`."""
    return f"/login/link?code={_links(secret).dumps([token_id, str(role)])}"


def open_link(code: str) -> None:
    """Signs in by a code of `login_link`. Raises Unauthorized if it is altered, too old, or its token revoked."""
    try:
        token_id, role = _links(state().secret).loads(code, max_age=LINK_SECONDS)
    except SignatureExpired:
        raise Unauthorized("this login link is older than an hour; ask for a new one") from None
    except (BadSignature, ValueError):
        raise Unauthorized("this login link is not whole; copy all of it") from None
    token = live_token(state().engine, token_id)
    if token is None:
        raise Unauthorized("the token behind this login link has been revoked")
    sign_in(token, Role(role))


def _links(secret: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(hmac.new(secret.encode(), b"login-link", "sha256").digest(), salt="login-link")
