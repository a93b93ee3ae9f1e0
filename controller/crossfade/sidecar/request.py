"""Request: one call as its caller put it, whatever its face: Bedrock's own or OpenAI's."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from crossfade.shim.call import PINNED
from crossfade.shim.context import Said, with_metadata

VERBS = {
    "converse": "Converse",
    "converse-stream": "ConverseStream",
    "invoke": "InvokeModel",
    "invoke-with-response-stream": "InvokeModelWithResponseStream",
    "count-tokens": "CountTokens",
}
_VERB_OF = {operation: verb for verb, operation in VERBS.items()}
ASYNC_PATH = "/async-invoke"
"""StartAsyncInvoke's, which names its model in the body; with an ARN after it GetAsyncInvoke's."""
_PATH = re.compile(r"/model/(.+)/([a-z-]+)")
_GUARDRAIL_PATH = re.compile(r"/guardrail/(.+)(/version/[^/]*/apply)")
_GUARDRAIL = "x-amzn-bedrock-guardrailidentifier"
_LABEL = "x-crossfade-label-"
MOST_DEADLINE = 3600.0


class BadRequest(Exception):  # noqa: N818
    """What the caller sent cannot be meant; said back with this status."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call. `params` are as boto3 would have them, as far as rules and the busy answer look, and taken as they are
    but for StartAsyncInvoke; `headers` go upstream."""

    operation: str
    model_id: str
    body: bytes
    params: dict[str, Any]
    headers: dict[str, str]

    def body_of(self, params: dict[str, Any], model_id: str) -> bytes:
        """The body with these parameters for this model: as it came, unless something of it is another's."""
        if self.operation == PINNED:
            return json.dumps({**params, "modelId": model_id}).encode()
        if params is self.params:
            return self.body
        return bytes(params["body"]) if "body" in params else json.dumps(params).encode()


def path_of(model_id: str, operation: str) -> str:
    """The path of an operation on a model, as every AWS SDK writes it."""
    if operation == PINNED:
        return ASYNC_PATH
    return f"/model/{quote(model_id, safe='')}/{_VERB_OF[operation]}"


def read_path(path: str) -> tuple[str, str] | None:
    """Operation and model id of a decoded path; None for any other operation."""
    found = _PATH.fullmatch(path)
    operation = VERBS.get(found[2]) if found else None
    return (operation, found[1]) if found and operation else None


def read_request(path: str, body: bytes, headers: dict[str, str]) -> Request | None:
    """The request of a POST to this decoded path; None for an operation that is never routed."""
    found = (PINNED, "") if path == ASYNC_PATH else read_path(path)
    if found is None:
        return None
    operation, model_id = found
    params = read_params(operation, body)
    if operation == PINNED:
        model_id = str(params.get("modelId") or "")
    elif operation.startswith("InvokeModel") and (guardrail := headers.get(_GUARDRAIL)):
        params["guardrailIdentifier"] = guardrail
    return Request(operation=operation, model_id=model_id, body=body, params=params, headers=headers)


def raw_path(path: str) -> str:
    """A decoded path as the AWS SDKs write it: an id is one segment, whatever is in it."""
    found = _PATH.fullmatch(path)
    if found:
        return f"/model/{quote(found[1], safe='')}/{found[2]}"
    if applied := _GUARDRAIL_PATH.fullmatch(path):
        return f"/guardrail/{quote(applied[1], safe='')}{applied[2]}"
    if path.startswith(f"{ASYNC_PATH}/"):
        return f"{ASYNC_PATH}/{quote(path.removeprefix(f'{ASYNC_PATH}/'), safe='')}"
    return quote(path, safe="/-_.~:")


def upstream_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """What of a caller's headers is for Bedrock. Signature, framing and everything unknown stay behind."""
    return {
        name: value
        for name, value in headers
        if name in ("accept", "content-type") or name.startswith(("x-amzn-bedrock-", "x-amzn-trace"))
    }


def read_params(operation: str, body: bytes) -> dict[str, Any]:
    """The parameters in a body. One that cannot be read has none: Bedrock will say what is wrong with it."""
    if operation.startswith("InvokeModel"):
        return {"body": body}
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(document, dict):
        return {}
    if operation == "CountTokens":
        asked = document.get("input")
        invoke = asked.get("invokeModel") if isinstance(asked, dict) else None
        if isinstance(invoke, dict) and isinstance(invoke.get("body"), str):
            try:
                invoke["body"] = base64.b64decode(invoke["body"], validate=True)
            except ValueError:
                invoke["body"] = b""
    return document


def read_said(headers: Iterable[tuple[str, str]], metadata: object) -> Said:
    """Who a call is for: from the headers, and where they are silent from `requestMetadata`. Raises `BadRequest`."""
    given = {name: value for name, value in headers if name.startswith("x-crossfade-")}
    said = Said(
        key=given.get("x-crossfade-key"),
        conversation=given.get("x-crossfade-conversation"),
        tier=given.get("x-crossfade-tier"),
        labels={name.removeprefix(_LABEL): value for name, value in given.items() if name.startswith(_LABEL)},
        deadline=_deadline(given.get("x-crossfade-deadline")),
    )
    return with_metadata(said, metadata)


def _deadline(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= MOST_DEADLINE:
        raise BadRequest(
            f"x-crossfade-deadline is {text[:40]!r}; it must be seconds above 0, at most {MOST_DEADLINE:g}"
        )
    return seconds
