"""Completion: Converse's answers in OpenAI's shape, whole or as server-sent events."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from crossfade.sidecar.frames import Frame

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "refusal": "content_filter",
}


def completion(answer: Mapping[str, Any], *, id: str, model: str) -> dict[str, Any]:  # noqa: A002 (OpenAI's word)
    """Converse's answer as a chat completion."""
    blocks = answer["output"]["message"]["content"]
    text = "".join(block["text"] for block in blocks if "text" in block)
    calls = [_tool_call(block["toolUse"]) for block in blocks if "toolUse" in block]
    message: dict[str, Any] = {"role": "assistant", "content": text if text or not calls else None}
    if calls:
        message["tool_calls"] = calls
    return {
        "id": id,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(answer.get("stopReason"))}
        ],
        "usage": _usage(answer.get("usage") or {}),
    }


def _tool_call(use: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": use["name"], "arguments": json.dumps(use.get("input") or {})}
    return {"id": use["toolUseId"], "type": "function", "function": function}


def _finish(reason: Any) -> str:
    return _FINISH.get(str(reason), "stop")


def _usage(usage: Mapping[str, Any]) -> dict[str, int]:
    read, written = usage.get("inputTokens") or 0, usage.get("outputTokens") or 0
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


class Chunks:
    """Converse's events as chunks of a chat completion, in server-sent events."""

    def __init__(self, *, id: str, model: str, usage: bool) -> None:  # noqa: A002 (OpenAI's word)
        self._head = {"id": id, "object": "chat.completion.chunk", "created": int(time.time()), "model": model}
        self._wants_usage = usage
        self._tools: dict[int, int] = {}
        self._bare: set[int] = set()
        """The blocks of tool calls that have no arguments yet."""

    def of(self, frame: Frame) -> Iterator[bytes]:
        """What one frame becomes; nothing for most that carry no content."""
        if frame.kind != "event":
            message = frame.event().get(frame.name, {}).get("message") or frame.name
            yield self.error(message, frame.name)
            return
        for name, members in frame.event().items():
            yield from self.event(name, members)

    def error(self, message: str, code: str) -> bytes:
        """The end of a stream that broke off."""
        return _sse({"error": {"message": message, "type": "server_error", "param": None, "code": code}})

    def event(self, name: str, members: Mapping[str, Any]) -> Iterator[bytes]:
        block = members.get("contentBlockIndex", 0)
        match name:
            case "messageStart":
                yield self._choice({"role": "assistant", "content": ""})
            case "contentBlockStart" if "toolUse" in (members.get("start") or {}):
                use = members["start"]["toolUse"]
                at = self._tools.setdefault(block, len(self._tools))
                self._bare.add(block)
                function = {"name": use.get("name"), "arguments": ""}
                call = {"index": at, "id": use.get("toolUseId"), "type": "function", "function": function}
                yield self._choice({"tool_calls": [call]})
            case "contentBlockDelta":
                delta = members.get("delta") or {}
                if "text" in delta:
                    yield self._choice({"content": delta["text"]})
                elif "toolUse" in delta:
                    yield self._arguments(block, delta["toolUse"].get("input") or "")
            case "contentBlockStop" if block in self._bare:  # OpenAI's are JSON, also where a tool takes none
                yield self._arguments(block, "{}")
            case "messageStop":
                yield self._choice({}, _finish(members.get("stopReason")))
            case "metadata" if self._wants_usage:
                yield _sse({**self._head, "choices": [], "usage": _usage(members.get("usage") or {})})

    def _arguments(self, block: int, text: str) -> bytes:
        if text:
            self._bare.discard(block)
        return self._choice({"tool_calls": [{"index": self._tools.get(block, 0), "function": {"arguments": text}}]})

    def _choice(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        return _sse(
            {**self._head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}
        )


DONE = b"data: [DONE]\n\n"


def _sse(document: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"
