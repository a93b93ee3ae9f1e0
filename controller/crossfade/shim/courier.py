"""Courier: carries batches of observations, and scores, to the controller. Nothing is lost, nothing counted twice.

A batch once numbered is never changed: sent again, it is the same bytes under the same (shim, sequence). While the
controller is away calls merge into the recorder's sums, and what grows too large goes to disk as numbered batches.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from crossfade import __version__
from crossfade.core.observation import Row, row_to_dict
from crossfade.shim.controller import Away, Controller, Refused
from crossfade.shim.feed import Feed
from crossfade.shim.outbox import Outbox
from crossfade.shim.recorder import Recorder

log = logging.getLogger("crossfade")

OBSERVATIONS, SCORES = "/v1/observations", "/v1/scores"
MOST_ROWS = 2000
"""Rows summed in memory before they go to disk, numbered."""
MOST_BATCHES = 50
"""Numbered batches in memory, when the disk takes none either."""
MOST_SCORES = 20_000
SCORES_A_REQUEST = 500
_MOST_BODY = 900_000
_TIMEOUT = 10.0
_PATH = re.compile(r"scores\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Delivery:
    """A numbered batch, or a request of scores: these bytes, always. `calls` is what is lost if it is dropped."""

    path: str
    name: str
    body: bytes
    calls: int


class Courier:
    """`flush` may be called by any thread; one at a time does the work."""

    def __init__(
        self, shim: str, service: str, controller: Controller, feed: Feed, recorder: Recorder, outbox: Outbox
    ) -> None:
        self._shim = shim
        self._service = service
        self._controller = controller
        self._feed = feed
        self._recorder = recorder
        self._outbox = outbox
        self._lock = threading.Lock()
        self._sequence = 0
        self._pending: deque[Delivery] = deque()
        self._scores: deque[dict[str, Any]] = deque()
        self._warned: set[str] = set()
        self.dropped = 0
        """Calls in batches that were refused or had no room."""
        self.dropped_scores = 0
        self.away: str | None = None
        """Why the last delivery failed; None after a good one."""

    def score(self, item: dict[str, Any]) -> bool:
        """Takes a score; False if there is no room."""
        if len(self._scores) >= 2 * MOST_SCORES:
            self.dropped_scores += 1
            return False
        self._scores.append(item)
        return True

    def waiting(self) -> dict[str, int]:
        return {
            "calls": self._recorder.waiting(),
            "batches": len(self._pending) + self._outbox.count(),
            "scores": len(self._scores),
        }

    def flush(self, timeout: float = _TIMEOUT) -> bool:
        """Delivers everything there is within `timeout` seconds; False if something is left."""
        until = time.monotonic() + timeout
        if not self._lock.acquire(timeout=timeout):
            return False
        try:
            return self._flush(until)
        finally:
            self._lock.release()

    def close(self, timeout: float) -> None:
        """The last flush: what the controller does not take goes to disk."""
        until = time.monotonic() + timeout
        held = self._lock.acquire(timeout=timeout / 2)
        try:
            if held:
                with contextlib.suppress(Exception):  # whatever fails there: what is left is stored
                    self._flush(until)
            # Else another thread hangs in a flush. What it has in hand is stored too: sent twice, it counts once.
            self._number(self._recorder.take())
            while self._scores:
                self._pending.append(self._scores_delivery(self._take_scores()))
            for delivery in list(self._pending):
                self._to_disk(delivery, or_lose=True)
            self._pending.clear()
        finally:
            if held:
                self._lock.release()

    def run(self, seconds: float, stopped: threading.Event) -> None:
        """The courier's thread."""
        while not stopped.wait(seconds):
            try:
                self.flush()
            except Exception:  # a fault of ours must not end the reports for good
                self._warn_once("fault", "the courier failed and will go on", exc_info=True)

    def _flush(self, until: float) -> bool:
        try:
            self._deliver_pending(until)
            self._number(self._recorder.take())
            self._deliver_pending(until)
            while self._scores:
                self._deliver_scores(until)
            self._deliver_stored(until)
        except Away as error:
            self.away = str(error)
            self._warn_once("away", f"the controller is away; observations wait ({error})")
            self._make_room()
            return False
        self.away = None
        if "away" in self._warned:
            self._warned.discard("away")
            log.info("the controller answers again; observations go on", extra={"action": "courier_back"})
        return True

    def _deliver_pending(self, until: float) -> None:
        while self._pending:
            delivery = self._pending[0]
            if self._send(delivery, until):
                with contextlib.suppress(ValueError):  # `close` may have stored it meanwhile
                    self._pending.remove(delivery)

    def _send(self, delivery: Delivery, until: float) -> bool:
        """True when this delivery is done with: taken, or refused for good. Raises `Away`."""
        left = until - time.monotonic()
        if left <= 0:
            raise Away("no time left")
        try:
            self._controller.post(delivery.path, delivery.body, timeout=min(_TIMEOUT, left))
        except Refused as error:
            if error.status in (401, 403):
                # Says nothing about the batch: it is kept until somebody has put the token right.
                raise Away(f"the token is refused: {error}") from error
            self._refused(delivery, error)
        return True

    def _refused(self, delivery: Delivery, error: Refused) -> None:
        if delivery.path == SCORES:
            self._drop_bad_scores(delivery, error)
            return
        self.dropped += delivery.calls
        problems = "; ".join(f"{path}: {message}" for path, message in error.problems[:5])
        self._warn_once("refused", f"the controller refused a batch of {delivery.calls} calls: {error} {problems}")

    def _number(self, rows: Sequence[Row]) -> None:
        for part in _parts([row_to_dict(row) for row in rows]):
            snapshot = self._feed.snapshot
            now = time.time()
            document = {
                "shim": self._shim,
                "sequence": self._sequence,
                "service": self._service,
                "shim_version": __version__,
                "snapshot_version": snapshot.version if snapshot else 0,
                "snapshot_age": round(self._feed.age(now), 3),
                "dropped": self.dropped + self._recorder.dropped,
                "sent_at": now,
                "rows": part,
            }
            name = f"{self._shim}-{self._sequence:08d}"
            calls = sum(row.get("calls", 0) for row in part)
            self._pending.append(Delivery(OBSERVATIONS, name, _encode(document), calls))
            self._sequence += 1

    def _make_room(self) -> None:
        """While the controller is away: bounds what stands in memory."""
        if self._recorder.settle() > MOST_ROWS:
            self._number(self._recorder.take())
        while len(self._scores) > MOST_SCORES:
            self._pending.append(self._scores_delivery(self._take_scores()))
        while len(self._pending) > 1:
            full = len(self._pending) > MOST_BATCHES
            if not self._to_disk(self._pending[-1], or_lose=full) and not full:
                return
            self._pending.pop()

    def _to_disk(self, delivery: Delivery, *, or_lose: bool) -> bool:
        """Whether the outbox has taken it; what may not wait in memory any longer is lost, counted and said."""
        try:
            kept, why = self._outbox.put(delivery.name, delivery.body), "the outbox is full"
        except OSError as error:
            kept, why = False, str(error)
        if not kept and or_lose:
            self._lose(delivery, why)
        return kept

    def _lose(self, delivery: Delivery, why: str) -> None:
        if delivery.path == SCORES:
            self.dropped_scores += len(json.loads(delivery.body)["scores"])
        else:
            self.dropped += delivery.calls
        self._warn_once("lost", f"observations are being lost: the controller is away and {why}")

    def _deliver_stored(self, until: float) -> None:
        for claimed, body in self._outbox.claim():
            delivery = _stored(claimed.name, body)
            if delivery is None:
                self._warn_once("stored", f"a delivery on disk is cut and was dropped: {claimed.name}")
                self._outbox.remove(claimed)
                continue
            try:
                self._send(delivery, until)
            except Away:
                self._outbox.put_back(claimed)
                raise
            self._outbox.remove(claimed)

    # scores

    def _take_scores(self) -> list[dict[str, Any]]:
        return [self._scores.popleft() for _ in range(min(SCORES_A_REQUEST, len(self._scores)))]

    def _scores_delivery(self, items: Sequence[dict[str, Any]]) -> Delivery:
        name = f"scores-{self._shim}-{self._sequence:08d}"
        self._sequence += 1
        return Delivery(SCORES, name, _encode({"scores": list(items)}), 0)

    def _deliver_scores(self, until: float) -> None:
        # In a queue while it is under way, so that a process that ends meanwhile still stores it.
        self._pending.append(self._scores_delivery(self._take_scores()))
        self._deliver_pending(until)

    def _drop_bad_scores(self, delivery: Delivery, error: Refused) -> None:
        items = json.loads(delivery.body)["scores"]
        bad = {int(found[1]) for path, _ in error.problems if (found := _PATH.match(path))}
        good = [item for index, item in enumerate(items) if index not in bad]
        if error.status != 422 or not bad:  # it is not about single scores
            good, bad = [], set(range(len(items)))
        self.dropped_scores += len(items) - len(good)
        why = "; ".join(f"{path}: {message}" for path, message in error.problems[:5])
        self._warn_once("scores", f"the controller refused {len(items) - len(good)} scores: {error} {why}")
        self._scores.extend(good)

    def _warn_once(self, kind: str, message: str, *, exc_info: bool = False) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            log.warning(message, exc_info=exc_info, extra={"action": f"courier_{kind}"})


def _stored(name: str, body: bytes) -> Delivery | None:
    """A delivery read back from disk, or None if it is not whole."""
    try:
        document = json.loads(body)
        if name.startswith("scores-"):
            return Delivery(SCORES, name, body, 0) if document["scores"] else None
        return Delivery(OBSERVATIONS, name, body, sum(row.get("calls", 0) for row in document["rows"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _parts(rows: Iterable[dict[str, Any]]) -> Iterable[list[dict[str, Any]]]:
    """The rows in lists that stay below the controller's limit for one body."""
    part: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        length = len(_encode(row)) + 1
        if part and size + length > _MOST_BODY:
            yield part
            part, size = [], 0
        part.append(row)
        size += length
    if part:
        yield part


def _encode(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
