"""Otel: calls as OpenTelemetry's spans and metrics. Needs the extra `otel`; where they go is the service's SDK's say.

No prompt, no answer, no stickiness key and no message of an error is shown: such messages quote the request.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Token
from functools import partial
from typing import Any, Self

from opentelemetry import context, metrics, propagate, trace
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import SpanKind, Status, StatusCode

from crossfade import __version__
from crossfade.core.model import Model, Target
from crossfade.core.outcome import Outcome
from crossfade.core.stop import Stop
from crossfade.shim import semconv
from crossfade.shim.call import Call, is_count
from crossfade.shim.telemetry import NO_SPAN, Span

log = logging.getLogger("crossfade")

_MOST_WAITING = 10_000
_KINDS = {"input": semconv.INPUT_TOKENS, "output": semconv.OUTPUT_TOKENS}


class OpenTelemetry:
    """Made once a process; finds the service's providers also if they are set later."""

    def __init__(self) -> None:
        self.tracer = trace.get_tracer("crossfade", __version__)
        meter = metrics.get_meter("crossfade", __version__)
        self.duration = meter.create_histogram(
            semconv.DURATION,
            unit="s",
            description="How long calls took, until their answer was whole or they failed.",
            explicit_bucket_boundaries_advisory=semconv.DURATION_BOUNDS,
        )
        self.first_chunk = meter.create_histogram(
            semconv.TIME_TO_FIRST_CHUNK,
            unit="s",
            description="How long calls took until the first content of their stream.",
            explicit_bucket_boundaries_advisory=semconv.FIRST_CHUNK_BOUNDS,
        )
        self.tokens = meter.create_histogram(
            semconv.TOKEN_USAGE,
            unit="{token}",
            description="Tokens of calls, in and out.",
            explicit_bucket_boundaries_advisory=semconv.TOKEN_BOUNDS,
        )
        self.attempts = meter.create_counter(
            semconv.ATTEMPT_COUNT, unit="{attempt}", description="Requests to targets, by what came of them."
        )
        self._waiting: deque[Callable[[], None]] = deque(maxlen=_MOST_WAITING)

    @contextmanager
    def within(self, headers: Mapping[str, str]) -> Iterator[None]:
        token = None
        try:
            token = context.attach(propagate.extract(headers, getter=_HEADERS))
        except Exception:
            trouble()
        try:
            yield
        finally:
            if token is not None:
                context.detach(token)

    def begin(self, call: Call) -> Span:
        try:
            return _Span(self, call)
        except Exception:
            trouble()
            return NO_SPAN

    def later(self, act: Callable[[], None]) -> None:
        self._waiting.append(act)

    def settle(self) -> None:
        while self._waiting:
            self._waiting.popleft()()


class _Headers(Getter[Mapping[str, str]]):
    """Reads a request's headers, whatever a propagator's idea of capital letters is."""

    def get(self, carrier: Mapping[str, str], key: str) -> list[str] | None:
        value = carrier.get(key.lower())
        return None if value is None else [value]

    def keys(self, carrier: Mapping[str, str]) -> list[str]:
        return list(carrier)


_HEADERS = _Headers()


