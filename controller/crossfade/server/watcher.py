"""Watcher: one look at the snapshot's version for everybody in this process who waits for a newer one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

LOOK_EVERY = 0.25
LONGEST_WAIT = 30.0


class Watcher:
    """Asks `look` for the version at most once in 250 ms, however many requests wait.

    At most `most_waiting` requests wait at a time; one more is answered at once, so that threads are always
    left for observations, acts and pages.
    """

    def __init__(self, look: Callable[[], int], most_waiting: int) -> None:
        self._look = look
        self._looking = threading.Lock()
        self._places = threading.BoundedSemaphore(max(1, most_waiting))
        self._closed = threading.Event()
        self._version = -1
        self._looked_at = -1.0

    def version(self) -> int:
        """The version, at most 250 ms old. Raises what `look` raises."""
        with self._looking:
            if time.monotonic() - self._looked_at >= LOOK_EVERY:
                self._version = self._look()
                self._looked_at = time.monotonic()
            return self._version

    def wait_beyond(self, version: int, seconds: float) -> int:
        """Returns as soon as the version differs from `version`, after `seconds`, or when there is no place."""
        current = self.version()
        if current != version or seconds <= 0 or not self._places.acquire(blocking=False):
            return current
        try:
            until = time.monotonic() + min(seconds, LONGEST_WAIT)
            while current == version and (left := until - time.monotonic()) > 0:
                if self._closed.wait(min(LOOK_EVERY, left)):
                    break
                current = self.version()
            return current
        finally:
            self._places.release()

    def close(self) -> None:
        """Lets everybody who waits go, now and from now on."""
        self._closed.set()
