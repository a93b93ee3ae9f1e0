"""HTTP/1.1 on a socket we fully control: what comes in is a Request, what goes out is a list of steps.

An answer is not a body but a script of sends, waits and breaks, so that a fault can do to the socket
whatever a network does. Scripts are played from the event loop's callbacks, without a task a call: the
sandbox shares two cores with everything it is tested with.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import httptools

MAX_BODY = 25 * 1024 * 1024  # Bedrock's own limit for one request
_LINGER_OFF = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Send:
    """These bytes, now."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """Silence for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Close:
    """An orderly end of the connection (FIN) after what was sent."""


@dataclass(frozen=True, slots=True)
class Reset:
    """A connection reset (RST)."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Silence until the client leaves."""


@dataclass(frozen=True, slots=True)
class Until:
    """Silence until this future is done, however it ends."""

    future: asyncio.Future[None]


Step = Send | Wait | Close | Reset | Hang | Until


@dataclass(frozen=True, slots=True)
class Request:
    """One whole HTTP request. `target` is the path and query as sent; header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Exchange:
    """What to do with one request. `ended` is called once: True if played to the end, False if the client left."""

    steps: Iterable[Step]
    ended: Callable[[bool], None]


Handler = Callable[[Request], Exchange]


@dataclass(slots=True)
class _Incoming:
    target: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


class Connection(asyncio.Protocol):
    """One keep-alive connection. Requests on it are answered one after the other, in order."""

    def __init__(self, handler: Handler, connections: set[Connection]) -> None:
        self._handler = handler
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._incoming = _Incoming()
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._current: Exchange | None = None
        self._steps: Iterator[Step] = iter(())
        self._keep_alive = True
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport  # asyncio has set TCP_NODELAY on it
        self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            # A mistake of ours in answering: say so loudly, and to the client as a 500.
            asyncio.get_running_loop().call_exception_handler(
                {"message": "the sandbox failed to answer a request", "exception": error.__context__ or error}
            )
            self._refuse(500, "the sandbox failed; see its standard error")
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._refuse(400, str(error))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._connections.discard(self)
        self._finish(played=False)
        self._waiting.clear()

    # httptools

    def on_message_begin(self) -> None:
        self._incoming = _Incoming()

    def on_url(self, url: bytes) -> None:
        self._incoming.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._incoming.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._incoming.headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._incoming.body += body
        if len(self._incoming.body) > MAX_BODY:
            self._refuse(413, f"the body is over {MAX_BODY} bytes")

    def on_message_complete(self) -> None:
        incoming = self._incoming
        request = Request(
            self._parser.get_method().decode(),
            incoming.target.decode("latin-1"),
            incoming.headers,
            bytes(incoming.body),
        )
        self._waiting.append((request, self._parser.should_keep_alive()))
        if self._current is None:
            self._next()

    # playing

    def abort(self) -> None:
        """Reset the connection now, whatever it is doing."""
        raw = self._transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_OFF)
        self._transport.abort()

    def _refuse(self, status: int, detail: str) -> None:
        if not self._transport.is_closing():
            text = detail.encode("latin-1", "replace")
            self._transport.write(response(status, text, "text/plain", close=True))
            self._transport.close()

    def _next(self) -> None:
        while self._current is None and self._waiting and not self._transport.is_closing():
            request, self._keep_alive = self._waiting.popleft()
            self._current = self._handler(request)
            self._steps = iter(self._current.steps)
            self._play()

    def _play(self) -> None:
        self._timer = None
        for step in self._steps:
            match step:
                case Send(data):
                    self._transport.write(data)
                case Wait(seconds):
                    self._timer = asyncio.get_running_loop().call_later(seconds, self._resume)
                    return
                case Until(future):
                    future.add_done_callback(lambda _: self._resume())
                    return
                case Hang():
                    return
                case Reset():
                    self.abort()
                    break
                case Close():
                    self._transport.close()
                    break
        if not self._keep_alive:
            self._transport.close()
        self._finish(played=True)

    def _resume(self) -> None:
        if self._current is not None:  # the client may have left while an Until was waiting
            self._play()
            self._next()

    def _finish(self, *, played: bool) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._current is not None:
            exchange, self._current = self._current, None
            exchange.ended(played)


_PHRASES = {
    200: "OK", 201: "Created", 204: "No Content", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 408: "Request Timeout", 409: "Conflict", 413: "Content Too Large",
    415: "Unsupported Media Type", 422: "Unprocessable Content", 424: "Failed Dependency",
    429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Gateway Timeout",
}  # fmt: skip


def head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """Status line and header block, with the empty line."""
    lines = [f"HTTP/1.1 {status} {_PHRASES.get(status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def response(
    status: int,
    body: bytes,
    content_type: str = "application/json",
    headers: Iterable[tuple[str, str]] = (),
    *,
    close: bool = False,
) -> bytes:
    """A whole response with its length."""
    fields = [("Content-Type", content_type), ("Content-Length", str(len(body))), *headers]
    if close:
        fields.append(("Connection", "close"))
    return head(status, fields) + body


LAST_CHUNK = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)
