"""Session: signing in and out, and the door every page stands behind."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

from flask import Blueprint, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from crossfade.errors import Forbidden
from crossfade.server.auth import Identity, open_link, sign_in, sign_out, visitor
from crossfade.server.state import state
from crossfade.server.usecases.tokens import Role, authenticate

OPEN = frozenset({"pages.login", "pages.login_link"})
P = ParamSpec("P")
R = TypeVar("R")


def add_to(pages: Blueprint) -> None:
    pages.add_url_rule("/login", "login", login, methods=["GET", "POST"])
    pages.get("/login/link")(login_link)
    pages.post("/logout")(logout)


def require_visitor() -> ResponseReturnValue | None:
    """Sends whoever has no live session to the login, and back afterwards."""
    g.identity = None
    if request.endpoint in OPEN:
        return None
    g.identity = visitor()
    if g.identity is None:
        wanted = request.full_path.rstrip("?") if request.method == "GET" else "/"
        return redirect(url_for("pages.login", next=wanted) if wanted != "/" else url_for("pages.login"))
    return None


def who() -> dict[str, Any]:
    """What every template may know of the person."""
    return {"identity": g.get("identity")}


def page_needs(role: Role) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Lets only people of this role, or one above it, in."""

    def decorate(page: Callable[P, R]) -> Callable[P, R]:
        @wraps(page)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            person: Identity = g.identity
            if not person.role.may(role):
                raise Forbidden(f"you are signed in as {person.role}; this needs {role}")
            return page(*args, **kwargs)

        return guarded

    return decorate


def login() -> ResponseReturnValue:
    """The form, and what is pasted into it."""
    wanted = _inside(request.values.get("next", ""))
    if request.method == "GET":
        return render_template("login.html", next=wanted, wrong=None)
    text = request.form.get("token", "").strip()
    token = authenticate(state().engine, text, now=datetime.now(UTC), secret=state().secret) if text else None
    wrong = None
    if not text:
        wrong = "Paste a token."
    elif token is None:
        wrong = "This token is not known, or has been revoked."
    elif token.role is Role.SHIM:
        wrong = "This is a shim token, for services. Pages need a viewer, operator or admin token."
    if token is None or wrong:
        return render_template("login.html", next=wanted, wrong=wrong), 401
    sign_in(token)
    return redirect(wanted or url_for("pages.fleet"))


def login_link() -> ResponseReturnValue:
    """What `auth.login_link` leads to."""
    open_link(request.args.get("code", ""))
    return redirect(_inside(request.args.get("next", "")) or url_for("pages.fleet"))


def logout() -> ResponseReturnValue:
    sign_out()
    return redirect(url_for("pages.login"))


def _inside(address: str) -> str:
    """The address if it leads to a page of ours, else nothing: a login must not forward to another site."""
    parts = urlsplit(address)
    inside = address.startswith("/") and not address.startswith(("//", "/\\")) and not parts.netloc and not parts.scheme
    return address if inside and "\\" not in address and all(c.isprintable() for c in address) else ""
