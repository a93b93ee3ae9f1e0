"""Feed: brings snapshots into the process and keeps the last good one, in memory and on disk."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from pathlib import Path

from crossfade.core.snapshot import Snapshot, is_signed, read_snapshot
from crossfade.core.split import CHANCE
from crossfade.errors import CrossfadeError
from crossfade.shim.controller import Controller, Fetched
from crossfade.shim.disk import write_whole
from crossfade.shim.settings import ShimSettings

log = logging.getLogger("crossfade")

WAIT = 25.0
"""Seconds a long poll is left open."""
_RETRY_LEAST, _RETRY_MOST = 0.5, 10.0
_PACE = 2.0
"""Seconds between two polls that bring nothing new, at least."""


class Feed:
    """`snapshot` is read by every call: one reference, swapped whole."""

    def __init__(self, settings: ShimSettings, controller: Controller) -> None:
        self.snapshot: Snapshot | None = None
        self.fetched_at = 0.0
        """When the controller last confirmed the snapshot, in seconds since 1970; 0 for one only read from disk."""
        self._controller = controller
        self._token = settings.token
        self._etag: str | None = None
        self._first = threading.Event()
        self._stopped = threading.Event()
        self._refused: set[str] = set()
        self._away = False
        """Whether the log says so."""
        mark = hashlib.sha256(f"{settings.url}\n{settings.token}".encode()).hexdigest()[:16]
        self._path = settings.state_dir / f"snapshot-{mark}.json"

    @property
    def path(self) -> Path:
        """Where the last good snapshot is kept: its signature in the first line, then its bytes."""
        return self._path

    def start_from_disk(self) -> bool:
        """Takes the snapshot on disk, if there is a whole and signed one."""
        try:
            signature, _, body = self._path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return False
        except OSError as error:
            self._warn_once("stored_snapshot_unusable", "cannot read the stored snapshot", f"{self._path}: {error}")
            return False
        if not is_signed(self._token, body, signature.decode("latin-1")):
            self._warn_once(
                "stored_snapshot_unusable", "the stored snapshot is cut or altered and is not used", str(self._path)
            )
            return False
        return self._accept(body)

    def run(self) -> None:
        """The feed's thread: long polls until stopped."""
        failures = 0
        while not self._stopped.is_set():
            try:
                asked, known = time.monotonic(), self._etag
                self.poll(wait=WAIT if known else 0.0)
                failures = 0
                left = _PACE - (time.monotonic() - asked)
                if known and self._etag == known and left > 0:
                    # A controller without a place for another long poll answers at once: do not spin.
                    self._stopped.wait(left * (0.5 + CHANCE.random()))
            except Exception as error:  # whatever it is, this thread alone brings a rollback: it must go on
                failures += 1
                self._warn_away(error)
                pause = min(_RETRY_MOST, _RETRY_LEAST * 2 ** min(failures - 1, 10))
                self._stopped.wait(pause * (0.5 + CHANCE.random()))

    def look(self) -> None:
        """One request without a thread, where none may be yet. Never raises."""
        try:
            self.poll(wait=0.0)
        except Exception as error:
            self._warn_away(error)

    def poll(self, *, wait: float) -> None:
        """One request. Raises `Away` or `Refused`; a malformed snapshot is refused here and changes nothing."""
        fetched = self._controller.snapshot(self._etag, wait=wait, timeout=wait + 10.0)
        if fetched is not None:
            if not self._accept(fetched.body):
                self._etag = None
                self._stopped.wait(_RETRY_MOST if self._first.is_set() else _RETRY_LEAST)
                return
            self._etag = fetched.etag or None
            self._store(fetched)
        self.fetched_at = time.time()
        self._refused.clear()
        if self._away:
            self._away = False
            log.info("the controller answers again; the snapshot is its latest", extra={"action": "feed_back"})

    def adopt(self, parent: Feed) -> None:
        """Takes over what the parent process knew at a fork."""
        self.snapshot, self.fetched_at = parent.snapshot, parent.fetched_at
        if self.snapshot is not None:
            self._first.set()

    def _warn_away(self, error: Exception) -> None:
        self._away = True
        self._warn_once("feed_away", f"no snapshot from the controller; {self._onward()}", str(error))

    def _onward(self) -> str:
        return (
            "routing goes on with the last one"
            if self.snapshot
            else "calls go to Bedrock as they are until there is one"
        )

    @property
    def has_warned(self) -> bool:
        """Whether the log says already why there is no new snapshot."""
        return bool(self._refused)

    def wait_for_first(self, seconds: float) -> bool:
        return self._first.wait(seconds)

    def stop(self) -> None:
        self._stopped.set()

    def age(self, now: float) -> float:
        """Seconds since the controller last confirmed the snapshot; since it was issued, if it never did here."""
        since = self.fetched_at or (self.snapshot.issued_at if self.snapshot else now)
        return max(0.0, now - since)

    def _accept(self, body: bytes) -> bool:
        try:
            self.snapshot = read_snapshot(body)
        except CrossfadeError as error:
            self._warn_once("snapshot_refused", f"a malformed snapshot was refused; {self._onward()}", str(error)[:500])
            return False
        self._first.set()
        return True

    def _store(self, fetched: Fetched) -> None:
        try:
            write_whole(self._path, fetched.signature.encode() + b"\n" + fetched.body)
        except OSError as error:
            self._warn_once(
                "snapshot_not_stored", "the snapshot cannot be kept on disk; a restart needs the controller", str(error)
            )

    def _warn_once(self, action: str, what: str, detail: str) -> None:
        """Once until the controller answers well again: a feed that tries every few seconds must not fill the log."""
        if what not in self._refused:
            self._refused.add(what)
            log.warning("%s (%s)", what, detail, extra={"action": action})
