"""Reasoning: blocks that one model wrote and signed, which another may refuse, taken out of a copy of a request.

Tool uses and their results stay, ids and all: they are the service's, and no model signs them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_KINDS = ("thinking", "redacted_thinking")
_ANY = "thinking"
"""In the JSON of every body with a block of `_KINDS`."""


def without_reasoning(operation: str, params: Mapping[str, Any]) -> dict[str, Any] | None:
    """The parameters with no message's reasoning; None if there is none, or a message would be left empty.

    The parameters given are not altered. Bodies other than the `anthropic` family's have no such blocks.
    """
    if operation.startswith("Converse"):
        messages = _stripped(params.get("messages"))
        return None if messages is None else {**params, "messages": messages}
    if not operation.startswith("InvokeModel"):
        return None
    body = params.get("body")
    if isinstance(body, str):
        body = body.encode()
    if not isinstance(body, bytes | bytearray) or _ANY.encode() not in body:
        return None
    try:
        document = json.loads(body)
        messages = _stripped(document.get("messages")) if isinstance(document, dict) else None
        return None if messages is None else {**params, "body": json.dumps({**document, "messages": messages}).encode()}
    except (ValueError, RecursionError):
        return None


def _stripped(messages: Any) -> list[Any] | None:
    if not isinstance(messages, list | tuple):
        return None
    found = False
    kept = []
    for message in messages:
        content = message.get("content") if isinstance(message, Mapping) else None
        if isinstance(content, list | tuple):
            rest = [block for block in content if not _is_reasoning(block)]
            if len(rest) < len(content):
                if not rest:
                    return None
                found = True
                message = {**message, "content": rest}
        kept.append(message)
    return kept if found else None


def _is_reasoning(block: Any) -> bool:
    return isinstance(block, Mapping) and ("reasoningContent" in block or block.get("type") in _KINDS)
