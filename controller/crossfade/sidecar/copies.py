"""Copies: sent by tasks of the event loop, with the sidecar's own requests."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from contextvars import Context

from crossfade.shim.call import Call
from crossfade.shim.lane import Lane
from crossfade.shim.recorder import Recorder
from crossfade.shim.shadow import Item, Shadow
from crossfade.sidecar.drive import Stream, Whole, drive, frames_of
from crossfade.sidecar.request import Request
from crossfade.sidecar.upstream import Upstream


class Unanswered(Exception):  # noqa: N818
    """Green gave a copy no answer, or not all of one; it is recorded as what it was."""


class Copies(Shadow):
    """The copies of a worker."""

    def __init__(self, recorder: Recorder, upstream: Upstream) -> None:
        super().__init__(recorder)
        self._upstream = upstream
        self._tasks: set[asyncio.Task[None]] = set()

    def choose_from(self, call: Call, request: Request) -> None:
        """Lets chance say whether green gets a copy of this call once it is answered. Never raises."""
        live = call.entry.live
        if live is not None and live.shadow:
            self.choose(call, lambda copy: _send(copy, request, self._upstream))

    async def end(self, until: float) -> None:
        """Begins no copy any more, and gives up those that are under way at `until`, on the monotonic clock."""
        self.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=max(0.0, until - time.monotonic()))
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _start(self, lane: Lane[Item]) -> None:
        # In a context of its own: the worker is no part of the call that happens to start it.
        task = asyncio.get_running_loop().create_task(self._work(lane), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, lane: Lane[Item]) -> None:
        while (item := lane.next(0.0)) is not None:
            with self._turn(lane, item) as copy:
                if copy is not None:
                    await item.copy.send(copy)


async def _send(copy: Call, request: Request, upstream: Upstream) -> None:
    ending, _ = await drive(copy, request, upstream)
    whole = isinstance(ending, Whole) and ending.status == 200
    if isinstance(ending, Stream):
        async with aclosing(frames_of(copy, ending)) as frames:
            async for found in frames:
                whole = found[-1].kind == "event"
    if not whole:
        raise Unanswered(", ".join(str(tried.outcome) for tried in copy.tried) or "no time")
