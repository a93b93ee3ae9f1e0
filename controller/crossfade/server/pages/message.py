"""Message: the page for everything that went otherwise than asked."""

from __future__ import annotations

from collections.abc import Sequence

from flask import render_template, url_for

from crossfade.errors import Problem

TITLES = {
    400: "That was not understood",
    401: "Sign in first",
    403: "Not with this token",
    404: "Nothing is here",
    405: "Not possible here",
    409: "It is different by now",
    413: "Too much at once",
    422: "Something is wrong with that",
    429: "Too many attempts",
    500: "A fault of Crossfade",
    503: "The database is away",
}


def message(
    status: int,
    detail: str,
    *,
    title: str | None = None,
    problems: Sequence[Problem] = (),
    ways: Sequence[tuple[str, str]] | None = None,
    incident: str | None = None,
) -> str:
    """The page as text. `ways` are the (text, address) pairs of where to go from here."""
    if ways is None:
        ways = [("Sign in", url_for("pages.login"))] if status == 401 else [("To the fleet", url_for("pages.fleet"))]
    if status == 503:
        detail = f"{detail.rstrip('.?')}. Services go on with their last snapshot and weights; nothing is lost."
    return render_template(
        "message.html",
        title=title or TITLES.get(status, "That did not work"),
        detail=detail[:1].upper() + detail[1:],
        problems=problems,
        ways=ways,
        incident=incident,
    )
