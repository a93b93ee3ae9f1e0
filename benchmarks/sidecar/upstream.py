"""Upstream: a server that answers as Bedrock's runtime does, with bytes made beforehand: it costs next to nothing.

The model id says how: `instant`; `late`, after `LATE`; streams as `burst`, all events at once, `paced`, one each
`PACE`, and `held`, which show their first content and then nothing more.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import uvloop

from crossfade.sidecar.frames import frame

LATE = 0.020
PACE = 0.010
PIECES = 100
TEXT = " ".join(f"{word:050d}" for word in range(20))
"""Asked and answered: 1 KB."""
_USAGE = {"usage": {"inputTokens": 400, "outputTokens": 400, "totalTokens": 800}, "metrics": {"latencyMs": 20}}
_ANSWER = {
    "output": {"message": {"role": "assistant", "content": [{"text": TEXT}]}},
    "stopReason": "end_turn",
    **_USAGE,
}
_DELTA = {"contentBlockIndex": 0, "delta": {"text": " quick brown"}, "p": "abcdefghijklmnop"}
_EVENTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("messageStart", {"role": "assistant", "p": "abcdefgh"}),
    *[("contentBlockDelta", _DELTA)] * PIECES,
    ("contentBlockStop", {"contentBlockIndex": 0, "p": "abcdefgh"}),
    ("messageStop", {"stopReason": "end_turn", "p": "abcdefgh"}),
    ("metadata", {**_USAGE, "p": "abcdefgh"}),
)
EVENTS = len(_EVENTS)
_STOP_SECONDS = 5


@contextlib.contextmanager
def upstream() -> Iterator[int]:
    """Its port, while it runs, in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_run, args=(there,), daemon=True)
    process.start()
    there.close()  # so that a process that ends before it is ready is noticed
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join(_STOP_SECONDS)


def _run(ready: Connection) -> None:
    uvloop.run(_serve(ready))


async def _serve(ready: Connection) -> None:
    server = await asyncio.get_running_loop().create_server(_Answering, "127.0.0.1", 0, backlog=1024)
    ready.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def _head(kind: str, length: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nx-amzn-requestid: {'0' * 36}\r\n{length}\r\n\r\n".encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_BODY = json.dumps(_ANSWER).encode()
_WHOLE = _head("application/json", f"content-length: {len(_BODY)}") + _BODY
_PARTS = [_chunk(frame("event", name, members).raw) for name, members in _EVENTS]
_BEGUN = _head("application/vnd.amazon.eventstream", "transfer-encoding: chunked") + _PARTS[0] + _PARTS[1]
_BURST = _BEGUN + b"".join(_PARTS[2:]) + b"0\r\n\r\n"


class _Answering(asyncio.Protocol):
    """One connection. It takes for granted that requests are whole in the end, and have a content-length."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._got = b""

    def data_received(self, data: bytes) -> None:
        self._got += data
        while (end := self._got.find(b"\r\n\r\n")) >= 0:
            head = self._got[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(self._got) < end + 4 + length:
                return
            self._got = self._got[end + 4 + length :]
            self._answer(head.split(b"/", 3)[2])

    def _answer(self, model: bytes) -> None:
        loop = asyncio.get_running_loop()
        match model:
            case b"instant":
                self._transport.write(_WHOLE)
            case b"late":
                loop.call_later(LATE, self._transport.write, _WHOLE)
            case b"burst":
                self._transport.write(_BURST)
            case b"held":
                self._transport.write(_BEGUN)
            case b"paced":
                self._transport.write(_BEGUN)
                self._pace(iter([*_PARTS[2:], b"0\r\n\r\n"]))

    def _pace(self, parts: Iterator[bytes]) -> None:
        part = next(parts, None)
        if part is not None and not self._transport.is_closing():
            asyncio.get_running_loop().call_later(PACE, self._next, part, parts)

    def _next(self, part: bytes, parts: Iterator[bytes]) -> None:
        self._transport.write(part)
        self._pace(parts)
