"""Faults: every exception becomes an answer in the face that was asked: a problem for /v1, a page for the rest."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog
from flask import Flask, Response, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from crossfade.errors import Conflict, CrossfadeError, Forbidden, Invalid, NotFound, Problem, Unavailable
from crossfade.server.api import PREFIX
from crossfade.server.api.problem import problem
from crossfade.server.pages.message import message

RETRY_SECONDS = 5
STATUS: dict[type[CrossfadeError], int] = {
    Invalid: 422,
    Conflict: 409,
    NotFound: 404,
    Forbidden: 403,
    Unavailable: 503,
}
log = structlog.get_logger("crossfade.server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What went wrong, ready to be shown. `incident` names the log line of a fault of ours."""

    status: int
    detail: str
    problems: Sequence[Problem] = ()
    headers: dict[str, str] = field(default_factory=dict)
    incident: str | None = None


def handle(app: Flask) -> None:
    """Answers every exception of `app`."""
    app.register_error_handler(CrossfadeError, lambda error: _answer(_of_ours(error)))
    app.register_error_handler(HTTPException, lambda error: _answer(_of_http(error)))
    app.register_error_handler(Exception, lambda error: _answer(_unforeseen(error)))


def _answer(fault: Fault) -> ResponseReturnValue:
    if request.path == PREFIX or request.path.startswith(f"{PREFIX}/"):
        extra = {"incident": fault.incident} if fault.incident else None
        return problem(fault.status, fault.detail, problems=fault.problems, headers=fault.headers, extra=extra)
    page = message(fault.status, fault.detail, problems=fault.problems, incident=fault.incident)
    return Response(page, fault.status, headers=fault.headers, mimetype="text/html")


def _of_ours(error: CrossfadeError) -> Fault:
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), None)
    if status is None:
        return _unforeseen(error)
    if isinstance(error, Invalid):
        count = len(error.problems)
        detail = f"{count} {'thing is' if count == 1 else 'things are'} wrong; nothing was changed"
        return Fault(status=status, detail=detail, problems=error.problems)
    headers = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else {}
    return Fault(status=status, detail=str(error), headers=headers)


def _of_http(error: HTTPException) -> Fault:
    """Werkzeug's own refusals, in our words; its headers (Allow, Retry-After) are kept."""
    status = error.code or 500
    headers = {name: value for name, value in error.get_headers() if name.lower() != "content-type"}
    if status == 401:
        headers.setdefault("WWW-Authenticate", 'Bearer realm="crossfade"')
    return Fault(status=status, detail=_words(error, status), headers=headers)


def _words(error: HTTPException, status: int) -> str:
    if isinstance(error, CSRFError):
        return "This form is not from this session, or the session has ended. Go back, load the page again and retry."
    if isinstance(error, RequestEntityTooLarge):
        return "the body is larger than 1 MB; send less at a time"
    match status:
        case 404:
            return f"nothing is at {request.path}"
        case 405:
            allowed = ", ".join(sorted(set(getattr(error, "valid_methods", None) or ()) - {"HEAD", "OPTIONS"}))
            return f"{request.method} is not possible on {request.path}; possible: {allowed or 'nothing'}"
        case 429:
            return "too many failed attempts to sign in; wait a minute"
        case _:
            return error.description or "the request was refused"


def _unforeseen(error: Exception) -> Fault:
    incident = secrets.token_hex(6)
    log.error(
        "request failed",
        action="request_failed",
        incident=incident,
        method=request.method,
        path=request.path,
        exc_info=error,
    )
    return Fault(status=500, detail="Crossfade met a fault of its own; the controller's log has it", incident=incident)
