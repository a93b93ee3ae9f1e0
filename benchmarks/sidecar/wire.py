"""Wire: connections that ask one request again and again, its bytes made beforehand: they cost next to nothing."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_WINDOW = 2**31 - 1
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_STATUS_200 = 0x88  # HPACK's static table


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A POST. Every answer must be 200 and have `expects` in it; `headers` are without host and content-length."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    expects: bytes


class Http1(asyncio.Protocol):
    """A connection of HTTP/1.1: one call at a time."""

    def __init__(self, request: Request, port: int) -> None:
        told = {"host": f"127.0.0.1:{port}", **request.headers, "content-length": str(len(request.body))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        self._sent = f"POST {request.path} HTTP/1.1\r\n{lines}\r\n".encode() + request.body
        self._expects = request.expects
        self._answered: asyncio.Future[None] | None = None
        self._got, self._whole = b"", 0

    @property
    def begun(self) -> bool:
        """Whether the answer's head is there."""
        return self._whole != 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, _error: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(ConnectionError("a connection was closed before its answer was there"))

    async def ask(self) -> None:
        self._got, self._whole = b"", 0
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(self._sent)
        await self._answered

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._got += data
        if not self._whole and (end := self._got.find(b"\r\n\r\n")) >= 0:
            length = self._got[:end].lower().partition(b"\ncontent-length:")[2].partition(b"\r\n")[0]
            self._whole = end + 4 + int(length) if length else -1
        if self._whole > 0:
            there = len(self._got) >= self._whole
        else:
            there = self._whole < 0 and self._got.endswith(b"\r\n0\r\n\r\n")
        if there and self._answered is not None:
            if self._got.startswith(b"HTTP/1.1 200 ") and self._expects in self._got:
                self._answered.set_result(None)
            else:
                self._answered.set_exception(AssertionError(f"not as expected: {self._got[:2000]!r}"))


class Http2(asyncio.Protocol):
    """A connection of HTTP/2 without TLS: many calls at a time."""

    def __init__(self, request: Request, port: int) -> None:
        told = {
            ":method": "POST",
            ":scheme": "http",
            ":authority": f"127.0.0.1:{port}",
            ":path": request.path,
            **request.headers,
            "content-length": str(len(request.body)),
        }
        block = b"".join(b"\x00" + _string(name) + _string(value) for name, value in told.items())
        self._block, self._body, self._expects = block, request.body, request.expects
        self._asked: dict[int, tuple[asyncio.Future[None], list[bytes]]] = {}
        self._last = -1
        self._got = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        # No table of headers, so that a status is always written the same way; windows that never close.
        settings = struct.pack("!HIHI", 1, 0, 4, _WINDOW)
        transport.write(
            _PREFACE
            + _frame(_SETTINGS, 0, 0, settings)
            + _frame(_WINDOW_UPDATE, 0, 0, struct.pack("!I", _WINDOW - 65535))
        )

    def connection_lost(self, _error: Exception | None) -> None:
        for answered, _ in self._asked.values():
            answered.set_exception(ConnectionError("a connection was closed before its answer was there"))
        self._asked.clear()

    async def ask(self) -> None:
        self._last += 2
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked[self._last] = (answered, [])
        self._transport.write(
            _frame(_HEADERS, _END_HEADERS, self._last, self._block) + _frame(_DATA, _END_STREAM, self._last, self._body)
        )
        await answered

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._got += data
        at = 0
        while len(self._got) - at >= 9:
            length = int.from_bytes(self._got[at : at + 3], "big")
            if len(self._got) - at < 9 + length:
                break
            kind, flags, stream = struct.unpack_from("!BBI", self._got, at + 3)
            self._take(kind, flags, stream, self._got[at + 9 : at + 9 + length])
            at += 9 + length
        self._got = self._got[at:]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind in (_SETTINGS, _PING) and not flags & _ACK:
            self._transport.write(_frame(kind, _ACK, 0, payload if kind == _PING else b""))
        elif kind == _GOAWAY:
            self._transport.close()
        elif kind in (_DATA, _HEADERS, _RESET) and stream in self._asked:
            answered, parts = self._asked[stream]
            parts.append(payload)
            if kind == _RESET or flags & _END_STREAM:
                del self._asked[stream]
                if kind != _RESET and _STATUS_200 in parts[0][:4] and self._expects in b"".join(parts):
                    answered.set_result(None)
                else:
                    answered.set_exception(AssertionError(f"not as expected: {b''.join(parts)[:2000]!r}"))


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack("!BBI", kind, flags, stream) + payload


def _string(text: str) -> bytes:
    """As HPACK writes it, without Huffman's code."""
    data, size = text.encode(), len(text)
    if size < 127:
        return bytes((size,)) + data
    prefix, rest = bytearray([127]), size - 127
    while rest >= 128:
        prefix.append(rest % 128 + 128)
        rest //= 128
    prefix.append(rest)
    return bytes(prefix) + data
