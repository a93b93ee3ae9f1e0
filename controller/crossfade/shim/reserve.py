"""Reserve: a request's maxTokens, which Bedrock takes from the quota when the request starts.

Without one the model's own maximum is taken, and few calls a minute use up a quota meant for many.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

log = logging.getLogger("crossfade")

_NAMES = ("max_tokens", "maxTokens", "max_new_tokens", "max_gen_len", "max_tokens_to_sample", "max_completion_tokens",
          "maxTokenCount")  # fmt: skip
"""What the vendors' InvokeModel bodies call it."""
_INSIDE = ("inferenceConfig", "textGenerationConfig")
_warned: set[str] = set()


def is_unset(operation: str, params: Mapping[str, Any]) -> bool:
    """Whether a request that asks for an answer leaves its length open. A body that cannot be read is none such."""
    if operation in ("Converse", "ConverseStream"):
        return not (params.get("inferenceConfig") or {}).get("maxTokens")
    if not operation.startswith("InvokeModel"):
        return False
    try:
        body = json.loads(params.get("body") or b"")
    except (TypeError, ValueError, RecursionError):
        return False
    if not isinstance(body, Mapping):
        return False
    places = [body, *(inner for name in _INSIDE if isinstance(inner := body.get(name), Mapping))]
    return not any(place.get(name) for place in places for name in _NAMES)


def warn_if_unset(route: str, operation: str, params: Mapping[str, Any]) -> None:
    """For a request that was throttled: says once a route that unset maxTokens are the likely cause."""
    if route in _warned or not is_unset(operation, params):
        return
    _warned.add(route)
    log.warning(
        "a call of route %r was throttled and sets no maxTokens: Bedrock then reserves the model's whole maximum from "
        "your quota at each request; set maxTokens to what an answer needs",
        route,
        extra={"action": "max_tokens_unset"},
    )
