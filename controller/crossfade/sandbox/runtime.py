"""The operations of `bedrock-runtime`: a Model's text in the shape each of them answers in."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass

from crossfade.sandbox import eventstream
from crossfade.sandbox.answer import Answer, Streamed, Whole, encode_json, ok
from crossfade.sandbox.model import Model, base_id, estimate_tokens
from crossfade.sandbox.prompt import BadPrompt, Prompt, ToolCall, read_converse, read_invoke

CHARACTERS_A_TOKEN = 4  # the inverse of `estimate_tokens`, for cutting at maxTokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A model's answer to one prompt, with its bookkeeping. `milliseconds` is the model's own time."""

    model_id: str
    request_id: str
    text: str
    tool: ToolCall | None
    cut: bool
    input_tokens: int
    output_tokens: int
    milliseconds: int
    signature: str | None = None
    """Of its reasoning; None where none was asked for."""


def say(model: Model, prompt: Prompt, *, model_id: str, request_id: str, clock: Callable[[], float]) -> Said:
    """Ask the model; cut what is longer than maxTokens allows, but never a tool's call.

    Raises `BadPrompt` for reasoning it has not signed.
    """
    signature = f"signed by {base_id(model_id)}"
    if any(given != signature for given in prompt.signatures):
        raise BadPrompt("messages: Invalid `signature` in `thinking` block")
    started = clock()
    text = "" if prompt.tool else model.answer(prompt.text)
    limit = prompt.max_tokens * CHARACTERS_A_TOKEN
    cut = len(text) > limit
    if cut:
        text = text[:limit]
    return Said(
        model_id=model_id,
        request_id=request_id,
        text=text,
        tool=prompt.tool,
        cut=cut,
        input_tokens=estimate_tokens(prompt.everything),
        output_tokens=estimate_tokens(_put_input(prompt.tool) if prompt.tool else text),
        milliseconds=round((clock() - started) * 1000),
        signature=signature if prompt.thinking else None,
    )


