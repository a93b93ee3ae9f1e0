"""Shadow: green's copies of calls that blue has answered. Nobody waits for one, and none may cost the caller anything.

A call is chosen by chance when it begins, its request copied then, since callers go on with theirs; the copy is sent
once the call is recorded, by threads of its own. Copies have breakers and a retry budget of their own: what becomes of
them changes nothing for the calls of the service. What has no room is dropped and counted.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from crossfade.core import callid
from crossfade.core.outcome import Charge, Outcome
from crossfade.core.pair import Half, pair_key
from crossfade.core.policy import POLICY, Settings
from crossfade.core.snapshot import Entry
from crossfade.core.split import Variant
from crossfade.shim.account import Account
from crossfade.shim.board import Board
from crossfade.shim.call import Call, deadline_of
from crossfade.shim.dispatch import Plain, dispatch
from crossfade.shim.lane import Lane
from crossfade.shim.recorder import Recorder, Seen

log = logging.getLogger("crossfade")

_CHANCE = random.SystemRandom()
STALE = 30.0
"""Seconds a copy may wait for its turn: later its minutes would no longer be the call's."""
MOST_WAIT = 0.5
"""Seconds a copy may wait between two attempts."""
CHEAP = 0.05
"""Seconds: the longest base of a backoff after which a copy is tried again. Nobody waits for one; quota is for those
who do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadowed:
    """Green's answer to a copy, for the service's own grader. `call_id` is the copy's, to be given to
    `crossfade.score`, `blue_call_id` that of the call it is a copy of. `request` is what was asked, `answer` as boto3
    gives it, but a stream is the list of its events and a body bytes. `seconds` is how long it took.
    """

    call_id: str
    blue_call_id: str
    route: str
    operation: str
    request: dict[str, Any]
    answer: dict[str, Any]
    seconds: float


_grader: Callable[[Shadowed], object] | None = None


def shadowed(grader: Callable[[Shadowed], object] | None) -> None:
    """Has `grader` called with every answer of green to a copy (`Shadowed`), to score it; None ends that.

    It is called in the copies' own threads: while it runs no other copy takes its place, and no call waits. What it
    raises is logged once.
    """
    global _grader
    _grader = grader


class Shadow:
    """All copies of one process."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._board = Board()
        self._lanes: dict[int, Lane[_Item]] = {}
        self._counts: Counter[str] = Counter()
        self._stopped = False
        self._has_warned = False

    def choose(self, call: Call, client: Any, plain: Plain) -> None:
        """Makes this call one of which a copy is sent, if chance says so and there is room. Never raises."""
        try:
            if self._chosen(call):
                request = _copied(call.params)
                call.shadow = _Copy(self, call.entry.id, client, plain, request)
        except Exception:
            self._warn("Crossfade could not copy a call for green")

    def _chosen(self, call: Call) -> bool:
        live = call.entry.live
        if live is None or call.variant is not Variant.BLUE or not call.answers:
            return False
        if _CHANCE.random() * 100 >= live.shadow:
            return False
        if call.operation.startswith("InvokeModel"):
            family = call.snapshot.models[live.green].body_family
            if family is None or family != call.family:
                self._counts["unfit"] += 1
                return False
        return self._counted(self._lane(call.entry.id).admits(time.monotonic(), call.settings))

    def take(self, copy: _Copy, call: Call, seen: Seen) -> None:
        """Queues the copy of a call that has just been recorded."""
        if not seen.counted.judged:
            return  # there is nothing to compare an answer with: the caller's doing, or the account's
        lane = self._lane(copy.route)
        if not self._counted(not self._stopped and lane.put(_Item(copy, call, seen, time.monotonic()), call.settings)):
            return
        if lane.wants_thread(call.settings):
            try:
                threading.Thread(target=self._work, args=(lane,), name="crossfade-shadow", daemon=True).start()
            except RuntimeError:  # the interpreter is ending, or there are too many
                lane.thread_ended()

    def stop(self) -> None:
        """No copy is begun any more; those under way are left to end with the process."""
        self._stopped = True

    def describe(self) -> dict[str, int]:
        """Copies since the process began: `sent`; `dropped` for lack of room; `unfit`, bodies that green does not take;
        `failed`, no answer. `waiting` are there now, under way or not."""
        counts = {name: self._counts[name] for name in ("sent", "dropped", "unfit", "failed")}
        return counts | {"waiting": sum(lane.outstanding for lane in list(self._lanes.values()))}

    def _lane(self, route: int) -> Lane[_Item]:
        return self._lanes.setdefault(route, Lane())

    def _counted(self, has_room: bool) -> bool:
        self._counts["dropped"] += not has_room
        return has_room

    def _work(self, lane: Lane[_Item]) -> None:
        while (item := lane.next()) is not None:
            try:
                if self._counted(not self._stopped and time.monotonic() - item.since < STALE):
                    self._send(item)
            except Exception as error:
                self._counts["failed"] += 1
                log.debug("a copy failed: %s", error, extra={"action": "copy_failed"})
            finally:
                lane.done()

    def _send(self, item: _Item) -> None:
        blue, copy = item.call, item.copy
        self._counts["sent"] += 1
        began = time.monotonic()
        entry = _for_copies(blue.entry)
        call = Call(
            operation=blue.operation,
            params=copy.request,
            snapshot=blue.snapshot,
            entry=entry,
            variant=Variant.GREEN,
            board=self._board,
            recorder=_Paired(self._recorder, item.seen, blue.settings),
            began=began,
            at=blue.at,
            deadline=began + deadline_of(blue.operation, entry.route.policy, None),
            is_copy=True,
        )
        call.id = callid.copied(blue.snapshot.signing_key, blue.id)
        answer = _whole(dispatch(call, copy.client, copy.plain))
        if _grader is None:
            return
        told = Shadowed(
            call_id=call.id,
            blue_call_id=blue.id,
            route=entry.route.name,
            operation=call.operation,
            request=copy.request,
            answer=answer,
            seconds=time.monotonic() - began,
        )
        try:
            _grader(told)
        except Exception:
            self._warn("the service's grader of copies (crossfade.shadowed) raised")

    def _warn(self, message: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            log.warning(message, exc_info=True, extra={"action": "copy_trouble"})


@dataclass(frozen=True, slots=True)
class _Copy:
    """What is to be sent once its call is recorded."""

    shadow: Shadow
    route: int
    client: Any
    plain: Plain
    request: dict[str, Any]

    def offer(self, call: Call, seen: Seen) -> None:
        try:
            self.shadow.take(self, call, seen)
        except Exception:  # the caller has its answer: it must not lose it to this
            self.shadow._warn("Crossfade could not queue a copy for green")


@dataclass(frozen=True, slots=True)
class _Item:
    copy: _Copy
    call: Call
    seen: Seen
    since: float


class _Paired(Recorder):
    """Records a copy as green's, paired with blue's call."""

    def __init__(self, recorder: Recorder, blue: Seen, policy: Settings) -> None:
        super().__init__()
        self._recorder = recorder
        self._blue = blue
        self._policy = policy

    def record(self, seen: Seen) -> None:
        counted = seen.counted
        if counted.outcome in POLICY and _is_asked_once(counted.outcome, self._policy):
            # A call would have been tried again, and blue's was: no word on green.
            counted = replace(counted, judged=False, error=False)
        if counted.outcome is Outcome.REJECTED and self._blue.counted.outcome is Outcome.OK:
            # As a second opinion of blue would have it: blue took the very same request.
            counted = Account(outcome=Outcome.INCOMPATIBLE, judged=True, error=True)
        pair = pair_key(_half(self._blue), _half(replace(seen, counted=counted))) if counted.judged else None
        self._recorder.record(replace(seen, counted=counted, copy=True, pair=pair))


def _half(seen: Seen) -> Half:
    return Half(
        error=seen.counted.error,
        latency=seen.latency,
        first_token=seen.first_token,
        cost=seen.cost,
        stop=seen.stop,
    )


def _for_copies(entry: Entry) -> Entry:
    """The route as a copy goes through it: green alone, no fallback, busy answer, second request or long wait."""
    assert entry.live is not None
    policy = entry.route.policy
    names = {spec.name for spec in fields(Settings)}
    dear = [outcome for outcome in POLICY if _is_asked_once(outcome, policy)]
    once = {name: 1 for outcome in dear for name in (f"{outcome}_tries", f"{outcome}_tries_last") if name in names}
    changed: dict[str, Any] = {"busy": False, "hedge": False, "backoff_cap": min(MOST_WAIT, policy.backoff_cap)} | once
    route = replace(entry.route, blue=entry.live.green, fallbacks=(), policy=replace(policy, **changed))
    return replace(entry, route=route)


def _is_asked_once(outcome: Outcome, policy: Settings) -> bool:
    return POLICY[outcome].charge is Charge.QUOTA or policy.base(outcome) > CHEAP


def _copied(value: Any) -> Any:
    """A request that its caller may go on changing: new containers, the same texts and bytes."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _whole(response: dict[str, Any]) -> dict[str, Any]:
    """The answer read to its end, which records a stream."""
    for name in ("stream", "body"):
        found = response.get(name)
        if found is not None:
            response[name] = found.read() if hasattr(found, "read") else list(found)
    return response
