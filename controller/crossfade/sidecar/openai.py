"""OpenAI: `/v1/chat/completions` in terms of Converse. What Converse has no place for is refused, never dropped."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from crossfade.core.sentence import listed
from crossfade.sidecar.request import BadRequest

_DATA_URL = re.compile(r"data:image/(png|jpeg|gif|webp);base64,(.+)", re.DOTALL)
_INFERENCE = (("temperature", "temperature"), ("top_p", "topP"))
_IGNORED = frozenset({"user", "metadata", "store", "service_tier", "prompt_cache_key"})
"""Say nothing about the answer: who asks (the sidecar reads those two), what OpenAI may keep, what it charges for."""
_KNOWN = frozenset(
    [
        "model",
        "messages",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "stop",
        "tools",
        "tool_choice",
    ]
)
_NEUTRAL = {
    "n": (1,),
    "logprobs": (False,),
    "parallel_tool_calls": (True,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
}
"""Parameters Converse does not have, and the values that ask for nothing."""
_UNSAID = ("function_call", "audio", "refusal")
"""What a turn may hold besides, and Converse has no place for. A name beside a message is passed over."""


def to_converse(document: Any) -> tuple[str, bool, dict[str, Any]]:
    """Model, whether to stream, and Converse's parameters as they go over the wire. Raises `BadRequest`."""
    if not isinstance(document, dict):
        raise BadRequest("the body must be a JSON object")
    model = document.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("'model' must name a route or a Bedrock model id")
    if foreign := [f"'{name}'" for name, value in document.items() if not _has_place(name, value)]:
        them = "it" if len(foreign) == 1 else "them"
        raise BadRequest(f"{listed(foreign)} cannot be translated to Bedrock's Converse; leave {them} out")
    system, messages = _messages(document.get("messages"))
    params: dict[str, Any] = {"messages": messages}
    if system:
        params["system"] = system
    if inference := _inference(document):
        params["inferenceConfig"] = inference
    if (tools := _tools(document)) is not None:
        params["toolConfig"] = tools
    return model, document.get("stream") is True, params


def _has_place(name: str, value: Any) -> bool:
    """Whether Converse has a place for it, or it asks for nothing."""
    if name == "response_format" and isinstance(value, dict) and value.get("type") == "text":
        return True
    return name in _KNOWN or name in _IGNORED or value is None or value in _NEUTRAL.get(name, ())


def _inference(document: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    most = document.get("max_completion_tokens")
    most = document.get("max_tokens") if most is None else most
    if most is not None:
        if not isinstance(most, int) or isinstance(most, bool) or most < 1:
            raise BadRequest("'max_tokens' must be a whole number of at least 1")
        found["maxTokens"] = most
    for name, ours in _INFERENCE:
        value = document.get(name)
        if value is not None:
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise BadRequest(f"{name!r} must be a number")
            found[ours] = value
    stop = document.get("stop")
    if stop is not None:
        found["stopSequences"] = [stop] if isinstance(stop, str) else _strings(stop, "stop")
    return found


def _messages(given: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    if not isinstance(given, list) or not given:
        raise BadRequest("'messages' must be a list with at least one message")
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    for index, message in enumerate(given):
        where = f"messages[{index}]"
        if not isinstance(message, dict):
            raise BadRequest(f"'{where}' must be an object")
        for name in _UNSAID:
            if message.get(name):
                raise BadRequest(f"'{where}.{name}' cannot be translated to Bedrock's Converse; leave it out")
        match message.get("role"):
            case "system" | "developer":
                system += _content(message.get("content"), where)
                continue
            case "user":
                role, content = "user", _content(message.get("content"), where)
            case "assistant":
                role = "assistant"
                content = _content(message["content"], where) if message.get("content") else []
                content += _tool_uses(message.get("tool_calls") or [], where)
            case "tool":
                role = "user"
                result = {"toolUseId": message.get("tool_call_id"), "content": _content(message.get("content"), where)}
                content = [{"toolResult": result}]
            case other:
                raise BadRequest(f"'{where}.role' is {other!r}; known are system, developer, user, assistant, tool")
        if turns and turns[-1]["role"] == role:  # Converse wants the two to take turns
            turns[-1]["content"] += content
        else:
            turns.append({"role": role, "content": content})
    return system, turns


def _content(given: Any, where: str) -> list[dict[str, Any]]:
    if isinstance(given, str):
        return [{"text": given}]
    if not isinstance(given, list):
        raise BadRequest(f"'{where}.content' must be a text or a list of parts")
    return [_part(part, f"{where}.content[{index}]") for index, part in enumerate(given)]


def _part(part: Any, where: str) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return {"text": part["text"]}
    if kind == "image_url":
        given = part.get("image_url")
        url = given.get("url") if isinstance(given, dict) else None
        found = _DATA_URL.fullmatch(url) if isinstance(url, str) else None
        if found is None:
            raise BadRequest(
                f"'{where}.image_url.url' must be a data: URL of a png, jpeg, gif or webp; none is fetched"
            )
        try:
            base64.b64decode(found[2], validate=True)
        except binascii.Error:
            raise BadRequest(f"'{where}.image_url.url' is no base64") from None
        return {"image": {"format": found[1], "source": {"bytes": found[2]}}}
    raise BadRequest(f"'{where}' is of type {kind!r}; known are text and image_url")


def _tool_uses(calls: Any, where: str) -> list[dict[str, Any]]:
    try:
        return [
            {
                "toolUse": {
                    "toolUseId": call["id"],
                    "name": call["function"]["name"],
                    "input": json.loads(call["function"]["arguments"] or "{}"),
                }
            }
            for call in calls
        ]
    except (KeyError, TypeError, ValueError, RecursionError):
        raise BadRequest(f"'{where}.tool_calls' must have id, function.name and arguments in JSON") from None


def _tools(document: Mapping[str, Any]) -> dict[str, Any] | None:
    given, choice = document.get("tools"), document.get("tool_choice")
    if not given or choice == "none":
        return None
    tools = []
    for index, tool in enumerate(given if isinstance(given, list) else [given]):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise BadRequest(f"'tools[{index}]' must be of type function and have a name")
        spec = {"name": function["name"], "inputSchema": {"json": function.get("parameters") or {"type": "object"}}}
        if function.get("description"):
            spec["description"] = function["description"]
        if function.get("strict"):
            spec["strict"] = function["strict"]
        tools.append({"toolSpec": spec})
    config: dict[str, Any] = {"tools": tools}
    match choice:
        case None | "auto":
            pass
        case "required":
            config["toolChoice"] = {"any": {}}
        case {"function": {"name": str(name)}}:
            config["toolChoice"] = {"tool": {"name": name}}
        case _:
            raise BadRequest("'tool_choice' must be none, auto, required or name a function")
    return config


def _strings(value: Any, name: str) -> list[str]:
    if not isinstance(value, Sequence) or not all(isinstance(item, str) for item in value):
        raise BadRequest(f"{name!r} must be a text or a list of texts")
    return list(value)


_TYPES = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error"}


def error(status: int, message: str, code: str | None = None) -> bytes:
    """An error in OpenAI's shape."""
    kind = "rate_limit_error" if status == 429 else _TYPES.get(status, "server_error")
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()
