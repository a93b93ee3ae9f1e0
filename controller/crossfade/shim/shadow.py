"""Shadow: green's copies of calls that blue has answered. Nobody waits for one, and none may cost the caller anything.

A call is chosen by chance when it begins; its copy is sent once the call is recorded, by workers of its own: threads
(`shim.copies`) or tasks (`sidecar.copies`). Copies have breakers and a retry budget of their own: what becomes of them
changes nothing for the calls of the service. What has no room is dropped and counted.
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from crossfade.core import callid
from crossfade.core.split import CHANCE, Variant
from crossfade.shim.board import Board
from crossfade.shim.call import Call, deadline_of
from crossfade.shim.lane import Lane
from crossfade.shim.paired import Paired, for_copies
from crossfade.shim.recorder import Recorder, Seen

log = logging.getLogger("crossfade")

STALE = 30.0
"""Seconds a copy may wait for its turn: later its minutes would no longer be the call's."""

Send = Callable[[Call], Any]
"""Sends a copy and has its answer read to the end, in a worker; raises where there is none."""


class Shadow(ABC):
    """All copies of one process. They are counted in the recorder's `copies`."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._board = Board()
        self._lanes: dict[int, Lane[Item]] = {}
        self._stopped = False
        self._has_warned = False

    @abstractmethod
    def _start(self, lane: Lane[Item]) -> None:
        """Starts a worker, which sends the lane's copies in their `_turn`, until there are none."""

    def _kept(self, params: dict[str, Any]) -> dict[str, Any]:
        """The request as it waits for its turn."""
        return params

    def choose(self, call: Call, send: Send) -> None:
        """Makes this call one of which a copy is sent, if chance says so and there is room. Never raises."""
        try:
            if self._chosen(call):
                call.shadow = _Copy(self, call.entry.id, send, self._kept(call.params))
        except Exception:
            self._warn("Crossfade could not copy a call for green")

    def _chosen(self, call: Call) -> bool:
        live = call.entry.live
        if live is None or call.variant is not Variant.BLUE or not call.answers:
            return False
        if CHANCE.random() * 100 >= live.shadow:
            return False
        if call.operation.startswith("InvokeModel"):
            family = call.snapshot.models[live.green].body_family
            if family is None or family != call.family:
                self._recorder.copies["unfit"] += 1
                return False
        return self._counted(self._lane(call.entry.id).admits(time.monotonic(), call.settings))

    def take(self, copy: _Copy, call: Call, seen: Seen) -> None:
        """Queues the copy of a call that has just been recorded."""
        if not seen.counted.judged:
            return  # there is nothing to compare an answer with: the caller's doing, or the account's
        lane = self._lane(copy.route)
        if not self._counted(not self._stopped and lane.put(Item(copy, call, seen, time.monotonic()), call.settings)):
            return
        if lane.wants_worker(call.settings):
            try:
                self._start(lane)
            except RuntimeError:  # the interpreter is ending, or there are too many
                lane.worker_ended()

    def stop(self) -> None:
        """No copy is begun any more; those under way are left to end by themselves."""
        self._stopped = True

    def describe(self) -> dict[str, int]:
        """The recorder's `copies`; `waiting` are there now, under way or not."""
        waiting = sum(lane.outstanding for lane in list(self._lanes.values()))
        return {**self._recorder.copies, "waiting": waiting}

    def _lane(self, route: int) -> Lane[Item]:
        return self._lanes.setdefault(route, Lane())

    def _counted(self, has_room: bool) -> bool:
        self._recorder.copies["dropped"] += not has_room
        return has_room

    @contextmanager
    def _turn(self, lane: Lane[Item], item: Item) -> Iterator[Call | None]:
        """The copy as the call that it is, to be sent in the `with`; None where it comes too late."""
        try:
            is_in_time = self._counted(not self._stopped and time.monotonic() - item.since < STALE)
            yield self._begun(item) if is_in_time else None
        except Exception as error:
            self._recorder.copies["failed"] += 1
            log.debug("a copy failed: %s", error, extra={"action": "copy_failed"})
        finally:
            lane.done()

    def _begun(self, item: Item) -> Call:
        blue = item.call
        self._recorder.copies["sent"] += 1
        began = time.monotonic()
        entry = for_copies(blue.entry)
        call = Call(
            operation=blue.operation,
            params=item.copy.request,
            snapshot=blue.snapshot,
            entry=entry,
            variant=Variant.GREEN,
            board=self._board,
            recorder=Paired(self._recorder, item.seen, blue.settings),
            began=began,
            at=blue.at,
            deadline=began + deadline_of(blue.operation, entry.route.policy, None),
            home=blue.home,
            is_copy=True,
        )
        call.id = callid.copied(blue.snapshot.signing_key, blue.id)
        return call

    def _warn(self, message: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            log.warning(message, exc_info=True, extra={"action": "copy_trouble"})


@dataclass(frozen=True, slots=True)
class _Copy:
    """What is to be sent once its call is recorded."""

    shadow: Shadow
    route: int
    send: Send
    request: dict[str, Any]

    def offer(self, call: Call, seen: Seen) -> None:
        try:
            self.shadow.take(self, call, seen)
        except Exception:  # the caller has its answer: it must not lose it to this
            self.shadow._warn("Crossfade could not queue a copy for green")


@dataclass(frozen=True, slots=True)
class Item:
    """A copy that waits for its turn since `since`, and its call with what became of it."""

    copy: _Copy
    call: Call
    seen: Seen
    since: float
