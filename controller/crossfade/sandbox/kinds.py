"""Every kind of fault, in one table: which operations it applies to and what goes over the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crossfade.sandbox import eventstream, wire
from crossfade.sandbox.answer import Streamed, Whole, error
from crossfade.sandbox.play import Play, Truth, cut, is_good, slowly, whole, with_pause

Params = Mapping[str, Any]

STREAMS = frozenset({"ConverseStream", "InvokeModelWithResponseStream"})
CONVERSES = frozenset({"Converse", "ConverseStream"})
RUNTIME = STREAMS | {"Converse", "InvokeModel", "CountTokens"}
CONTROL = frozenset({"GetFoundationModel", "GetInferenceProfile", "ListFoundationModels"})
EVERY = RUNTIME | CONTROL


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """A setting of a fault: a number within [low, high] (`whole`: integer), a text, a flag, or one of `choices`.

    None is allowed where it is the default.
    """

    name: str
    type: str
    default: object
    low: float = 0
    high: float = 3600
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of fault. `play` turns the true answer into what is sent; `wire` says the same in words."""

    name: str
    operations: frozenset[str]
    wire: str
    params: tuple[Param, ...] = ()
    play: Callable[[Truth, Params], Play]


def _message(text: str) -> Param:
    return Param(name="message", type="text", default=text)


def _seconds(default: float | None, name: str = "seconds") -> Param:
    return Param(name=name, type="number", default=default)


def _after(default: int | None = None) -> Param:
    return Param(name="after_events", type="integer", default=default, high=1000)


def _clean(default: bool) -> Param:
    return Param(name="clean", type="flag", default=default)


_RETRY_AFTER = (_seconds(None, "retry_after"), _seconds(None, "retry_after_ms"))


def _error_kind(
    name: str, status: int, exception: str, message: str, *, params: tuple[Param, ...] = (), more: str = "",
    operations: frozenset[str] = EVERY, members: Mapping[str, object] | None = None,
) -> Kind:  # fmt: skip
    def play(truth: Truth, chosen: Params) -> Play:
        headers: list[tuple[str, str]] = []
        if chosen.get("retry_after") is not None:
            headers.append(("Retry-After", f"{chosen['retry_after']:g}"))
        if chosen.get("retry_after_ms") is not None:
            headers.append(("x-amz-retry-after", f"{chosen['retry_after_ms']:g}"))
        answer = error(status, exception, chosen["message"], (*truth.headers, *headers), **(members or {}))
        return whole(answer)

    return Kind(
        name=name, operations=operations, wire=f"{status} {exception}{more}",
        params=(_message(message), *params), play=play,
    )  # fmt: skip


def _bare_429(truth: Truth, params: Params) -> Play:
    headers = truth.headers
    if params["retry_after"] is not None:
        headers += (("Retry-After", f"{params['retry_after']:g}"),)
    return whole(Whole(status=429, headers=headers, body=b"", error="429"))


def _html_502(truth: Truth, params: Params) -> Play:
    status = params["status"]
    page = f"<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>".encode()
    answer = Whole(status=status, headers=truth.headers, content_type="text/html", body=page, error=str(status))
    return whole(answer)


def _reset(truth: Truth, params: Params) -> Play:
    after = params["after_events"]
    if after is None:
        return Play(status=None, outcome="reset", steps=(wire.Reset(),))
    answer = truth.answer()
    if not isinstance(answer, Streamed):
        return Play(status=None, outcome="reset", steps=(wire.Reset(),))

    def steps() -> Iterator[wire.Step]:
        yield wire.Send(answer.head() + b"".join(map(wire.chunk, answer.frames[:after])))
        yield wire.Wait(0.05)  # a reset may overtake what was sent; let the events arrive first
        yield wire.Reset()

    return Play(status=200, outcome="reset", steps=steps())


def _hang(_: Truth, params: Params) -> Play:
    seconds = params["seconds"]
    if seconds is None:
        return Play(status=None, outcome="hang", steps=(wire.Hang(),))
    return Play(status=None, outcome="hang", steps=(wire.Wait(seconds), wire.Close()))


def _latency(truth: Truth, _: Params) -> Play:
    return whole(truth.answer())  # the board adds up the waits, so that latency goes with any other kind


def _slow_first_token(truth: Truth, params: Params) -> Play:
    answer = truth.answer()
    if not is_good(answer):
        return whole(answer)
    if isinstance(answer, Streamed):
        steps = with_pause(answer, answer.first_content, params["seconds"])
    else:
        steps = iter((wire.Wait(params["seconds"]), wire.Send(answer.encode())))
    return Play(status=200, outcome="answered", steps=steps)


def _stall(truth: Truth, params: Params) -> Play:
    answer = truth.answer()
    if not is_good(answer):
        return whole(answer)
    return Play(status=200, outcome="answered", steps=with_pause(answer, _at(answer, params), params["seconds"]))


