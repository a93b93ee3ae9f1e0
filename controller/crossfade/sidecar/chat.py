"""Chat: the face that speaks OpenAI's chat completions; `openai` and `completion` translate there and back."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from crossfade.shim.call import Call
from crossfade.shim.course import Busy
from crossfade.sidecar import bedrock, openai
from crossfade.sidecar.completion import DONE, Chunks, completion
from crossfade.sidecar.drive import Stream, Whole, frames_of
from crossfade.sidecar.request import BadRequest, Request

log = logging.getLogger("crossfade")

_JSON = {"content-type": "application/json", "accept": "application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A chat completion as asked. `metadata` is what `requestMetadata` is to Converse."""

    request: Request
    metadata: dict[str, Any]
    wants_usage: bool


def read(body: bytes) -> Question:
    """Raises `BadRequest`."""
    try:
        document = json.loads(body)
        model, streams, params = openai.to_converse(document)
        sent = json.dumps(params).encode()
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None
    except ValueError:
        raise BadRequest("the body is no JSON") from None
    metadata, options = document.get("metadata"), document.get("stream_options")
    return Question(
        request=Request(
            operation="ConverseStream" if streams else "Converse",
            model_id=model,
            body=sent,
            params=params,
            headers=dict(_JSON),
        ),
        metadata={"crossfade-key": document.get("user"), **(metadata if isinstance(metadata, dict) else {})},
        wants_usage=isinstance(options, dict) and options.get("include_usage") is True,
    )


def models(names: Iterable[str]) -> Whole:
    listed = [{"id": name, "object": "model", "created": 0, "owned_by": "crossfade"} for name in names]
    return Whole(200, [("content-type", "application/json")], json.dumps({"object": "list", "data": listed}).encode())


def whole(answer: Whole, call: Call, model: str) -> Whole:
    """Bedrock's answer or error as OpenAI would put it."""
    told = [pair for pair in answer.headers if pair[0].startswith(("x-crossfade-", "x-amzn-requestid", "retry-after"))]
    headers = [("content-type", "application/json"), *told]
    if answer.status == 200:
        return Whole(200, headers, json.dumps(completion(json.loads(answer.body), id=call.id, model=model)).encode())
    code = dict(answer.headers).get("x-amzn-errortype", "").partition(":")[0] or None
    try:
        message = str(json.loads(answer.body).get("message") or "")
    except (ValueError, AttributeError, RecursionError):
        message = ""
    message = message or f"Bedrock answered {answer.status}"
    return Whole(answer.status, headers, openai.error(answer.status, message, code))


def stream_headers(call: Call, ending: Stream | Busy) -> list[tuple[str, str]]:
    told = (pair for pair in bedrock.stream_headers(call, ending) if pair[0].startswith("x-crossfade-"))
    return [("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"), *told]


async def streamed(call: Call, ending: Stream | Busy, question: Question) -> AsyncGenerator[bytes, None]:
    """Server-sent events."""
    chunks = Chunks(id=call.id, model=question.request.model_id, usage=question.wants_usage)
    if isinstance(ending, Busy):
        for event in ending.answer["stream"]:
            for name, members in event.items():
                for chunk in chunks.event(name, members):
                    yield chunk
        yield DONE
        return
    good = True
    async with aclosing(frames_of(call, ending)) as frames:
        async for found in frames:
            good = good and found[-1].kind == "event"
            try:
                said = b"".join(chunk for one in found for chunk in chunks.of(one))
            except Exception:  # an end without a word would be taken for the end of the answer
                log.exception("the sidecar failed to translate an event", extra={"action": "sidecar_fault"})
                good, said = False, chunks.error("the sidecar failed; see its log", "internal_server_error")
            if said:
                yield said
            if not good:
                break
    if good:  # a stream that broke off has no end: a client that only looks for it must not take it for whole
        yield DONE
