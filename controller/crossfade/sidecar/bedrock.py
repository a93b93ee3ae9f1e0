"""Bedrock: the face that speaks Bedrock's own wire protocol, so that any AWS SDK may point at the sidecar."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from crossfade.shim.call import Call
from crossfade.shim.course import Ask, Busy, Unavailable
from crossfade.sidecar.drive import Ending, Stream, Whole, error_answer, frames_of
from crossfade.sidecar.frames import frame

EVENTSTREAM = "application/vnd.amazon.eventstream"


def told(call: Call, ask: Ask | None, *, busy: bool = False) -> list[tuple[str, str]]:
    """What `ResponseMetadata.Crossfade` says in boto3, as headers."""
    model, region = (ask.stop.model.name, ask.stop.target.region) if ask else ("", "")
    found = call.describe(model=model, region=region, busy=busy)
    return [(f"x-crossfade-{name.replace('_', '-')}", _ascii(value)) for name, value in found.items()]


def _ascii(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text.encode("ascii", "backslashreplace").decode()


def whole(call: Call, ending: Ending, ask: Ask | None) -> Whole | None:
    """The ending as one whole answer; None for a stream."""
    match ending:
        case Whole(status, headers, body):
            return Whole(status, headers + told(call, ask), body)
        case Unavailable(message):
            found = error_answer(503, "ServiceUnavailableException", message)
            return Whole(503, found.headers + told(call, None), found.body)
        case Busy(answer) if not call.streaming:
            headers = [("content-type", "application/json"), *told(call, None, busy=True)]
            return Whole(200, headers, answer.get("body") or _body(answer))
    return None


def _body(answer: dict[str, Any]) -> bytes:
    return json.dumps({name: value for name, value in answer.items() if name != "ResponseMetadata"}).encode()


def stream_headers(call: Call, ending: Stream | Busy) -> list[tuple[str, str]]:
    if isinstance(ending, Busy):
        more = [] if call.operation == "ConverseStream" else [("x-amzn-bedrock-content-type", "application/json")]
        return [("content-type", EVENTSTREAM), *more, *told(call, None, busy=True)]
    return ending.headers + told(call, ending.ask)


async def streamed(call: Call, ending: Stream | Busy) -> AsyncIterator[bytes]:
    """The frames of a stream, whole ones at a time."""
    if isinstance(ending, Busy):
        yield b"".join(_frames(ending.answer))
        return
    async with aclosing(frames_of(call, ending)) as frames:
        async for found in frames:
            yield found[0].raw if len(found) == 1 else b"".join(one.raw for one in found)


def _frames(answer: dict[str, Any]) -> list[bytes]:
    events = answer.get("stream") or answer["body"]
    return [frame("event", name, _on_the_wire(members)).raw for event in events for name, members in event.items()]


def _on_the_wire(members: dict[str, Any]) -> dict[str, Any]:
    data = members.get("bytes")
    return members if data is None else {"bytes": base64.b64encode(data).decode()}
