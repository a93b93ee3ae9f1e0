"""Every kind of fault, in one table: which operations it applies to and what goes over the wire."""

from __future__ import annotations

from dataclasses import dataclass

from crossfade.sandbox import damage
from crossfade.sandbox.damage import Fault, damaged, damaged_stream, instead

STREAMS = frozenset({"ConverseStream", "InvokeModelWithResponseStream"})
CONVERSES = frozenset({"Converse", "ConverseStream"})
ASKING = STREAMS | CONVERSES | {"InvokeModel"}
ASYNC = frozenset({"StartAsyncInvoke", "GetAsyncInvoke", "ListAsyncInvokes"})
RUNTIME = ASKING | ASYNC | {"CountTokens", "ApplyGuardrail"}
CONTROL = frozenset({"GetFoundationModel", "GetInferenceProfile", "ListFoundationModels"})
EVERY = RUNTIME | CONTROL


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """A setting of a fault, by `type`: `number` and `integer` within [low, high], `text`, `flag`, or `choice` of
    `choices`. None is allowed where it is the default."""

    name: str
    type: str
    default: object
    low: float = 0
    high: float = 3600
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of fault. `play` does it; `wire` says in words what is sent."""

    name: str
    operations: frozenset[str]
    wire: str
    params: tuple[Param, ...] = ()
    play: Fault


def _message(text: str) -> Param:
    return Param(name="message", type="text", default=text)


def _seconds(default: float | None) -> Param:
    return Param(name="seconds", type="number", default=default)


_RETRY_AFTER = (
    Param(name="retry_after", type="number", default=None),
    Param(name="retry_after_ms", type="number", default=None, high=3_600_000),
)
_AFTER = Param(name="after_events", type="integer", default=None, high=1000)
_CLEAN = Param(name="clean", type="flag", default=True)
_MALFORMED = ("malformed_model_output", "malformed_tool_use")
_STOP_REASONS = (
    "max_tokens", "content_filtered", "guardrail_intervened", "stop_sequence", "tool_use",
    "model_context_window_exceeded", "refusal",
)  # fmt: skip
_EXCEPTIONS = (
    "throttlingException", "internalServerException", "modelStreamErrorException", "validationException",
    "serviceUnavailableException", "modelTimeoutException",
)  # fmt: skip
_AGAIN = "The system encountered an unexpected error during processing. Try your request again."

_ALL = (
    Kind(name="throttle", operations=EVERY, play=instead(429, "ThrottlingException"),
         params=(_message("Too many requests, please wait before trying again."), *_RETRY_AFTER),
         wire="429 ThrottlingException, with Retry-After (s) and x-amz-retry-after (ms) if asked"),
    Kind(name="bare_429", operations=EVERY, play=damage.bare_429, params=_RETRY_AFTER,
         wire="429 without a body or an error's name"),
    Kind(name="unavailable", operations=EVERY, play=instead(503, "ServiceUnavailableException"),
         params=(_message("The service is temporarily unable to handle the request."), *_RETRY_AFTER),
         wire="503 ServiceUnavailableException"),
    Kind(name="internal", operations=EVERY, play=instead(500, "InternalServerException"),
         params=(_message(_AGAIN),), wire="500 InternalServerException"),
    Kind(name="model_timeout", operations=RUNTIME, play=instead(408, "ModelTimeoutException"),
         params=(_message("Model has timed out in processing the request."),), wire="408 ModelTimeoutException"),
    Kind(name="model_error", operations=RUNTIME, params=(_message(_AGAIN),), wire="424 ModelErrorException",
         play=instead(424, "ModelErrorException", {"originalStatusCode": 500, "resourceName": "sandbox"})),
    Kind(name="not_ready", operations=RUNTIME, play=instead(429, "ModelNotReadyException"),
         params=(_message("Model is not ready for inference. Wait and try your request again."),),
         wire="429 ModelNotReadyException"),
    Kind(name="validation", operations=EVERY, play=instead(400, "ValidationException"),
         params=(_message("Malformed input request, please reformat your input and try again."),),
         wire="400 ValidationException"),
    Kind(name="quota", operations=RUNTIME, play=instead(400, "ServiceQuotaExceededException"),
         params=(_message("Your request exceeds the service quota for your account."),),
         wire="400 ServiceQuotaExceededException"),
    Kind(name="access_denied", operations=EVERY, play=instead(403, "AccessDeniedException"),
         params=(_message("You don't have access to the model with the specified model ID."),),
         wire="403 AccessDeniedException"),
    Kind(name="not_found", operations=EVERY, play=instead(404, "ResourceNotFoundException"),
         params=(_message("The specified resource ARN was not found. Check the ARN and try your request again."),),
         wire="404 ResourceNotFoundException"),
    Kind(name="expired_token", operations=EVERY, play=instead(403, "ExpiredTokenException"),
         params=(_message("The security token included in the request is expired"),),
         wire="403 ExpiredTokenException"),
    Kind(name="bad_signature", operations=EVERY, play=instead(403, "InvalidSignatureException"),
         params=(_message("The request signature we calculated does not match the signature you provided."),),
         wire="403 InvalidSignatureException"),
    Kind(name="html_502", operations=EVERY, play=damage.html,
         params=(Param(name="status", type="integer", default=502, low=400, high=599),),
         wire="502 (or another `status`, say 504) with an HTML page"),
    Kind(name="reset", operations=EVERY, params=(_AFTER,), play=damage.reset,
         wire="RST instead of an answer; streams with `after_events`: RST after so many events"),
    Kind(name="hang", operations=EVERY, params=(_seconds(None),), play=damage.hang,
         wire="silence until the client leaves; with `seconds`: then FIN"),
    Kind(name="latency", operations=EVERY, play=damage.nothing,
         params=(_seconds(1), Param(name="jitter", type="number", default=0)),
         wire="silence for `seconds` and up to `jitter` more, then what else would be sent; adds to other faults"),
    Kind(name="slow_first_token", operations=RUNTIME, params=(_seconds(5),),
         play=damaged("answered", damage.slow_first_token),
         wire="streams: head and opening events, `seconds` of silence, the rest; others: like latency"),
    Kind(name="stall", operations=RUNTIME, params=(_seconds(None), _AFTER), play=damaged("answered", damage.stall),
         wire="streams: events up to `after_events` (default: the first token), others: half a body; then silence"
              " until the client leaves, or for `seconds` and then the rest"),
    Kind(name="drip", operations=RUNTIME, play=damaged("answered", damage.drip),
         params=(_seconds(0.4), Param(name="parts", type="integer", default=10, low=1, high=1000)),
         wire="streams: each event after `seconds` of silence; others: the body in `parts`, each after `seconds`"),
    Kind(name="exception_event", operations=STREAMS, play=damaged_stream("exception_event", damage.exception_event),
         params=(Param(name="exception", type="choice", default="modelStreamErrorException", choices=_EXCEPTIONS),
                 _message("The model failed while it was answering."), _AFTER),
         wire="events up to `after_events` (default: the first token; 0: none), then the modelled `exception`"),
    Kind(name="bad_checksum", operations=STREAMS, params=(_AFTER,),
         play=damaged_stream("bad_checksum", damage.bad_checksum),
         wire="the whole stream; the frame after `after_events` (default: the first token) has a wrong CRC"),
    Kind(name="half_frame", operations=STREAMS, params=(_AFTER, _CLEAN),
         play=damaged_stream("half_frame", damage.half_frame),
         wire="events up to `after_events` (default: the first token), half of the next, the body's clean end;"
              " `clean` false: FIN instead"),
    Kind(name="no_message_stop", operations=STREAMS, params=(_CLEAN,),
         play=damaged_stream("no_message_stop", damage.no_message_stop),
         wire="the stream up to messageStop (message_stop), the body's clean end; `clean` false: FIN instead"),
    Kind(name="truncated_body", operations=RUNTIME, play=damaged("truncated_body", damage.truncated_body),
         wire="200 with the full Content-Length, half the body, FIN; streams: FIN in the frame after the first token"),
    Kind(name="malformed_body", operations=RUNTIME,
         play=damaged("malformed_body", damage.with_body(b'{"output": {"mess')),
         wire="200 with a whole body that is not valid JSON; streams: two events with such payloads, clean end"),
    Kind(name="missing_members", operations=RUNTIME, play=damaged("missing_members", damage.with_body(b"{}")),
         wire="200 with the body {}; streams: two events with such payloads, clean end"),
    Kind(name="malformed_output", operations=CONVERSES, play=damage.stop_reason,
         params=(Param(name="stop_reason", type="choice", default=_MALFORMED[0], choices=_MALFORMED),),
         wire="the answer with the stopReason malformed_model_output or malformed_tool_use"),
    Kind(name="stop_reason", operations=ASKING, play=damage.stop_reason,
         params=(Param(name="stop_reason", type="choice", default=_STOP_REASONS[0], choices=_STOP_REASONS),),
         wire="the answer with another stop reason: " + ", ".join(_STOP_REASONS)),
    Kind(name="refuse", operations=EVERY, play=damage.nothing,
         wire="the region's port refuses connections, and open ones are reset, until the fault is removed; takes"
              " no model, operation, count or probability"),
)  # fmt: skip

KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}
