"""Watchdog: ends an attempt whose time is up by shutting its socket down.

A socket's own timeout bounds each read, not the whole: an answer that drips a byte a second never times out.
Closing a stream from another thread breaks; shutting the socket down makes the reader see its end.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
import time
from typing import Any

_PACE = 0.05
"""Seconds between looks: how late a deadline may be noticed."""
_IDLE_LOOKS = 40


class Watch:
    """One attempt under watch. `due` is on the monotonic clock and may be moved by the attempt's own thread."""

    __slots__ = ("connection", "due", "expired", "response")

    def __init__(self, due: float = math.inf) -> None:
        self.due = due
        self.expired = False
        self.connection: Any = None  # urllib3's connection, once the pool has given it
        self.response: Any = None  # urllib3's response: a connection to be closed has let go of its socket

    def end(self) -> None:
        """Ends the attempt now, and until it is over: a connection that is just being made has no socket yet."""
        self.due = -math.inf
        self.cut()

    def cut(self) -> None:
        self.expired = True
        connection = self.connection
        if getattr(connection, "crossfade_watch", None) is not self:  # back in the pool, and another's by now
            connection = None
        for found in (_socket_of_response(self.response), getattr(connection, "sock", None)):
            if found is not None:
                # Whatever the socket is (TLS within TLS has none of its own): one must not end the watch over all.
                with contextlib.suppress(Exception):
                    # Not SSLSocket.shutdown: that drops the TLS state under the reader's feet.
                    socket.socket.shutdown(found, socket.SHUT_RDWR)
                return


class Watchdog:
    """One daemon thread for all attempts of the process; it sleeps while there are none."""

    def __init__(self) -> None:
        self._watches: dict[int, Watch] = {}
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._pid = 0

    def add(self, watch: Watch) -> None:
        if self._pid != os.getpid():
            self._start()
        self._watches[id(watch)] = watch
        if not self._wake.is_set():
            self._wake.set()

    def remove(self, watch: Watch) -> None:
        self._watches.pop(id(watch), None)

    def _start(self) -> None:
        with self._lock:
            if self._pid != os.getpid():
                if self._pid:  # forked without Python being told, as uwsgi's: what was watched is the parent's
                    self._watches = {}
                try:
                    threading.Thread(target=self._run, name="crossfade-watchdog", daemon=True).start()
                except RuntimeError:  # no thread to be had now: the sockets' own timeouts hold, and the next call tries
                    return
                self._pid = os.getpid()

    def _run(self) -> None:
        idle = 0
        while True:
            if not self._watches:
                idle += 1
                if idle > _IDLE_LOOKS:
                    self._wake.clear()
                    if not self._watches:  # looked at again after clearing: one may have come in between
                        self._wake.wait()
                    idle = 0
            else:
                idle = 0
            time.sleep(_PACE)
            now = time.monotonic()
            for watch in list(self._watches.values()):
                if now >= watch.due:
                    watch.cut()


def _socket_of_response(response: Any) -> Any:
    # urllib3's response -> http.client's response -> buffered reader -> SocketIO -> socket
    found = getattr(getattr(response, "_fp", None), "fp", None)
    return getattr(getattr(found, "raw", None), "_sock", None)


def fork_safe() -> Watchdog:
    """A watchdog that starts anew in a forked child."""
    found = Watchdog()

    def renew() -> None:
        for watch in found._watches.values():  # the connection is the parent's, who may be reading
            watch.connection = watch.response = None
        found._watches = {}
        found._wake = threading.Event()
        found._lock = threading.Lock()

    os.register_at_fork(after_in_child=renew)
    return found


WATCHDOG = fork_safe()
