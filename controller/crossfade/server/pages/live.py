"""Live: parts of a page, answered with an ETag so that polling costs nothing while nothing changes."""

from __future__ import annotations

import hashlib

from flask import Response, request


def live(content: str, kind: str = "text/html") -> Response:
    """The content, or 304 if the caller has just this."""
    tag = hashlib.sha256(content.encode()).hexdigest()[:24]
    answer = Response(content, mimetype=kind)
    answer.set_etag(tag)
    answer.headers["Cache-Control"] = "no-cache, private"
    return answer.make_conditional(request)  # type: ignore[return-value]
