"""Features: what the rules may know of a request, read off a call's parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from crossfade.core.request import Request
from crossfade.shim.context import Said

_CODE_MARK = "```"


def read_request(operation: str, params: Mapping[str, Any], said: Said) -> Request:
    """The features of a Converse(Stream), InvokeModel(...) or CountTokens call. Unreadable bodies have none."""
    body: Any = params
    if operation == "CountTokens":
        given = params.get("input") or {}
        body = given.get("converse") or _json((given.get("invokeModel") or {}).get("body"))
    elif operation.startswith("InvokeModel"):
        body = _json(params.get("body"))
    text, turns, tools, images, documents = _Count().of(body if isinstance(body, Mapping) else {})
    return Request(
        characters=sum(map(len, text)),
        turns=max(1, turns),
        tools=tools,
        images=images,
        documents=documents,
        code=any(_CODE_MARK in part for part in text),
        streaming=operation.endswith("Stream"),
        key=said.key,
        tier=said.tier,
        labels=said.labels,
    )


class _Count:
    """Walks messages of Converse and of the vendors' bodies, which are close enough to be read alike."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._images = self._documents = 0

    def of(self, body: Mapping[str, Any]) -> tuple[list[str], int, int, int, int]:
        messages = _list(body.get("messages"))
        self._blocks(body.get("system"))
        for message in messages:
            if isinstance(message, Mapping):
                self._blocks(message.get("content"))
        for name in ("prompt", "inputText", "inputs"):
            if isinstance(body.get(name), str):
                self._text.append(body[name])
        tools = body.get("tools")
        config = body.get("toolConfig")
        if isinstance(config, Mapping):
            tools = config.get("tools")
        return self._text, len(messages), len(_list(tools)), self._images, self._documents

    def _blocks(self, content: Any) -> None:
        if isinstance(content, str):
            self._text.append(content)
            return
        for block in _list(content):
            if not isinstance(block, Mapping):
                continue
            if isinstance(block.get("text"), str):
                self._text.append(block["text"])
            kind = block.get("type")
            self._images += "image" in block or kind in ("image", "image_url")
            self._documents += "document" in block or kind == "document"


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else []


def _json(body: Any) -> Any:
    if not isinstance(body, str | bytes | bytearray):
        return None
    try:
        return json.loads(body)
    except ValueError:
        return None
