"""Body: a request's JSON, refused with a reason before anything else sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from flask import request
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from crossfade.errors import Invalid, Problem


def json_body() -> Any:
    """The request's body; an empty one reads as an empty object.

    Raises BadRequest for what is not JSON, UnsupportedMediaType for a form, `Invalid` for text Postgres cannot hold.
    """
    kind = request.mimetype
    if kind and kind != "application/json" and not kind.endswith("+json"):
        raise UnsupportedMediaType(f"the body is {kind}; send application/json")
    raw = request.get_data(cache=False)
    if not raw.strip():
        return {}
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BadRequest(f"the body is not JSON: {reason}") from None
    if b"\\u" in raw:
        unstorable = [Problem(path, "holds a character that cannot be stored") for path in _unstorable(document, "")]
        if unstorable:
            raise Invalid(unstorable)
    return document


def _unstorable(value: Any, path: str) -> Iterator[str]:
    """The paths of texts with a NUL or half a surrogate pair: JSON allows them, Postgres does not."""
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            yield path
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _unstorable(key, path)
            yield from _unstorable(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _unstorable(item, f"{path}[{position}]")
