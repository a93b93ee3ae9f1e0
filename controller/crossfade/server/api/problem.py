"""Problem: every error of the API as `application/problem+json` (RFC 9457), never HTML, never a traceback."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from flask import Response

from crossfade.errors import Problem

KIND = "application/problem+json"


def problem(
    status: int,
    detail: str,
    *,
    problems: Sequence[Problem] = (),
    headers: Mapping[str, str] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Response:
    """The error as a response. `detail` says what, where and what to do; `problems` names every field."""
    title = HTTPStatus(status).phrase
    document: dict[str, Any] = {
        "type": f"urn:crossfade:problem:{title.lower().replace(' ', '-')}",
        "title": title,
        "status": status,
        "detail": detail,
    }
    if problems:
        document["problems"] = [{"path": p.path, "message": p.message} for p in problems]
    document.update(extra or {})
    return Response(json.dumps(document) + "\n", status, mimetype=KIND, headers=headers)
