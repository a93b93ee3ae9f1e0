"""Lane: the copies of one route that wait or are under way: bounded in number, workers and pace."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from crossfade.core.policy import Settings

_Item = TypeVar("_Item")

_HANDOVER = 0.05
"""Seconds the caller's thread may wait for the lock, which is held for microseconds; after a fork perhaps for ever."""


class Lane(Generic[_Item]):
    """The copies of one route: as many wait as may be under way, and a hanging green of one route holds up no other.

    Its workers, which send them one after another, are threads or tasks.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: SimpleQueue[_Item] = SimpleQueue()
        self.outstanding = 0
        self._workers = 0
        self._tokens = 1.0
        self._filled = 0.0

    def admits(self, now: float, settings: Settings) -> bool:
        """Whether there is room, and a copy left of those allowed a second."""
        if not self._lock.acquire(timeout=_HANDOVER):
            return False
        try:
            rate = settings.shadow_per_second
            self._tokens = min(max(1.0, rate), self._tokens + rate * (now - self._filled))
            self._filled = now
            if self._tokens < 1 or self._is_full(settings):
                return False
            self._tokens -= 1
            return True
        finally:
            self._lock.release()

    def put(self, item: _Item, settings: Settings) -> bool:
        if not self._lock.acquire(timeout=_HANDOVER):
            return False
        try:
            if self._is_full(settings):
                return False
            self.outstanding += 1
            self._queue.put(item)
            return True
        finally:
            self._lock.release()

    def wants_worker(self, settings: Settings) -> bool:
        """Whether another worker is needed for what is outstanding, and allowed; it is counted then."""
        with self._lock:
            wanted = self._workers < min(self.outstanding, int(settings.shadow_concurrent))
            self._workers += wanted
            return wanted

    def next(self, wait: float) -> _Item | None:
        """The next copy; None when there was none for `wait` seconds, and the worker is to end."""
        while True:
            try:
                return self._queue.get(timeout=wait)
            except Empty:
                with self._lock:
                    if self._queue.empty():
                        self._workers -= 1
                        return None

    def done(self) -> None:
        with self._lock:
            self.outstanding -= 1

    def worker_ended(self) -> None:
        with self._lock:
            self._workers -= 1

    def _is_full(self, settings: Settings) -> bool:
        return self.outstanding >= 2 * int(settings.shadow_concurrent)