class _Span:
    """One call. Its attributes are looked at by samplers when it begins, so what is known then is told then."""

    def __init__(self, owner: OpenTelemetry, call: Call) -> None:
        # The call holds its span: held in turn, both would be left to the garbage collector.
        self._owner = owner
        self._streaming = call.streaming
        self._target: Target | None = None
        self._noted: Outcome | None = None
        self._token: Token[Any] | None = None
        self._open = True
        live = call.entry.live
        self._labels: dict[str, str] = {
            semconv.OPERATION: operation_name(call),
            semconv.PROVIDER: semconv.BEDROCK,
            semconv.REQUEST_MODEL: call.asked,
            semconv.FLAG_KEY: call.entry.route.name,
            semconv.FLAG_VARIANT: str(call.variant),
        }
        told: dict[str, str | int] = {
            **self._labels,
            semconv.FLAG_PROVIDER: "crossfade",
            semconv.FLAG_REASON: semconv.SPLIT if live else semconv.STATIC,
            semconv.FLAG_VERSION: str(call.snapshot.version),
            semconv.CALL_ID: call.id,
        }
        if live:
            told |= {semconv.ROLLOUT: live.rollout, semconv.STEP: live.step}
        name = f"{self._labels[semconv.OPERATION]} {self._labels[semconv.REQUEST_MODEL]}"
        self._span = owner.tracer.start_span(name, kind=SpanKind.CLIENT, attributes=told)
        self._context = trace.set_span_in_context(self._span)

    def __enter__(self) -> Self:
        try:
            self._token = context.attach(self._context)
        except Exception:
            trouble()
        return self

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            context.detach(self._token)  # logs what goes wrong, and does not raise
        if self._open and not self._streaming:  # left to plain boto3 by a fault of ours that the log tells of
            self._open = False
            self._guarded(self._span.end)

    def attempt(self, model: Model, target: Target, outcome: Outcome) -> None:
        """The last one that is noted is the one that answers, if any does."""
        self._target, self._noted = target, outcome
        self._guarded(partial(self._show_attempt, model, target, outcome))

    def _show_attempt(self, model: Model, target: Target, outcome: Outcome) -> None:
        told = {semconv.MODEL: model.name, semconv.REGION: target.region, semconv.OUTCOME: str(outcome)}
        if self._span.is_recording():
            self._span.add_event(semconv.ATTEMPT, told)
        self._owner.attempts.add(1, told | {semconv.FLAG_KEY: self._labels[semconv.FLAG_KEY]}, context=self._context)

    def end(self, call: Call, answered_by: Model | None, **ended: Any) -> None:
        if self._open:
            self._open = False
            self._guarded(partial(self._tell, call, answered_by, **ended))

    def _tell(
        self,
        call: Call,
        answered_by: Model | None,
        *,
        busy: bool,
        abandoned: bool,
        first_token: float | None,
        tokens: tuple[int | None, int | None],
        stop: Stop | None,
    ) -> None:
        took, now = time.monotonic() - call.began, time.time_ns()
        counts = {kind: n for kind, n in zip(_KINDS, tokens, strict=True) if is_count(n)}
        last = call.tried[-1].outcome if call.tried else call.skipped or Outcome.UNAVAILABLE
        told = {
            semconv.OUTCOME: str(call.counted(answered_by, abandoned=abandoned).outcome),
            semconv.ATTEMPTS: len(call.tried),
            semconv.RETRIES: call.retries,
            semconv.FAILOVERS: call.failovers,
            semconv.BUSY: busy,
            semconv.HEDGED: call.hedged,
            semconv.FIRST_CHUNK: first_token,
            semconv.FINISH_REASONS: None if stop is None else (str(stop),),
            **{_KINDS[kind]: n for kind, n in counts.items()},
        }
        labels = dict(self._labels)
        if answered_by is not None and self._target is not None:
            told |= {semconv.MODEL: answered_by.name, semconv.REGION: self._target.region}
            labels[semconv.RESPONSE_MODEL] = self._target.model_id
        elif not abandoned:
            labels[semconv.ERROR_TYPE] = str(last)
        show = partial(self._show_end, took, now, last, told, labels, counts)
        if call.collected:  # the SDK's locks are not reentrant
            self._owner.later(partial(self._guarded, show))
        else:
            show()

    def _show_end(
        self, took: float, now: int, last: Outcome, told: dict[str, Any], labels: dict[str, str], counts: dict[str, Any]
    ) -> None:
        span, owner = self._span, self._owner
        if span.is_recording():
            span.set_attributes({name: value for name, value in {**labels, **told}.items() if value is not None})
            if self._noted not in (None, last):
                span.add_event(semconv.STREAM_ENDED, {semconv.OUTCOME: str(last)}, timestamp=now)
            if semconv.ERROR_TYPE in labels:
                span.set_status(Status(StatusCode.ERROR))
        owner.duration.record(took, labels, context=self._context)
        if told[semconv.FIRST_CHUNK] is not None:
            owner.first_chunk.record(told[semconv.FIRST_CHUNK], labels, context=self._context)
        for kind, n in counts.items():
            owner.tokens.record(n, {**labels, semconv.TOKEN_TYPE: kind}, context=self._context)
        span.end(end_time=now)

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception:  # a processor or an exporter of the service's: not the caller's fault
            trouble()


def operation_name(call: Call) -> str:
    """OpenTelemetry's word for what a call does; where it has none, Bedrock's own, in small letters."""
    if call.operation.startswith(("Converse", "InvokeModel")):
        return "text_completion" if call.operation.startswith("Invoke") and call.family == "llama" else "chat"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", call.operation).lower()


_told = threading.Event()


def trouble() -> None:
    """Once a process: what fails at one call fails at the next."""
    if not _told.is_set():
        _told.set()
        log.warning("telemetry of a call failed; calls go on", exc_info=True, extra={"action": "telemetry_trouble"})