def _drip(truth: Truth, params: Params) -> Play:
    answer = truth.answer()
    if not is_good(answer):
        return whole(answer)
    return Play(status=200, outcome="answered", steps=slowly(answer, params["seconds"], params["parts"]))


def _at(answer: object, params: Params) -> int:
    """Where in a stream to break: as asked, else right after the first token."""
    after: int | None = params["after_events"]
    if after is not None:
        return after
    return answer.first_content + 1 if isinstance(answer, Streamed) else 0


def _of_stream(
    outcome: str, damage: Callable[[Streamed, Params], Iterator[wire.Step]]
) -> Callable[[Truth, Params], Play]:
    """A fault of streams only: what is not a stream (the request was refused) passes."""

    def play(truth: Truth, params: Params) -> Play:
        answer = truth.answer()
        if not isinstance(answer, Streamed):
            return whole(answer)
        return Play(status=200, outcome=outcome, steps=damage(answer, params))

    return play


def _exception_event(answer: Streamed, params: Params) -> Iterator[wire.Step]:
    frames = [
        *answer.frames[: _at(answer, params)],
        eventstream.exception(params["exception"], params["message"]),
    ]
    return cut(answer, frames, clean=True)


def _bad_checksum(answer: Streamed, params: Params) -> Iterator[wire.Step]:
    frames = list(answer.frames)
    at = min(_at(answer, params), len(frames) - 1)
    frames[at] = eventstream.with_bad_checksum(frames[at])
    return cut(answer, frames, clean=True)


