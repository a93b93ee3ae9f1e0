"""Answer: what a 200 must have to be one, and what it says of tokens and of its end.

botocore returns a dictionary without the members when a body was malformed or cut; InvokeModel's body fails only
when it is read. So members are checked and bodies are read here, inside the attempt.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.response import StreamingBody

from crossfade.core.outcome import Outcome
from crossfade.core.stop import Stop, stop_of
from crossfade.core.validator import JUDGED, Validator
from crossfade.shim.classify import Incomplete, is_malformed

_MEMBERS = {"anthropic": "content", "nova": "output", "llama": "generation"}
"""The member no answer of a body family lacks, where there is one for all operations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What an answer says of itself: OK or MALFORMED, why it ended and its tokens, if it tells them."""

    outcome: Outcome = Outcome.OK
    stop: Stop | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None


def read_answer(
    operation: str, response: dict[str, Any], family: str | None, validator: Validator | None = None
) -> Told:
    """Checks a whole answer; raises `Incomplete`. An InvokeModel body is read and put back as a fresh one."""
    if operation == "Converse":
        return _read_converse(response, validator)
    if operation == "CountTokens":
        if not isinstance(response.get("inputTokens"), int):
            raise Incomplete("CountTokens answered without inputTokens")
        return Told()
    if operation == "StartAsyncInvoke":
        if not isinstance(response.get("invocationArn"), str):
            raise Incomplete("StartAsyncInvoke answered without invocationArn")
        return Told()
    return _read_invoke(response, family, validator)


def _read_converse(response: Mapping[str, Any], validator: Validator | None) -> Told:
    message = mapping(mapping(response.get("output")).get("message"))
    missing = [name for name in ("stopReason", "usage") if name not in response]
    if missing or not isinstance(message.get("content"), list):
        raise Incomplete(f"Converse answered without {', '.join(missing) or 'output.message.content'}")
    usage = mapping(response["usage"])
    return Told(
        outcome=_judge(response["stopReason"], None if validator is None else _text(message["content"]), validator),
        stop=stop_of(response["stopReason"]),
        tokens_in=usage.get("inputTokens"),
        tokens_out=usage.get("outputTokens"),
    )


def _judge(stop_reason: object, text: str | None, validator: Validator | None) -> Outcome:
    """MALFORMED by its stop reason, or by the route's validator where the text can be told."""
    if is_malformed(stop_reason):
        return Outcome.MALFORMED
    if validator is None or text is None or stop_of(stop_reason) not in JUDGED:
        return Outcome.OK
    return Outcome.OK if validator.accepts(text) else Outcome.MALFORMED


def _text(content: object) -> str:
    """The text of Converse's (and the vendors') content blocks."""
    blocks = content if isinstance(content, list) else []
    texts = (block.get("text") for block in blocks if isinstance(block, Mapping))
    return "".join(text for text in texts if isinstance(text, str))


def mapping(value: object) -> Mapping[str, Any]:
    """What came from the wire, where it is what is to be looked into; else an empty one."""
    return value if isinstance(value, dict) else {}


def invoked_text(document: Mapping[str, Any], family: str | None) -> str | None:
    """The text of a whole InvokeModel answer, None for a body family that is not known here."""
    match family:
        case "anthropic":
            return _text(document.get("content"))
        case "nova":
            return _text(mapping(mapping(document.get("output")).get("message")).get("content"))
        case "llama":
            return str(document.get("generation") or "")
    return None


def _read_invoke(response: dict[str, Any], family: str | None, validator: Validator | None) -> Told:
    body = response.get("body")
    if body is None:
        raise Incomplete("InvokeModel answered without a body")
    data = body.read()
    body.close()
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    length = headers.get("content-length")
    if not data or (length is not None and length.isdecimal() and int(length) != len(data)):
        raise Incomplete(f"InvokeModel answered {len(data)} bytes of {length or 'a body'}")
    stop_reason = text = None
    if "json" in str(response.get("contentType") or headers.get("content-type") or "json"):
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise Incomplete(f"InvokeModel answered a body that is no JSON: {error}") from error
        member = _MEMBERS.get(family or "")
        if member is not None and not (isinstance(document, dict) and member in document):
            raise Incomplete(f"InvokeModel answered without {member}")
        if isinstance(document, dict):  # some vendors answer with a list
            stop_reason = invoked_stop(document)
            text = invoked_text(document, family) if validator is not None else None
    response["body"] = StreamingBody(io.BytesIO(data), len(data))
    return Told(
        outcome=_judge(stop_reason, text, validator),
        stop=stop_of(stop_reason),
        tokens_in=_count(headers.get("x-amzn-bedrock-input-token-count")),
        tokens_out=_count(headers.get("x-amzn-bedrock-output-token-count")),
    )


def invoked_stop(document: Mapping[str, Any]) -> Any:
    """Why InvokeModel's answer ended: Bedrock's own word of its guardrail, else the vendor's."""
    if document.get("amazon-bedrock-guardrailAction") == "INTERVENED":
        return Stop.GUARDRAIL_INTERVENED
    return document.get("stop_reason") or document.get("stopReason")


def _count(text: Any) -> int | None:
    return int(text) if isinstance(text, str) and text.isdecimal() else None
