"""Channel: between the sidecar's first process, which has feed and recorder, and its workers, which have the calls.

A Unix socket in a folder of its own. Down go snapshots, whole, and the text of all workers' metrics; up go sums.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

from crossfade.core.snapshot import Snapshot, read_snapshot, snapshot_to_bytes
from crossfade.errors import SetupError
from crossfade.shim.board import Board
from crossfade.shim.recorder import Recorder
from crossfade.shim.runtime import Shim
from crossfade.shim.telemetry import OFF, Telemetry
from crossfade.sidecar.metrics import Totals

log = logging.getLogger("crossfade")

VARIABLE = "CROSSFADE_SIDECAR_CHANNEL"
"""Where workers find the channel, and its key: set by the first process for its children, by nobody else."""
PACE = 0.2
"""Seconds between looks for something new, either way."""


class Hub:
    """The first process's end."""

    def __init__(self, shim: Shim) -> None:
        self._shim = shim
        self._totals = Totals()
        self._lock = threading.Lock()
        self._workers: dict[threading.Thread, Connection[Any, Any]] = {}
        self._closed = False

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Listens while the `with` lasts; at its end, takes what the workers still send."""
        key = secrets.token_bytes(32)
        with tempfile.TemporaryDirectory(prefix="crossfade-") as folder:
            try:
                listener = Listener(str(Path(folder) / "channel"), family="AF_UNIX", authkey=key)
            except OSError as error:
                raise SetupError(f"no socket can be made in {folder}, set TMPDIR: {error.strerror or error}") from None
            os.environ[VARIABLE] = f"{key.hex()}:{listener.address}"
            accepting = threading.Thread(target=self._accept, args=(listener,), name="crossfade-hub", daemon=True)
            accepting.start()
            try:
                yield
            finally:
                del os.environ[VARIABLE]
                for thread in list(self._workers):
                    thread.join(5.0)
                self._closed = True
                listener.close()

    def _accept(self, listener: Listener) -> None:
        while not self._closed:
            try:
                connection = listener.accept()
            except Exception as error:  # a stranger who does not know the key, a worker that ended in its greeting
                if not self._closed:
                    log.warning(
                        "a process could not be let into the channel (%r)", error, extra={"action": "channel_refused"}
                    )
                    time.sleep(PACE)
                continue
            thread = threading.Thread(target=self._attend, args=(connection,), name="crossfade-hub-worker", daemon=True)
            self._workers[thread] = connection
            thread.start()

    def _attend(self, connection: Connection[Any, Any]) -> None:
        """One worker, until it ends."""
        sent, told_at = None, 0.0
        try:
            while True:
                snapshot, now = self._shim.feed.snapshot, time.monotonic()
                if snapshot is not None and snapshot is not sent:
                    connection.send(("snapshot", snapshot_to_bytes(snapshot)))
                    sent = snapshot
                if now - told_at >= 1.0:
                    connection.send(("metrics", self._text()))
                    told_at = now
                if connection.poll(PACE):
                    self._take(*connection.recv())
        except (EOFError, OSError):  # it has ended
            pass
        except Exception:  # a fault of ours must not leave a worker to itself: it ends, and another comes
            log.exception("the line to a worker broke", extra={"action": "channel_fault"})
        finally:
            connection.close()
            self._workers.pop(threading.current_thread(), None)

    def _take(self, rows: Any, dropped: int, copies: Counter[str]) -> None:
        recorder = self._shim.recorder
        with self._lock:
            self._totals.add(rows, self._shim.feed.snapshot)
            recorder.dropped += dropped
            recorder.copies.update(copies)
        recorder.add(rows)

    def _text(self) -> str:
        health = self._shim.health()
        gauges = {
            "snapshot_version": ("Version of the snapshot in force.", health["snapshot_version"] or 0),
            "snapshot_age_seconds": ("Since the controller last confirmed it.", health["snapshot_age"] or 0.0),
            "controller_up": ("Whether the last delivery was taken.", float(health["controller"] == "ok")),
            "waiting_calls": ("Calls not delivered yet.", health["waiting_calls"]),
            "dropped": ("Calls that could not be recorded.", health["dropped"]),
            "workers": ("Worker processes connected.", len(self._workers)),
        }
        with self._lock:
            return self._totals.text(gauges, self._shim.recorder.copies)


class Line:
    """A worker's end, and what its calls need: snapshot, board, recorder."""

    def __init__(self, telemetry: Telemetry = OFF) -> None:
        self.snapshot: Snapshot | None = None
        self.board = Board()
        self.recorder = Recorder(telemetry)
        self._text = ""
        self._dropped = 0
        self._copies: Counter[str] = Counter()
        key, _, address = os.environ[VARIABLE].partition(":")
        self._connection = Client(address, family="AF_UNIX", authkey=bytes.fromhex(key))
        self._stopped = threading.Event()
        # Each way has a thread: one that sends what does not fit into the socket at once must not keep the other end,
        # which may be about the same, from getting rid of its own.
        self._hearing = threading.Thread(target=self._run, args=(self._hear_on,), name="crossfade-hear", daemon=True)
        self._sending = threading.Thread(target=self._run, args=(self._send_on,), name="crossfade-send", daemon=True)

    def metrics(self) -> str:
        return self._text

    def start(self) -> None:
        """Connects, and waits a moment for a first snapshot: a call before it goes to Bedrock as it is."""
        until = time.monotonic() + 2.0
        while self.snapshot is None and time.monotonic() < until:
            if self._connection.poll(PACE):
                self._hear()
        self._hearing.start()
        self._sending.start()

    def stop(self) -> None:
        """Sends up what is left."""
        self._stopped.set()
        self._sending.join(2.0)
        self._connection.close()

    def _run(self, on: Callable[[], None]) -> None:
        try:
            on()
        except (EOFError, OSError):
            if not self._stopped.is_set():
                log.error("the sidecar's first process is gone; this worker ends", extra={"action": "hub_gone"})
                os.kill(os.getpid(), signal.SIGTERM)
        except Exception:  # a fault of ours must not leave the worker to itself: it ends, and another comes
            log.exception("the line to the first process broke; this worker ends", extra={"action": "channel_fault"})
            os.kill(os.getpid(), signal.SIGTERM)

    def _hear_on(self) -> None:
        while True:
            if self._connection.poll(PACE):
                self._hear()

    def _send_on(self) -> None:
        while not self._stopped.wait(PACE):
            self._send()
        self._send()

    def _hear(self) -> None:
        kind, content = self._connection.recv()
        if kind == "snapshot":
            self.snapshot = read_snapshot(content)
        else:
            self._text = content

    def _send(self) -> None:
        rows, dropped, copies = self.recorder.take(), self.recorder.dropped, Counter(self.recorder.copies)
        if rows or dropped != self._dropped or copies != self._copies:
            self._connection.send((rows, dropped - self._dropped, copies - self._copies))
            self._dropped, self._copies = dropped, copies
