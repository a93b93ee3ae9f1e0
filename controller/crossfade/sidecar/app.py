"""App: what comes in at the port, and what goes out: limits, callers, faces. Speaks RSGI, granian's protocol."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from granian.rsgi import HTTPProtocol, ProtocolClosed, Scope  # type: ignore[attr-defined]

from crossfade.core.model import region_of
from crossfade.core.snapshot import Snapshot
from crossfade.shim.board import Board
from crossfade.shim.call import Call
from crossfade.shim.client import open_call
from crossfade.shim.context import Said
from crossfade.shim.course import Ask, Busy
from crossfade.shim.following import endpoint_of
from crossfade.shim.recorder import Recorder
from crossfade.sidecar import bedrock, chat, openai
from crossfade.sidecar.callers import Asked, Callers, signed_region
from crossfade.sidecar.copies import Copies
from crossfade.sidecar.drive import Abandoned, Ending, Stream, Untouched, Whole, drive, error_answer
from crossfade.sidecar.passage import pass_on
from crossfade.sidecar.presence import Presence
from crossfade.sidecar.request import (
    ASYNC_PATH,
    BadRequest,
    Request,
    raw_path,
    read_request,
    read_said,
    upstream_headers,
)
from crossfade.sidecar.upstream import Upstream

log = logging.getLogger("crossfade")

MOST_BODY = 25 * 1024 * 1024
"""Bytes of one request: Bedrock's own limit."""
_MOST_EMPTY = {"2": 2}
"""Empty parts at the end of a body that is whole, by version of HTTP, else 1. granian tells in no other way that one
broke off, or is badly chunked: then more of them come, over HTTP/2 without end."""
_ABOUT = b"""This is Crossfade's sidecar. It speaks Amazon Bedrock's wire protocol, and OpenAI's chat completions:

    AWS_ENDPOINT_URL_BEDROCK_RUNTIME=http://HOST:PORT    for the AWS SDKs
    OPENAI_BASE_URL=http://HOST:PORT/v1                  for the OpenAI SDKs

GET /healthz      whether it runs
GET /readyz       whether it has its routes
GET /metrics      counts for Prometheus
GET /v1/models    the routes

More: docs/sidecar.md of Crossfade.
"""


class Source(Protocol):
    """Where snapshots come from, and what is counted goes to."""

    board: Board
    recorder: Recorder

    @property
    def snapshot(self) -> Snapshot | None: ...

    def metrics(self) -> str:
        """All workers' counts, as Prometheus reads them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`body` in bytes; `body_seconds` is how long a caller may take to send one."""

    body: int = MOST_BODY
    body_seconds: float = 30.0


