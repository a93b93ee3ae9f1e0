"""How one answer goes over the wire: steps for the socket, and what the log calls it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from crossfade.sandbox.answer import Answer, Headers, Streamed
from crossfade.sandbox.wire import LAST_CHUNK, Close, Hang, Send, Step, Wait, chunk


class Truth(Protocol):
    """What would be answered without a fault."""

    headers: Headers
    """Request id and the like; every answer carries them."""

    def answer(self, stop_reason: str | None = None) -> Answer:
        """Ask the model. `stop_reason` overrides the answer's own."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """`status` is None if no status line goes out; `outcome` is `answered`, the error's name or the fault's kind."""

    status: int | None
    outcome: str
    steps: Iterable[Step]


def whole(answer: Answer) -> Play:
    """The answer as it is, at once."""
    steps = (Send(answer.encode()),)
    if isinstance(answer, Streamed) or answer.error is None:
        return Play(status=200, outcome="answered", steps=steps)
    return Play(status=answer.status, outcome=answer.error, steps=steps)


def in_parts(answer: Answer, parts: int) -> list[bytes]:
    """The bytes after the head, as frames or as `parts` pieces of the body."""
    if isinstance(answer, Streamed):
        return [chunk(frame) for frame in answer.frames]
    size = max(1, -(-len(answer.body) // parts))
    return [answer.body[start : start + size] for start in range(0, len(answer.body), size)]


def slowly(answer: Answer, seconds: float, parts: int) -> Iterator[Step]:
    """The answer with a wait before each frame (streams) or each part of the body."""
    yield Send(answer.head())
    for part in in_parts(answer, parts):
        yield Wait(seconds)
        yield Send(part)
    if isinstance(answer, Streamed):
        yield Send(LAST_CHUNK)


def with_pause(answer: Answer, at: int, seconds: float | None) -> Iterator[Step]:
    """A stream's first `at` frames (or half a body), then silence, for `seconds` or until the client leaves."""
    parts = in_parts(answer, 2)
    if not isinstance(answer, Streamed):
        at = 1
    yield Send(answer.head() + b"".join(parts[:at]))
    if seconds is None:
        yield Hang()
        return
    yield Wait(seconds)
    yield Send(b"".join(parts[at:]) + (LAST_CHUNK if isinstance(answer, Streamed) else b""))


def cut(answer: Streamed, frames: Iterable[bytes], *, clean: bool, rest: bytes = b"") -> Iterator[Step]:
    """These frames and `rest` instead of the answer's own, then the body's end (`clean`) or only the connection's."""
    encoded = b"".join(map(chunk, frames)) + (chunk(rest) if rest else b"")
    yield Send(answer.head() + encoded + (LAST_CHUNK if clean else b""))
    if not clean:
        yield Close()
