"""Runtime: the one shim of this process: its feed, recorder, courier and board, their threads, and what a fork does."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import uuid
from typing import Any

from crossfade.shim.board import Board
from crossfade.shim.call import Call
from crossfade.shim.controller import Controller
from crossfade.shim.copies import Copies
from crossfade.shim.courier import Courier
from crossfade.shim.dispatch import Plain
from crossfade.shim.feed import Feed
from crossfade.shim.outbox import Outbox
from crossfade.shim.recorder import Recorder
from crossfade.shim.settings import ShimSettings
from crossfade.shim.telemetry import telemetry

EXIT_SECONDS = 3.0
"""How long the last flush may hold up the end of the process."""


class Shim:
    """One shim: (id, sequence) numbers its batches. Made without side effects; `start` starts its threads."""

    def __init__(self, settings: ShimSettings) -> None:
        self.settings = settings
        self.id = str(uuid.uuid4())
        self.pid = os.getpid()
        self.board = Board()
        self.recorder = Recorder(telemetry(settings.telemetry))
        self.shadow = Copies(self.recorder)
        self._controller = Controller(settings.url, settings.token)
        self.feed = Feed(settings, self._controller)
        self.courier = Courier(
            self.id,
            settings.service,
            Controller(settings.url, settings.token),
            self.feed,
            self.recorder,
            Outbox(settings.state_dir / "outbox" / self.feed.path.stem.removeprefix("snapshot-"), self.id),
        )
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self.started = False
        self.waited_for_until = 0.0
        """Until when a first snapshot is waited for: by whoever comes first, not by each new client anew."""

    def start(self) -> None:
        """Starts the threads, once; not before uwsgi has forked."""
        with self._lock:
            if self.started or _is_to_be_forked():
                return
            self.started = True
            self.waited_for_until = time.monotonic() + self.settings.wait
        threads = (
            ("crossfade-feed", self.feed.run, ()),
            ("crossfade-courier", self.courier.run, (self.settings.flush_seconds, self._stopped)),
        )
        for name, target, args in threads:
            threading.Thread(target=target, args=args, name=name, daemon=True).start()
        _flush_at_process_end()

    def stop(self, timeout: float = EXIT_SECONDS) -> None:
        """Stops the threads and delivers or stores what is left."""
        self._stopped.set()
        self.shadow.stop()
        self.feed.stop()
        self.courier.close(timeout)

    def health(self) -> dict[str, Any]:
        now = time.time()
        snapshot = self.feed.snapshot
        waiting = self.courier.waiting()
        return {
            "active": snapshot is not None,
            "shim": self.id,
            "snapshot_version": snapshot.version if snapshot else None,
            "snapshot_age": round(self.feed.age(now), 3) if snapshot else None,
            "controller": self.courier.away or "ok",
            "waiting_calls": waiting["calls"],
            "waiting_batches": waiting["batches"],
            "waiting_scores": waiting["scores"],
            "dropped": self.courier.dropped + self.recorder.dropped,
            "dropped_scores": self.courier.dropped_scores,
            "shadow": self.shadow.describe(),
            "breakers": self.board.describe(time.monotonic()),
        }


_current: Shim | None = None
_switch = threading.Lock()
_renewal = threading.Lock()
_IMPORTED_IN = os.getpid()


def _is_to_be_forked() -> bool:
    """Whether this is uwsgi's first process, which loads the service and then forks its workers. It does so behind
    Python's back: a worker forked while any thread of ours has the interpreter would wait for it for ever."""
    uwsgi = sys.modules.get("uwsgi")
    return uwsgi is not None and os.getpid() == _IMPORTED_IN and uwsgi.worker_id() == 0


def current() -> Shim | None:
    """The process's shim, running; None while none is installed."""
    shim = _current
    if shim is None:
        return None
    if shim.pid != os.getpid():  # a fork that Python was not told of, as uwsgi's
        with _renewal:
            if _current is shim:
                _after_fork()
        shim = _current
    if shim is not None and not shim.started:  # after a fork
        shim.start()
    return shim


def copy_some(call: Call, client: Any, plain: Plain) -> None:
    """Lets chance say whether green gets a copy of this call once it is answered. Never raises."""
    shim = _current
    if shim is not None:
        shim.shadow.choose_from(call, client, plain)


def begin(settings: ShimSettings) -> Shim:
    """Makes and starts the process's shim; the one already there, if it has the same settings."""
    global _current
    with _switch:
        mine = current()  # after a fork one of its own, and started
        if mine is not None and mine.settings == settings:
            return mine
        before, _current = _current, None
        if before is not None:
            before.stop()
        shim = Shim(settings)
        shim.feed.start_from_disk()
        shim.start()
        if not shim.started:
            shim.feed.look()
        _current = shim
        return shim


def end(timeout: float = EXIT_SECONDS) -> None:
    """Stops the process's shim: calls go to plain boto3 from here on."""
    global _current
    with _switch:
        shim, _current = _current, None
    if shim is not None and shim.pid == os.getpid():  # what a parent has to deliver is the parent's
        shim.stop(timeout)


def _at_process_end() -> None:
    """Delivers what is there. Threads that go on until the very end keep their routes meanwhile."""
    shim = _current
    if shim is not None and shim.pid == os.getpid():  # what a parent has to deliver is the parent's
        shim.stop()


def _after_fork() -> None:
    """A child has none of its parent's threads, and must not use its numbers: it gets a shim of its own."""
    global _current, _switch
    _switch = threading.Lock()
    parent = _current
    if parent is not None:
        _current = Shim(parent.settings)
        _current.feed.adopt(parent.feed)


def _flush_at_process_end() -> None:
    # multiprocessing ends its children by os._exit, which leaves out atexit; it has a register of its own.
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(None, _at_process_end, exitpriority=10)


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_process_end)
