"""Copies: sent by threads of their own, through the service's own client; what green answered goes to its grader."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from crossfade.shim.call import Call
from crossfade.shim.dispatch import Plain, dispatch
from crossfade.shim.lane import Lane
from crossfade.shim.recorder import Recorder
from crossfade.shim.shadow import Item, Shadow

log = logging.getLogger("crossfade")

IDLE = 5.0
"""Seconds a thread waits for another copy before it ends."""


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


class Copies(Shadow):
    """The copies of a process that calls with boto3."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self._grader_raised = False

    def choose_from(self, call: Call, client: Any, plain: Plain) -> None:
        """Lets chance say whether green gets a copy of this call once it is answered. Never raises."""
        self.choose(call, lambda copy: _whole(dispatch(copy, client, plain)))

    def _start(self, lane: Lane[Item]) -> None:
        threading.Thread(target=self._work, args=(lane,), name="crossfade-shadow", daemon=True).start()

    def _kept(self, params: dict[str, Any]) -> dict[str, Any]:
        return {name: _copied(value) for name, value in params.items()}  # callers go on with theirs

    def _work(self, lane: Lane[Item]) -> None:
        while (item := lane.next(IDLE)) is not None:
            with self._turn(lane, item) as copy:
                if copy is not None:
                    answer = item.copy.send(copy)
                    if _grader is not None:
                        self._grade(_grader, copy, item.call, answer)

    def _grade(self, grader: Callable[[Shadowed], object], copy: Call, blue: Call, answer: dict[str, Any]) -> None:
        told = Shadowed(
            call_id=copy.id,
            blue_call_id=blue.id,
            route=copy.entry.route.name,
            operation=copy.operation,
            request=copy.params,
            answer=answer,
            seconds=time.monotonic() - copy.began,
        )
        try:
            grader(told)
        except Exception:
            if not self._grader_raised:
                self._grader_raised = True
                log.warning(
                    "the service's grader of copies (crossfade.shadowed) raised",
                    exc_info=True,
                    extra={"action": "copy_trouble"},
                )


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
