"""Features: what the rules may know of a request, read off a call's parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crossfade.core.model import TAKES
from crossfade.core.request import Request
from crossfade.shim.context import Said

_CODE_MARK = "```"
_ASKS_FOR_REASONING = ("thinking", "reasoning_config", "reasoningConfig")


def read_request(operation: str, params: Mapping[str, Any], said: Said) -> Request:
    """The features of a Converse(Stream), InvokeModel(...) or CountTokens call. Unreadable bodies have none."""
    seen = _seen_in(operation, params)
    return Request(
        characters=sum(map(len, seen.text)),
        turns=max(1, seen.turns),
        tools=seen.tools,
        images=seen.images,
        documents=seen.documents,
        code=any(_CODE_MARK in part for part in seen.text),
        streaming=operation.endswith("Stream"),
        key=said.sticky,
        tier=said.tier,
        labels=said.labels,
    )


def held(operation: str, params: Mapping[str, Any]) -> list[str]:
    """Which of `TAKES` the request holds."""
    seen = _seen_in(operation, params)
    return [name for name in TAKES if getattr(seen, name)]


def _seen_in(operation: str, params: Mapping[str, Any]) -> _Seen:
    body: Any = params
    if operation == "CountTokens":
        given = params.get("input") or {}
        body = given.get("converse") or _json((given.get("invokeModel") or {}).get("body"))
    elif operation.startswith("InvokeModel"):
        body = _json(params.get("body"))
    seen = _Seen()
    if isinstance(body, Mapping):
        seen.read(body)
    return seen


@dataclass(slots=True)
class _Seen:
    """Walks messages of Converse and of the vendors' bodies, which are close enough to be read alike."""

    text: list[str] = field(default_factory=list)
    turns: int = 0
    tools: int = 0
    images: int = 0
    documents: int = 0
    cache_points: int = 0
    reasoning: int = 0

    def read(self, body: Mapping[str, Any]) -> None:
        messages = _list(body.get("messages"))
        self.turns = len(messages)
        self._blocks(body.get("system"))
        for message in messages:
            if isinstance(message, Mapping):
                self._blocks(message.get("content"))
        for name in ("prompt", "inputText", "inputs"):
            if isinstance(body.get(name), str):
                self.text.append(body[name])
        config = body.get("toolConfig")
        for tool in _list(config.get("tools") if isinstance(config, Mapping) else body.get("tools")):
            is_mark = isinstance(tool, Mapping) and "cachePoint" in tool
            self.tools += not is_mark
            self.cache_points += is_mark or (isinstance(tool, Mapping) and "cache_control" in tool)
        more = body.get("additionalModelRequestFields")
        asked = (body, more) if isinstance(more, Mapping) else (body,)
        self.reasoning += any(name in part for part in asked for name in _ASKS_FOR_REASONING)

    def _blocks(self, content: Any) -> None:
        if isinstance(content, str):
            self.text.append(content)
            return
        for block in _list(content):
            if not isinstance(block, Mapping):
                continue
            if isinstance(block.get("text"), str):
                self.text.append(block["text"])
            kind = block.get("type")
            self.images += "image" in block or kind in ("image", "image_url")
            self.documents += "document" in block or kind == "document"
            self.cache_points += "cachePoint" in block or "cache_control" in block
            self.reasoning += "reasoningContent" in block or kind in ("thinking", "redacted_thinking")
            result = block.get("toolResult")
            if isinstance(result, Mapping):
                self._result(result.get("content"))
            elif kind == "tool_result":
                self._blocks(block.get("content"))

    def _result(self, content: Any) -> None:
        """A toolResult's content: blocks, of which those of JSON count as the text they are sent as."""
        self._blocks(content)
        for block in _list(content):
            if isinstance(block, Mapping) and "json" in block:
                self.text.append(json.dumps(block["json"], default=str))


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else []


def _json(body: Any) -> Any:
    if not isinstance(body, str | bytes | bytearray):
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
