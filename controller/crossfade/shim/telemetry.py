"""Telemetry: what shows each call to the outside while it goes on. Off, it is nothing, and costs as much."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from crossfade.core.model import Model, Target
    from crossfade.core.outcome import Outcome
    from crossfade.core.stop import Stop
    from crossfade.shim.call import Call

log = logging.getLogger("crossfade")


class Span(Protocol):
    """One call as it is shown. Nothing here raises. In a `with` it is what the thread is busy with."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def attempt(self, model: Model, target: Target, outcome: Outcome) -> None:
        """An attempt has come to this; a stream's to its first content."""

    def end(
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
        """The call is over: comes once, and may come from a destructor (`call.collected`)."""


class Telemetry(Protocol):
    def within(self, headers: Mapping[str, str]) -> AbstractContextManager[None]:
        """What begins in the `with` belongs to the trace that these headers of a request name, if they name one. Names
        of headers are in lower case. Does not raise."""

    def begin(self, call: Call) -> Span:
        """A call begins now. Does not raise."""

    def settle(self) -> None:
        """Shows what could not be shown when it happened; never called in the middle of something else."""


class _Off:
    __slots__ = ()

    def within(self, headers: Mapping[str, str]) -> AbstractContextManager[None]:  # noqa: ARG002
        return _NOWHERE

    def begin(self, call: Call) -> Span:  # noqa: ARG002
        return NO_SPAN

    def settle(self) -> None:
        pass


class _NoSpan:
    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def attempt(self, model: Model, target: Target, outcome: Outcome) -> None:
        pass

    def end(self, call: Call, answered_by: Model | None, **_: object) -> None:
        pass


_NOWHERE = nullcontext()
OFF: Telemetry = _Off()
NO_SPAN: Span = _NoSpan()


def telemetry(on: bool) -> Telemetry:
    """OpenTelemetry's, if that is wanted and its API is installed."""
    if not on:
        return OFF
    try:
        from crossfade.shim.otel import OpenTelemetry

        return OpenTelemetry()
    except Exception as error:  # not installed, or too old
        log.warning(
            "telemetry is switched on but OpenTelemetry cannot be used, so there is none (%s): "
            "install Crossfade with its extra [otel]",
            error,
            extra={"action": "telemetry_missing"},
        )
        return OFF