def pieces(text: str) -> list[str]:
    """The text as deltas: about one a word, at most 64, and two at least where there are two characters."""
    words = text.split(" ")
    if len(words) == 1:
        return [text[:1], text[1:]] if len(text) > 1 else [text]
    size = -(-len(words) // 64)
    groups = [" ".join(words[start : start + size]) for start in range(0, len(words), size)]
    return [group + " " for group in groups[:-1]] + [groups[-1]]


def converse(said: Said, stop_reason: str | None = None) -> Answer:
    """Converse's answer. Reasoning comes first, where it was asked for."""
    content = [_converse_block(said)]
    if said.signature is not None:
        reasoning = {"text": f"The text has {len(said.text)} characters.", "signature": said.signature}
        content.insert(0, {"reasoningContent": {"reasoningText": reasoning}})
    return ok(
        {
            "metrics": {"latencyMs": said.milliseconds},
            "output": {"message": {"content": content, "role": "assistant"}},
            "stopReason": stop_reason or _stop(said),
            "usage": _converse_usage(said),
        },
        input_tokens=said.input_tokens,
        output_tokens=said.output_tokens,
    )


def converse_stream(said: Said, stop_reason: str | None = None) -> Answer:
    """ConverseStream's answer: messageStart, deltas, contentBlockStop, messageStop, metadata."""
    started = []
    if said.tool:
        begun = {"toolUse": {"name": said.tool.name, "toolUseId": _tool_id(said)}}
        started = [eventstream.event("contentBlockStart", {"contentBlockIndex": 0, "start": begun})]
    deltas = [
        eventstream.event("contentBlockDelta", {"contentBlockIndex": 0, "delta": delta})
        for delta in (
            [{"toolUse": {"input": piece}} for piece in pieces(_put_input(said.tool))]
            if said.tool
            else [{"text": piece} for piece in pieces(said.text)]
        )
    ]
    frames = (
        eventstream.event("messageStart", {"role": "assistant"}),
        *started,
        *deltas,
        eventstream.event("contentBlockStop", {"contentBlockIndex": 0}),
        eventstream.event("messageStop", {"stopReason": stop_reason or _stop(said)}),
        eventstream.event("metadata", {"metrics": {"latencyMs": said.milliseconds}, "usage": _converse_usage(said)}),
    )
    return Streamed(
        frames=frames,
        event="contentBlockDelta",
        first_content=1 + len(started),
        end=len(frames) - 2,
        input_tokens=said.input_tokens,
        output_tokens=said.output_tokens,
    )


def invoke_model(said: Said, stop_reason: str | None = None) -> Answer:
    """InvokeModel's answer: a message of the `anthropic` family."""
    return Whole(
        body=encode_json(
            {
                **_anthropic_message(said),
                "content": [_anthropic_block(said)],
                "stop_reason": stop_reason or _stop(said),
                "stop_sequence": None,
                "usage": {"input_tokens": said.input_tokens, "output_tokens": said.output_tokens},
            }
        ),
        headers=(
            ("x-amzn-bedrock-invocation-latency", str(said.milliseconds)),
            ("x-amzn-bedrock-input-token-count", str(said.input_tokens)),
            ("x-amzn-bedrock-output-token-count", str(said.output_tokens)),
        ),
        input_tokens=said.input_tokens,
        output_tokens=said.output_tokens,
    )


def invoke_model_stream(said: Said, stop_reason: str | None = None) -> Answer:
    """The stream of InvokeModel: Anthropic's events, each in base64 inside a `chunk` event."""
    begin = {
        **_anthropic_message(said),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": said.input_tokens, "output_tokens": 1},
    }
    stop = {"stop_reason": stop_reason or _stop(said), "stop_sequence": None}
    if said.tool:
        opened = _anthropic_block(said) | {"input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces(_put_input(said.tool))]
    else:
        opened = {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": piece} for piece in pieces(said.text)]
    figures = {
        "inputTokenCount": said.input_tokens,
        "outputTokenCount": said.output_tokens,
        "invocationLatency": said.milliseconds,
        "firstByteLatency": said.milliseconds,
    }
    events: list[dict[str, object]] = [
        {"type": "message_start", "message": begin},
        {"type": "content_block_start", "index": 0, "content_block": opened},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": stop, "usage": {"output_tokens": said.output_tokens}},
        {"type": "message_stop", "amazon-bedrock-invocationMetrics": figures},
    ]
    return Streamed(
        frames=tuple(_chunk_event(event) for event in events),
        event="chunk",
        headers=(("X-Amzn-Bedrock-Content-Type", "application/json"),),
        first_content=2,
        end=len(events) - 1,
        input_tokens=said.input_tokens,
        output_tokens=said.output_tokens,
    )


def count_tokens(body: bytes) -> Answer:
    """CountTokens' answer, by the same estimate as `usage`."""
    try:
        asked = json.loads(body)["input"]
        if "converse" in asked:
            prompt = read_converse(encode_json(asked["converse"]))
        else:
            prompt = read_invoke(base64.b64decode(asked["invokeModel"]["body"], validate=True))
    except BadPrompt:
        raise
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadPrompt("The input must hold either converse or invokeModel.") from None
    return ok({"inputTokens": estimate_tokens(prompt.everything)})


def apply_guardrail() -> Answer:
    """ApplyGuardrail's answer, of a guardrail that lets everything pass."""
    return ok({"usage": {}, "action": "NONE", "outputs": [], "assessments": []})


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One way of asking a model: how its body is read, and how the answer is put."""

    name: str
    read: Callable[[bytes], Prompt]
    put: Callable[[Said, str | None], Answer]


BY_VERB = {
    "converse": Operation(name="Converse", read=read_converse, put=converse),
    "converse-stream": Operation(name="ConverseStream", read=read_converse, put=converse_stream),
    "invoke": Operation(name="InvokeModel", read=read_invoke, put=invoke_model),
    "invoke-with-response-stream": Operation(
        name="InvokeModelWithResponseStream", read=read_invoke, put=invoke_model_stream
    ),
}
"""The last part of the path -> the operation."""


def _converse_usage(said: Said) -> dict[str, int]:
    return {
        "inputTokens": said.input_tokens,
        "outputTokens": said.output_tokens,
        "totalTokens": said.input_tokens + said.output_tokens,
    }


def _stop(said: Said) -> str:
    if said.tool:
        return "tool_use"
    return "max_tokens" if said.cut else "end_turn"


def _converse_block(said: Said) -> dict[str, object]:
    if said.tool is None:
        return {"text": said.text}
    return {"toolUse": {"toolUseId": _tool_id(said), "name": said.tool.name, "input": said.tool.input}}


def _anthropic_block(said: Said) -> dict[str, object]:
    if said.tool is None:
        return {"type": "text", "text": said.text}
    return {"type": "tool_use", "id": _tool_id(said), "name": said.tool.name, "input": said.tool.input}


def _tool_id(said: Said) -> str:
    return f"tooluse_{said.request_id}"


def _put_input(tool: ToolCall) -> str:
    return encode_json(tool.input).decode()


def _anthropic_message(said: Said) -> dict[str, object]:
    return {
        "id": f"msg_bdrk_{said.request_id}",
        "type": "message",
        "role": "assistant",
        "model": said.model_id,
    }


def _chunk_event(event: dict[str, object]) -> bytes:
    return eventstream.event("chunk", {"bytes": base64.b64encode(encode_json(event)).decode()})
