"""What faults do: how a good answer goes over the wire instead, or what is sent without asking the model.

The table in `kinds.py` says in words what each of these sends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from crossfade.sandbox import eventstream, wire
from crossfade.sandbox.answer import Answer, Streamed, Whole, error
from crossfade.sandbox.play import Play, Truth, cut, slowly, whole, with_pause

Params = Mapping[str, Any]
Fault = Callable[[Truth, Params], Play]
"""From what would be answered, and the fault's parameters, to what is played."""


def instead(status: int, exception: str, members: Mapping[str, object] | None = None) -> Fault:
    """A modelled error; the model is not asked."""

    def play(truth: Truth, params: Params) -> Play:
        headers = (*truth.headers, *_retry_after(params))
        return whole(error(status, exception, params["message"], headers, **(members or {})))

    return play


def bare_429(truth: Truth, params: Params) -> Play:
    """A 429 that names no error."""
    return whole(Whole(status=429, headers=(*truth.headers, *_retry_after(params)), body=b"", error="429"))


def html(truth: Truth, params: Params) -> Play:
    """What a proxy in between says."""
    status = params["status"]
    page = f"<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>".encode()
    return whole(Whole(status=status, headers=truth.headers, content_type="text/html", body=page, error=str(status)))


def reset(truth: Truth, params: Params) -> Play:
    """RST, before an answer or inside a stream."""
    answer = None if params["after_events"] is None else truth.answer()
    if not isinstance(answer, Streamed):
        return Play(status=None, outcome="reset", steps=(wire.Reset(),))
    sent = answer.head() + b"".join(map(wire.chunk, answer.frames[: params["after_events"]]))
    # A reset may overtake what was sent before it: let the events arrive first.
    return Play(status=200, outcome="reset", steps=(wire.Send(sent), wire.Wait(0.05), wire.Reset()))


def hang(_: Truth, params: Params) -> Play:
    """Silence."""
    seconds = params["seconds"]
    steps = (wire.Hang(),) if seconds is None else (wire.Wait(seconds), wire.Close())
    return Play(status=None, outcome="hang", steps=steps)


def nothing(truth: Truth, _: Params) -> Play:
    """For the kinds that work elsewhere: the board adds up latency, the listener refuses connections."""
    return whole(truth.answer())


def stop_reason(truth: Truth, params: Params) -> Play:
    """Another stop reason; that is then the outcome."""
    answer = truth.answer(params["stop_reason"])
    return _unless_refused(answer, params["stop_reason"], (wire.Send(answer.encode()),))


def damaged(outcome: str, steps: Callable[[Answer, Params], Iterable[wire.Step]]) -> Fault:
    """A good answer sent in another way. An error (say, an unknown model id) stays as it is."""

    def play(truth: Truth, params: Params) -> Play:
        answer = truth.answer()
        return _unless_refused(answer, outcome, steps(answer, params))

    return play


def damaged_stream(outcome: str, steps: Callable[[Streamed, Params], Iterable[wire.Step]]) -> Fault:
    """The same for kinds that only streams can have."""

    def play(truth: Truth, params: Params) -> Play:
        answer = truth.answer()
        return _unless_refused(answer, outcome, steps(answer, params) if isinstance(answer, Streamed) else ())

    return play


def slow_first_token(answer: Answer, params: Params) -> Iterator[wire.Step]:
    """Silence before the first token."""
    if isinstance(answer, Streamed):
        yield from with_pause(answer, answer.first_content, params["seconds"])
    else:
        yield from (wire.Wait(params["seconds"]), wire.Send(answer.encode()))


def stall(answer: Answer, params: Params) -> Iterator[wire.Step]:
    """Silence in the middle."""
    return with_pause(answer, _at(answer, params), params["seconds"])


def drip(answer: Answer, params: Params) -> Iterator[wire.Step]:
    """A little at a time."""
    return slowly(answer, params["seconds"], params["parts"])


def exception_event(answer: Streamed, params: Params) -> Iterator[wire.Step]:
    """A modelled exception inside the stream."""
    exception = eventstream.exception(params["exception"], params["message"])
    return cut(answer, (*answer.frames[: _at(answer, params)], exception), clean=True)


def bad_checksum(answer: Streamed, params: Params) -> Iterator[wire.Step]:
    """A frame that was altered on the way."""
    frames = list(answer.frames)
    at = min(_at(answer, params), len(frames) - 1)
    frames[at] = eventstream.with_bad_checksum(frames[at])
    return cut(answer, frames, clean=True)


def half_frame(answer: Streamed, params: Params) -> Iterator[wire.Step]:
    """An end inside a frame."""
    at = min(_at(answer, params), len(answer.frames) - 1)
    half = answer.frames[at][: len(answer.frames[at]) // 2]
    return cut(answer, answer.frames[:at], clean=params["clean"], rest=half)


def no_message_stop(answer: Streamed, params: Params) -> Iterator[wire.Step]:
    """An end between frames, too early."""
    return cut(answer, answer.frames[: answer.end], clean=params["clean"])


def truncated_body(answer: Answer, _: Params) -> Iterator[wire.Step]:
    """An end inside a body whose length was promised."""
    if isinstance(answer, Streamed):
        yield from half_frame(answer, {"after_events": None, "clean": False})
    else:
        yield from (wire.Send(answer.head() + answer.body[: len(answer.body) // 2]), wire.Close())


def with_body(body: bytes) -> Callable[[Answer, Params], Iterator[wire.Step]]:
    """Another body, or two events with such payloads."""

    def steps(answer: Answer, _: Params) -> Iterator[wire.Step]:
        if isinstance(answer, Streamed):
            yield from cut(answer, [eventstream.raw_event(answer.event, body)] * 2, clean=True)
        else:
            yield wire.Send(Whole(headers=answer.headers, body=body).encode())

    return steps


def _unless_refused(answer: Answer, outcome: str, steps: Iterable[wire.Step]) -> Play:
    if isinstance(answer, Whole) and answer.error is not None:
        return whole(answer)
    return Play(status=200, outcome=outcome, steps=steps)


def _retry_after(params: Params) -> Iterator[tuple[str, str]]:
    if params.get("retry_after") is not None:
        yield "Retry-After", f"{params['retry_after']:g}"
    if params.get("retry_after_ms") is not None:
        yield "x-amz-retry-after", f"{params['retry_after_ms']:g}"


def _at(answer: Answer, params: Params) -> int:
    """After how many frames to break a stream: as asked, else right after the first token."""
    asked: int | None = params["after_events"]
    if asked is not None or not isinstance(answer, Streamed):
        return asked or 0
    return answer.first_content + 1
