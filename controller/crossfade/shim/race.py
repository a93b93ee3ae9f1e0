"""Race: a second request for an answer that is late, to another region; the first good answer counts.

The first request stays in the call's own thread; a thread is made only when the second one goes out.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from crossfade.shim.answer import Told
from crossfade.shim.classify import Failure
from crossfade.shim.course import Ask, Begun, Hedged
from crossfade.shim.stream import Stream
from crossfade.shim.watchdog import WATCHDOG, Watch

log = logging.getLogger("crossfade")

Came = Told | Begun | Failure
Answered = tuple[dict[str, Any], Came]
Attempt = Callable[[Ask, Watch], Answered]
_SLACK = 5.0
"""Seconds beyond its due that the second request is waited for: its own watch ends it long before."""


class _Bell(Watch):
    """Rings once, in the watchdog's thread."""

    __slots__ = ("_ring",)

    def __init__(self, at: float, ring: Callable[[], None]) -> None:
        super().__init__(at)
        self._ring = ring

    def cut(self) -> None:
        if not self.expired:
            self.expired = True
            self._ring()


class Race:
    """Of one attempt that may be hedged."""

    def __init__(self, ask: Ask, attempt: Attempt) -> None:
        assert ask.hedge is not None
        self._first, self._hedge, self._attempt = ask, ask.hedge, attempt
        self._watch = Watch(ask.due)
        self._context = copy_context()
        self._lock = threading.Lock()
        self._over = False
        self._second: Ask | None = None
        self._second_watch = Watch()
        self._second_came: Answered | None = None
        self._second_done = threading.Event()

    def run(self) -> tuple[dict[str, Any], Came | Hedged]:
        """Makes the attempt: its response and what came, `Hedged` where the second request went out."""
        bell = _Bell(self._hedge.at, self._begin)
        WATCHDOG.add(bell)
        try:
            response, came = self._attempt(self._first, self._watch)
        except BaseException:
            self._finish()
            self._second_watch.end()
            raise
        finally:
            WATCHDOG.remove(bell)
        failure = came if isinstance(came, Failure) else None
        given_up = self._over  # by the second request's answer: whatever came of this one is our own doing
        second, answered = self._finish(wait=failure is not None)
        if second is None:
            return response, came
        if answered is not None and not isinstance(answered[1], Failure):  # it was the first to answer
            discard(response)
            return answered[0], Hedged(second, answered[1], self._first, None if given_up else failure)
        self._second_watch.end()
        second_failure = answered[1] if answered is not None and isinstance(answered[1], Failure) else None
        return response, Hedged(self._first, came, second, second_failure)

    def _finish(self, *, wait: bool = False) -> tuple[Ask | None, Answered | None]:
        """No second request begins, and no answer to one is taken, from here on; with `wait`, after it has ended."""
        with self._lock:
            second = self._second
            if second is None or not wait:
                self._over = True
                return second, self._second_came
        self._second_done.wait(max(0.0, second.due - time.monotonic()) + _SLACK)
        with self._lock:
            self._over = True
            return second, self._second_came

    def _begin(self) -> None:
        try:
            with self._lock:
                second = None if self._over else self._hedge.begin(time.monotonic())
                if second is None:
                    return
                self._second_watch.due = second.due
                thread = threading.Thread(
                    target=self._context.run, args=(self._ask_second, second), name="crossfade-hedge", daemon=True
                )
                thread.start()
                self._second = second
        except Exception:  # in the watchdog's thread, which all calls need
            log.warning("Crossfade could not hedge a call", exc_info=True, extra={"action": "not_hedged"})

    def _ask_second(self, second: Ask) -> None:
        try:
            answered = self._attempt(second, self._second_watch)
        except BaseException:  # a hook of the service's own raised: the first request will tell
            self._second_done.set()
            return
        with self._lock:
            late = self._over
            if not late:
                self._second_came = answered
                self._over = not isinstance(answered[1], Failure)
        self._second_done.set()
        if late:
            discard(answered[0])
        elif not isinstance(answered[1], Failure):
            self._watch.end()


def discard(response: dict[str, Any]) -> None:
    """Closes what nobody will read."""
    for part in response.values():
        if isinstance(part, Stream):
            part.discard()