class App:
    """One for a process. granian calls it once a request."""

    def __init__(self, source: Source, upstream: Upstream, callers: Callers, limits: Limits) -> None:
        self._source = source
        self._upstream = upstream
        self._callers = callers
        self._limits = limits
        self.copies = Copies(source.recorder, upstream)

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        try:
            await self._serve(scope, protocol)
        except (ProtocolClosed, Abandoned):
            log.debug("a caller hung up", extra={"action": "caller_left"})
        except BadRequest as refused:
            _send(protocol, _refused(scope.path, refused))
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("the sidecar failed to answer a request", extra={"action": "sidecar_fault"})
            _send(protocol, _refused(scope.path, BadRequest("the sidecar failed; see its log", 500)))

    async def _serve(self, scope: Scope, protocol: HTTPProtocol) -> None:
        if scope.proto != "http":
            raise BadRequest("only HTTP is spoken here", 426)
        if not scope.path.startswith("/"):  # it is written after the name of Bedrock's host
            raise BadRequest("the path must begin with a slash")
        if scope.method == "GET" and scope.path in ("/", "/healthz", "/readyz"):
            _send(protocol, self._told(scope.path))
            return
        asked = _asked(scope)
        signed = self._callers.admit(asked)
        body = await self._body(asked, protocol, _MOST_EMPTY.get(scope.http_version, 1))
        if signed is not None:
            self._callers.verify(asked, signed, body)
        if scope.method == "GET" and scope.path == "/metrics":
            headers = [("content-type", "text/plain; version=0.0.4; charset=utf-8")]
            _send(protocol, Whole(200, headers, self._source.metrics().encode()))
        elif scope.path.startswith("/v1/"):
            await self._openai(asked, body, protocol)
        else:
            await self._bedrock(asked, body, protocol)

    def _told(self, path: str) -> Whole:
        """What anybody may know."""
        if path == "/":
            return Whole(200, [("content-type", "text/plain")], _ABOUT)
        if path == "/readyz" and self._source.snapshot is None:
            return Whole(503, [("content-type", "text/plain")], b"no snapshot yet: calls go to Bedrock as they are\n")
        return Whole(200, [("content-type", "text/plain")], b"ok\n")

    async def _body(self, asked: Asked, protocol: HTTPProtocol, most_empty: int) -> bytes:
        length = asked.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._limits.body:
            raise BadRequest(f"the body is over {self._limits.body} bytes", 413)
        if asked.method in ("GET", "HEAD") or length == "0":
            return b""
        parts, size = [], 0
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                if length.isdecimal():  # bounded already
                    return bytes(await protocol())
                empty = 0
                async for part in protocol:
                    parts.append(part)
                    size += len(part)
                    if size > self._limits.body:
                        raise BadRequest(f"the body is over {self._limits.body} bytes", 413)
                    empty = 0 if part else empty + 1
                    if empty > most_empty:
                        raise BadRequest("the body broke off, or is not chunked as it should be")
        except TimeoutError:
            raise BadRequest(f"the body was not there after {self._limits.body_seconds:g} s", 408) from None
        return b"".join(parts)

    # Bedrock's face

    async def _bedrock(self, asked: Asked, body: bytes, protocol: HTTPProtocol) -> None:
        headers = upstream_headers(asked.headers.items())
        request = read_request(asked.path, body, headers) if asked.method == "POST" else None
        if request is not None:
            said = read_said(asked.headers.items(), request.params.get("requestMetadata"))
            call = self._route(request, said, asked)
            if call is not None:
                try:
                    ending, ask = await self._drive(call, request, protocol)
                except Untouched:
                    pass
                else:
                    await self._answer(call, ending, ask, protocol)
                    return
        await self._pass_on(asked, body, headers, protocol)

    async def _answer(self, call: Call, ending: Ending, ask: Ask | None, protocol: HTTPProtocol) -> None:
        whole = bedrock.whole(call, ending, ask)
        if whole is not None:
            _send(protocol, whole)
            return
        assert isinstance(ending, Stream | Busy)
        await _stream(protocol, bedrock.stream_headers(call, ending), bedrock.streamed(call, ending))

    async def _pass_on(self, asked: Asked, body: bytes, headers: dict[str, str], protocol: HTTPProtocol) -> None:
        region, url = self._home(asked), None
        if asked.path.startswith(f"{ASYNC_PATH}/"):  # what was started in a region is there
            region = region_of(asked.path.removeprefix(f"{ASYNC_PATH}/")) or region
            snapshot = self._source.snapshot
            url = endpoint_of(snapshot, region) if snapshot and region != self._home(asked) else None
        url = url or self._upstream.endpoint(region)
        path = raw_path(asked.path)
        trouble = self._source.board.trouble
        head, frames = await pass_on(
            self._upstream, trouble, asked.method, url, path, asked.query, headers, body, region
        )
        if frames is None:
            _send(protocol, head)
        else:
            await _stream(protocol, head.headers, frames)

    def _home(self, asked: Asked) -> str:
        """Where a call would have gone without the sidecar."""
        return signed_region(asked.headers) or self._upstream.identity.region

    async def _drive(self, call: Call, request: Request, protocol: HTTPProtocol) -> tuple[Ending, Ask | None]:
        caller = Presence(protocol)
        try:
            return await drive(call, request, self._upstream, caller.left)
        finally:
            caller.close()

    def _route(self, request: Request, said: Said, asked: Asked) -> Call | None:
        """The call, or None if it is none of any route's."""
        snapshot, source = self._source.snapshot, self._source
        entry = snapshot.entries.get(request.model_id) if snapshot else None
        if snapshot is None or entry is None:
            return None
        try:
            home = self._home(asked)
            with source.recorder.telemetry.within(asked.headers):
                call = open_call(
                    snapshot, entry, request.operation, request.params, said, source.board, source.recorder, home
                )
        except Exception:
            log.warning("Crossfade could not route a call", exc_info=True, extra={"action": "left_to_bedrock"})
            return None
        self.copies.choose_from(call, request)
        return call

    # OpenAI's face

    async def _openai(self, asked: Asked, body: bytes, protocol: HTTPProtocol) -> None:
        if (asked.method, asked.path) == ("GET", "/v1/models"):
            snapshot = self._source.snapshot
            _send(protocol, chat.models(sorted(snapshot.entries) if snapshot else []))
            return
        if (asked.method, asked.path) != ("POST", "/v1/chat/completions"):
            raise BadRequest("known are POST /v1/chat/completions and GET /v1/models", 404)
        question = chat.read(body)
        request = question.request
        call = self._route(request, read_said(asked.headers.items(), question.metadata), asked)
        if call is None:
            raise self._unrouted(request.model_id)
        try:
            ending, ask = await self._drive(call, request, protocol)
        except Untouched:
            raise self._unrouted(request.model_id) from None
        whole = bedrock.whole(call, ending, ask)
        if whole is not None:
            _send(protocol, chat.whole(whole, call, request.model_id))
            return
        assert isinstance(ending, Stream | Busy)
        await _stream(protocol, chat.stream_headers(call, ending), chat.streamed(call, ending, question))

    def _unrouted(self, name: str) -> BadRequest:
        """Why a completion that is no call of a route's has no answer: there is nowhere to pass it on to."""
        snapshot = self._source.snapshot
        if snapshot is None:
            return BadRequest("no snapshot yet: the routes are not known; try again", 503)
        if name in snapshot.entries:
            return BadRequest("the sidecar failed before it asked anybody; see its log", 500)
        return BadRequest(f"no route is named {name!r}; GET /v1/models lists them", 404)


