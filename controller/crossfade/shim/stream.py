"""Stream: events held until the first content, then handed on; an end that is missing is an error."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Protocol

from botocore.eventstream import EventStream
from botocore.exceptions import EventStreamError

from crossfade.core.outcome import Outcome
from crossfade.shim.classify import Incomplete, NotOurs, classify, is_services_own
from crossfade.shim.events import Reading
from crossfade.shim.watchdog import WATCHDOG, Watch


class Ending(Protocol):
    """Whoever wants to know how a stream ended; called once. `error` is None unless the caller gets one."""

    def __call__(self, stream: Stream, outcome: Outcome, error: Exception | None) -> None: ...


class Stream(EventStream):  # type: ignore[misc]
    """Takes the place of botocore's EventStream in an answer."""

    def __init__(
        self,
        source: Any,
        *,
        reading: Reading,
        watch: Watch,
        operation: str,
        stall: float,
        deadline: float,
        began: float,
    ) -> None:
        # The parent's __init__ is left out on purpose: the source has been made by it already.
        self._source = source
        self._events: Iterator[dict[str, Any]] = iter(source)
        self._held: deque[dict[str, Any]] = deque()
        self._reading = reading
        self._watch = watch
        self._operation_name = operation
        self._stall = stall
        self._deadline = deadline
        self._began = began
        self._ending: Ending | None = None
        self._done = False
        self.first_token: float | None = None
        self.whole_at: float | None = None
        """When the last event came of an answer that is all there: its caller may leave it open for long."""
        self.collected = False
        """Whether it ends because nobody holds it any more."""

    @property
    def reading(self) -> Reading:
        return self._reading

    def hold(self) -> None:
        """Reads until the first content. Raises whatever the source does, or `Incomplete`."""
        for event in self._events:
            self._held.append(event)
            self._reading.see(event)
            if self._reading.content:
                self.first_token = time.monotonic() - self._began
                self.whole_at = time.monotonic() if self._reading.ended else None
                self._watch.due = self._deadline
                return
        raise Incomplete("the stream ended before its first content")

    def on_end(self, ending: Ending) -> None:
        self._ending = ending

    def __iter__(self) -> Iterator[dict[str, Any]]:
        while (event := self._next()) is not None:
            yield event

    def close(self) -> None:
        """Closes the connection; a stream not read to its end counts as abandoned. Any thread may do so."""
        if not self._done:
            self._end(self._whole() if self._reading.ended else Outcome.ABANDONED, None)
            self._watch.end()  # a read in another thread would hold up the source's close
        self._source.close()

    def discard(self) -> None:
        """Closes a stream that has failed before anybody saw it."""
        self._done = True
        WATCHDOG.remove(self._watch)
        self._source.close()

    def get_initial_response(self) -> Any:
        return self._source.get_initial_response()

    def __del__(self) -> None:
        if not getattr(self, "_done", True):
            self.collected = True
            self.close()

    def _next(self) -> dict[str, Any] | None:
        if self._held:
            return self._held.popleft()
        if self._done:
            return None
        self._watch.due = min(self._deadline, time.monotonic() + self._stall)
        try:
            event = next(self._events, None)
            if event is not None:
                self._reading.see(event)
                if self._reading.ended:
                    self.whole_at = time.monotonic()
            elif not self._reading.ended:
                raise Incomplete("the stream ended without its last event")
        except Exception as error:
            if is_services_own(error):  # raised by a signal's handler while this waited
                self.close()
                raise
            if self._reading.ended:  # all content and the stop are there; only what follows was lost
                self._end(self._whole(), None)
                self._source.close()
                return None
            outcome = self._class_of(error)
            told = error if isinstance(error, EventStreamError) else self._as_stream_error(error, outcome)
            self._end(outcome, told)
            self._source.close()
            if told is error:
                raise
            raise told from error
        if event is None:
            self._end(self._whole(), None)
            return None
        self._watch.due = self._deadline
        return event

    def _whole(self) -> Outcome:
        return Outcome.MALFORMED if self._reading.malformed else Outcome.OK

    def _class_of(self, error: Exception) -> Outcome:
        try:
            return classify(error, expired=self._watch.expired).outcome
        except NotOurs:
            return Outcome.UNKNOWN

    def _as_stream_error(self, error: Exception, outcome: Outcome) -> EventStreamError:
        code, message = told_broken(error, outcome, self._operation_name)
        return EventStreamError({"Error": {"Code": code, "Message": message}}, self._operation_name)

    def _end(self, outcome: Outcome, error: Exception | None) -> None:
        if self._done:
            return
        self._done = True
        self._watch.due = math.inf
        WATCHDOG.remove(self._watch)
        ending, self._ending = self._ending, None  # it holds the request, and the answer may be kept for long
        if ending is not None:
            ending(self, outcome, error)


def told_broken(error: Exception, outcome: Outcome, operation: str) -> tuple[str, str]:
    """Code and message for the caller of a stream that broke off after its first content."""
    code = _CODES.get(outcome, "serviceUnavailableException")
    if operation == "ConverseStream" and code == "modelTimeoutException":
        code = "modelStreamErrorException"  # this stream's model has no timeout: SDKs could not name it
    why = str(error) or type(error).__name__
    return code, f"the stream broke off ({outcome}): {why}; what came before is incomplete"


_CODES = {Outcome.TIMED_OUT: "modelTimeoutException", Outcome.TRUNCATED: "modelStreamErrorException"}


class CannedStream(EventStream):  # type: ignore[misc]
    """A stream of events that are there already: the busy answer's."""

    def __init__(self, events: Iterator[dict[str, Any]]) -> None:
        self._canned = events

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self._canned

    def close(self) -> None:
        self._canned = iter(())

    def get_initial_response(self) -> Any:
        return None
