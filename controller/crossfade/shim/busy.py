"""Busy: the polite answer when everything is exhausted, in the native shape of the operation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

_ZERO = {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0}
_METADATA = {"HTTPStatusCode": 200, "HTTPHeaders": {}, "RetryAttempts": 0}
_SHAPES = ("tools", "toolConfig", "response_format", "output_format", "output_config", "outputConfig")


def busy_answer(
    operation: str,
    params: Mapping[str, Any],
    family: str | None,
    text: str,
) -> dict[str, Any] | None:
    """The busy answer, or None where it would mislead: with tools or a JSON schema, or in an unknown body family.

    As boto3 would answer, but a stream is a list of events, and InvokeModel's body is bytes.
    """
    if operation in ("Converse", "ConverseStream"):
        if _wants_shape(params) or _wants_shape(params.get("additionalModelRequestFields")):
            return None
        return _converse(text) if operation == "Converse" else {**_base(), "stream": _events(text)}
    if not operation.startswith("InvokeModel") or family not in _BODIES or _asks_for_shape(params.get("body")):
        return None
    if operation == "InvokeModel":
        return {**_base(), "body": json.dumps(_BODIES[family](text)).encode(), "contentType": "application/json"}
    if family not in _CHUNKS:
        return None
    chunks = [{"chunk": {"bytes": json.dumps(part).encode()}} for part in _CHUNKS[family](text)]
    return {**_base(), "body": chunks, "contentType": "application/json"}


def _base() -> dict[str, Any]:
    return {"ResponseMetadata": dict(_METADATA)}


def _converse(text: str) -> dict[str, Any]:
    return {
        **_base(),
        "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
        "stopReason": "end_turn",
        "usage": dict(_ZERO),
        "metrics": {"latencyMs": 0},
    }


def _events(text: str) -> list[dict[str, Any]]:
    return [
        {"messageStart": {"role": "assistant"}},
        {"contentBlockDelta": {"delta": {"text": text}, "contentBlockIndex": 0}},
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"messageStop": {"stopReason": "end_turn"}},
        {"metadata": {"usage": dict(_ZERO), "metrics": {"latencyMs": 0}}},
    ]


def _asks_for_shape(body: Any) -> bool:
    try:
        asked = json.loads(body)
    except (TypeError, ValueError, RecursionError):
        return True
    return not isinstance(asked, Mapping) or _wants_shape(asked)


def _wants_shape(asked: Any) -> bool:
    """Whether these parameters, or fields of a vendor's, hold tools or a schema."""
    return isinstance(asked, Mapping) and any(asked.get(name) for name in _SHAPES)


def _anthropic(text: str) -> dict[str, Any]:
    return {
        "id": "msg_crossfade_busy",
        "type": "message",
        "role": "assistant",
        "model": "",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }


def _anthropic_chunks(text: str) -> list[dict[str, Any]]:
    message = _anthropic(text) | {"content": [], "stop_reason": None}
    return [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 0},
        },
        {"type": "message_stop"},
    ]


def _nova(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": [{"text": text}]}
    return {"output": {"message": message}, "stopReason": "end_turn", "usage": dict(_ZERO)}


def _llama(text: str) -> dict[str, Any]:
    return {"generation": text, "prompt_token_count": 0, "generation_token_count": 0, "stop_reason": "stop"}


def _mistral(text: str) -> dict[str, Any]:
    return {"outputs": [{"text": text, "stop_reason": "stop"}]}


def _titan(text: str) -> dict[str, Any]:
    return {
        "inputTextTokenCount": 0,
        "results": [{"tokenCount": 0, "outputText": text, "completionReason": "FINISH"}],
    }


_BODIES: dict[str | None, Callable[[str], dict[str, Any]]] = {
    "anthropic": _anthropic,
    "nova": _nova,
    "llama": _llama,
    "mistral": _mistral,
    "titan": _titan,
}
_CHUNKS: dict[str | None, Callable[[str], list[dict[str, Any]]]] = {"anthropic": _anthropic_chunks, "nova": _events}