def _asked(scope: Scope) -> Asked:
    headers: dict[str, str] = {}
    for name, value in scope.headers.items():
        if name in headers:
            if name in ("host", "authorization", "content-length", "x-amz-date", "x-crossfade-token"):
                raise BadRequest(f"the header {name} is there twice")
            value = f"{headers[name]},{value}"
        headers[name] = value
    if scope.authority:  # HTTP/2; some SDKs sign it under its own name, some as the host
        headers[":authority"] = scope.authority
        headers.setdefault("host", scope.authority)
    return Asked(scope.method, scope.path, scope.query_string, headers)


def _refused(path: str, refused: BadRequest) -> Whole:
    if path.startswith("/v1/"):
        body = openai.error(refused.status, str(refused))
        return Whole(refused.status, [("content-type", "application/json")], body)
    return error_answer(refused.status, _CODES.get(refused.status, "ValidationException"), str(refused))


_CODES = {
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    500: "InternalServerException",
}


def _send(protocol: HTTPProtocol, whole: Whole) -> None:
    protocol.response_bytes(whole.status, whole.headers, whole.body)


async def _stream(protocol: HTTPProtocol, headers: list[tuple[str, str]], parts: Any) -> None:
    async with aclosing(parts):
        # The first part first: a generator that was never begun is not ended either, and its call never recorded.
        part = await anext(parts, None)
        transport = protocol.response_stream(200, headers)
        while part is not None:
            await transport.send_bytes(part)
            part = await anext(parts, None)
