"""What a request asks, read from Converse's shape or from an InvokeModel body of the `anthropic` family."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

DEFAULT_MAX_TOKENS = 4096  # what an unset maxTokens reserves, as with a model whose maximum this is


_CALL = re.compile(r"\bcall ([a-zA-Z0-9_-]+) (?=\{)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A tool the answer asks its caller to run."""

    name: str
    input: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """`text` is the last user message, `everything` all text of the request (for counting tokens).

    `signatures` are those of the reasoning in earlier turns; `thinking` asks for reasoning in this one.
    `tool` is set when the last user message says `call NAME JSON` and NAME is a tool the request offers.
    """

    text: str
    everything: str
    max_tokens: int
    thinking: bool = False
    signatures: tuple[str, ...] = ()
    tool: ToolCall | None = None


class BadPrompt(ValueError):  # noqa: N818
    """The request is not one that Bedrock would accept; the message is Bedrock's ValidationException."""


def read_converse(body: bytes) -> Prompt:
    """Read a Converse or ConverseStream body."""
    document = _read_object(body)
    inference = document.get("inferenceConfig")
    limit = inference.get("maxTokens") if isinstance(inference, dict) else None
    more = document.get("additionalModelRequestFields")
    config = document.get("toolConfig")
    tools = config.get("tools") if isinstance(config, dict) else None
    return _read(document, limit, more if isinstance(more, dict) else {}, _names(tools, "toolSpec"))


def read_invoke(body: bytes) -> Prompt:
    """Read an InvokeModel body: Anthropic's messages."""
    document = _read_object(body)
    if "anthropic_version" not in document:
        raise BadPrompt("anthropic_version: Field required")
    if "max_tokens" not in document:
        raise BadPrompt("max_tokens: Field required")
    return _read(document, document["max_tokens"], document, _names(document.get("tools"), None))


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise BadPrompt("The request body is not valid JSON.") from None
    if not isinstance(document, dict):
        raise BadPrompt("The request body is not a JSON object.")
    return document


def _read(document: dict[str, Any], limit: object, fields: dict[str, Any], tools: frozenset[str]) -> Prompt:
    if limit is None:
        limit = DEFAULT_MAX_TOKENS
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise BadPrompt("The maximum tokens you requested must be an integer of at least 1.")
    messages = document.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadPrompt("A conversation must have at least one message. Try again with messages.")
    texts = [_text(document.get("system"))]
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in ("user", "assistant"):
            raise BadPrompt("A message needs the role user or assistant. Correct it and try again.")
        texts.append(_text(message.get("content")))
    if messages[-1]["role"] != "user":
        raise BadPrompt("A conversation must end with a user message. Try again with a user message.")
    if not messages[-1].get("content"):
        raise BadPrompt("The content field of the last message is empty. Add content and try again.")
    thinking = fields.get("thinking")
    return Prompt(
        text=texts[-1],
        everything="".join(texts),
        max_tokens=limit,
        thinking=isinstance(thinking, dict) and thinking.get("type") == "enabled",
        tool=_tool_call(texts[-1], tools),
        signatures=tuple(signature for message in messages for signature in _signatures(message.get("content"))),
    )


def _signatures(content: object) -> Iterator[str]:
    """Of a content's reasoning blocks, Converse's or Anthropic's; an unsigned one has an empty signature."""
    for block in content if isinstance(content, list) else []:
        if not isinstance(block, dict):
            continue
        reasoning = block.get("reasoningContent")
        if isinstance(reasoning, dict):
            text = reasoning.get("reasoningText")
            yield str(text.get("signature", "")) if isinstance(text, dict) else ""
        elif block.get("type") in ("thinking", "redacted_thinking"):
            yield str(block.get("signature", ""))


def _names(tools: object, wrapper: str | None) -> frozenset[str]:
    """The names of the tools a request offers; Converse wraps each in a `toolSpec`."""
    if not isinstance(tools, list):
        return frozenset()
    bare = (tool.get(wrapper) if wrapper and isinstance(tool, dict) else tool for tool in tools)
    return frozenset(str(tool["name"]) for tool in bare if isinstance(tool, dict) and "name" in tool)


def _tool_call(text: str, tools: frozenset[str]) -> ToolCall | None:
    """The first `call NAME JSON` in a text whose NAME is offered. JSON that is none is no call."""
    for found in _CALL.finditer(text):
        try:
            told, _ = json.JSONDecoder().raw_decode(text, found.end())
        except ValueError:
            continue
        if found[1] in tools:
            return ToolCall(name=found[1], input=told)
    return None


def _text(content: object) -> str:
    """The text of a content: a string, or its blocks, of which those with `text` and tools' results count."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(filter(None, (_block_text(block) for block in content if isinstance(block, dict))))


def _block_text(block: dict[str, Any]) -> str:
    if isinstance(block.get("text"), str):
        return str(block["text"])
    if "json" in block:
        return json.dumps(block["json"], ensure_ascii=False)
    result = block.get("toolResult") if "toolResult" in block else block if block.get("type") == "tool_result" else None
    return _text(result.get("content")) if isinstance(result, dict) else ""