def _half_frame(answer: Streamed, params: Params) -> Iterator[wire.Step]:
    at = min(_at(answer, params), len(answer.frames) - 1)
    half = answer.frames[at][: len(answer.frames[at]) // 2]
    return cut(answer, answer.frames[:at], clean=params["clean"], rest=half)


def _no_message_stop(answer: Streamed, params: Params) -> Iterator[wire.Step]:
    return cut(answer, answer.frames[: answer.end], clean=params["clean"])


def _truncated_body(truth: Truth, _: Params) -> Play:
    answer = truth.answer()
    if not is_good(answer):
        return whole(answer)
    if isinstance(answer, Streamed):
        steps = _half_frame(answer, {"after_events": None, "clean": False})
    else:
        half = answer.body[: len(answer.body) // 2]
        steps = iter((wire.Send(answer.head() + half), wire.Close()))
    return Play(status=200, outcome="truncated_body", steps=steps)


def _with_body(outcome: str, body: bytes) -> Callable[[Truth, Params], Play]:
    """A 200 whose body, or every event's payload, is `body`."""

    def play(truth: Truth, _: Params) -> Play:
        answer = truth.answer()
        if not is_good(answer):
            return whole(answer)
        if isinstance(answer, Streamed):
            event = answer.event
            frames = [eventstream.raw_event(event, body)] * 2
            return Play(status=200, outcome=outcome, steps=cut(answer, frames, clean=True))
        broken = Whole(headers=answer.headers, body=body)
        return Play(status=200, outcome=outcome, steps=(wire.Send(broken.encode()),))

    return play


def _stop_reason(truth: Truth, params: Params) -> Play:
    answer = truth.answer(params["stop_reason"])
    played = whole(answer)
    return Play(status=played.status, outcome=params["stop_reason"], steps=played.steps) if is_good(answer) else played


def _never(truth: Truth, _: Params) -> Play:
    return whole(truth.answer())  # the region's listener does it; a call that still arrives is answered


_MALFORMED = ("malformed_model_output", "malformed_tool_use")
_STOP_REASONS = (
    "max_tokens", "content_filtered", "guardrail_intervened", "stop_sequence", "tool_use",
    "model_context_window_exceeded",
)  # fmt: skip
_EXCEPTIONS = (
    "throttlingException", "internalServerException", "modelStreamErrorException", "validationException",
    "serviceUnavailableException", "modelTimeoutException",
)  # fmt: skip

_ALL = (
    _error_kind("throttle", 429, "ThrottlingException", "Too many requests, please wait before trying again.",
                params=_RETRY_AFTER, more="; with Retry-After (s) and x-amz-retry-after (ms) if asked"),
    Kind(name="bare_429", operations=EVERY, params=(_seconds(None, "retry_after"),), play=_bare_429,
         wire="429 without a body or an error name"),
    _error_kind("unavailable", 503, "ServiceUnavailableException",
                "The service is temporarily unable to handle the request.", params=_RETRY_AFTER),
    _error_kind("internal", 500, "InternalServerException",
                "The system encountered an unexpected error during processing. Try your request again."),
    _error_kind("model_timeout", 408, "ModelTimeoutException", "Model has timed out in processing the request.",
                operations=RUNTIME),
    _error_kind("model_error", 424, "ModelErrorException",
                "The system encountered an unexpected error during processing. Try your request again.",
                operations=RUNTIME, members={"originalStatusCode": 500, "resourceName": "sandbox"}),
    _error_kind("not_ready", 429, "ModelNotReadyException",
                "Model is not ready for inference. Wait and try your request again.", operations=RUNTIME),
    _error_kind("validation", 400, "ValidationException",
                "Malformed input request, please reformat your input and try again."),
    _error_kind("quota", 400, "ServiceQuotaExceededException",
                "Your request exceeds the service quota for your account.", operations=RUNTIME),
    _error_kind("access_denied", 403, "AccessDeniedException",
                "You don't have access to the model with the specified model ID."),
    _error_kind("not_found", 404, "ResourceNotFoundException",
                "The specified resource ARN was not found. Check the ARN and try your request again."),
    _error_kind("expired_token", 403, "ExpiredTokenException",
                "The security token included in the request is expired"),
    _error_kind("bad_signature", 403, "InvalidSignatureException",
                "The request signature we calculated does not match the signature you provided."),
    Kind(name="html_502", operations=EVERY, play=_html_502, wire="502 (or 504: `status`) with an HTML page",
         params=(Param(name="status", type="integer", default=502, low=500, high=599),)),
    Kind(name="reset", operations=EVERY, params=(_after(),), play=_reset,
         wire="RST instead of an answer; with `after_events`, streams: after so many events"),
    Kind(name="hang", operations=EVERY, params=(_seconds(None),), play=_hang,
         wire="silence until the client leaves; with `seconds`: then FIN"),
    Kind(name="latency", operations=EVERY, params=(_seconds(1), _seconds(0, "jitter")), play=_latency,
         wire="silence for `seconds` plus up to `jitter` more, then whatever else would be sent; adds to other faults"),
    Kind(name="slow_first_token", operations=RUNTIME, params=(_seconds(5),), play=_slow_first_token,
         wire="streams: head and opening events at once, `seconds` of silence, the rest; others: like latency"),
    Kind(name="stall", operations=RUNTIME, params=(_seconds(None), _after()), play=_stall,
         wire="streams: events up to `after_events` (default: the first token), others: half a body; then silence"
              " until the client leaves, or for `seconds` and then the rest"),
    Kind(name="drip", operations=RUNTIME,
         params=(_seconds(0.4), Param(name="parts", type="integer", default=10, low=1, high=1000)), play=_drip,
         wire="streams: each event after `seconds` of silence; others: the body in `parts`, each after `seconds`"),
    Kind(name="exception_event", operations=STREAMS, play=_of_stream("exception_event", _exception_event),
         params=(Param(name="exception", type="choice", default="modelStreamErrorException", choices=_EXCEPTIONS),
                 _message("The model failed while it was answering."), _after()),
         wire="events up to `after_events` (default: the first token; 0: none), then the modelled `exception`"),
    Kind(name="bad_checksum", operations=STREAMS, params=(_after(),), play=_of_stream("bad_checksum", _bad_checksum),
         wire="the whole stream; the frame after `after_events` (default: the first token) has a wrong CRC"),
    Kind(name="half_frame", operations=STREAMS, params=(_after(), _clean(True)),
         play=_of_stream("half_frame", _half_frame),
         wire="events up to `after_events` (default: the first token), half of the next, then a clean end of the"
              " body; `clean` false: FIN instead"),
    Kind(name="no_message_stop", operations=STREAMS, params=(_clean(True),),
         play=_of_stream("no_message_stop", _no_message_stop),
         wire="the stream up to messageStop (message_stop), then a clean end of the body; `clean` false: FIN instead"),
    Kind(name="truncated_body", operations=RUNTIME, play=_truncated_body,
         wire="200 with the full Content-Length, half the body, FIN; streams: FIN in the frame after the first token"),
    Kind(name="malformed_body", operations=RUNTIME, play=_with_body("malformed_body", b'{"output": {"mess'),
         wire="200 with a whole body that is not valid JSON; streams: two events with such payloads, then a clean end"),
    Kind(name="missing_members", operations=RUNTIME, play=_with_body("missing_members", b"{}"),
         wire="200 with the body {}; streams: two events with such payloads, then a clean end"),
    Kind(name="malformed_output", operations=CONVERSES, play=_stop_reason,
         params=(Param(name="stop_reason", type="choice", default=_MALFORMED[0], choices=_MALFORMED),),
         wire="the answer with the stopReason malformed_model_output or malformed_tool_use"),
    Kind(name="stop_reason", operations=RUNTIME - {"CountTokens"}, play=_stop_reason,
         params=(Param(name="stop_reason", type="choice", default=_STOP_REASONS[0], choices=_STOP_REASONS),),
         wire="the answer with another stop reason: " + ", ".join(_STOP_REASONS)),
    Kind(name="refuse", operations=EVERY, play=_never,
         wire="the region's port refuses connections and open ones are reset, until the fault is removed; takes"
              " no model, operation, count or probability"),
)  # fmt: skip

KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}
