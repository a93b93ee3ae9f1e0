"""Relay: one stream from Bedrock, held until its first content, then handed on in whole frames, with an end always."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

import aiohttp
from botocore.exceptions import EventStreamError

from crossfade.core.outcome import Outcome
from crossfade.shim.classify import Incomplete
from crossfade.shim.events import Reading
from crossfade.shim.stream import told_broken
from crossfade.sidecar.frames import Frame, Splitter, frame
from crossfade.sidecar.upstream import failure_of

Ended = Callable[[Outcome, bool], None]
"""Told once how the stream ended, and whether the caller got an error."""


class Relay:
    """`first_token` is in seconds since `began`, None until the first content."""

    def __init__(self, response: aiohttp.ClientResponse, operation: str, reading: Reading, began: float) -> None:
        self.reading = reading
        self.first_token: float | None = None
        self._response = response
        self._operation = operation
        self._began = began
        self._splitter = Splitter()
        self._held: list[Frame] = []

    async def hold(self) -> None:
        """Reads until the first content. Raises whatever goes wrong."""
        while not self.reading.content:
            found = await self._read()
            if not found:
                raise Incomplete("the stream ended before its first content")
            self._held += found
        self.first_token = time.monotonic() - self._began

    async def frames(self, stall: float, deadline: float, ended: Ended) -> AsyncGenerator[list[Frame], None]:
        """What was held, then what comes; an exception frame where the stream broke off. Close it whatever happens."""
        outcome, raised, error = Outcome.ABANDONED, False, None
        try:
            found = self._held
            while found:
                yield found
                if self.reading.ended:
                    outcome = self._good()  # the caller has the stop: it may leave now
                try:
                    async with asyncio.timeout(max(0.0, min(stall, deadline - time.monotonic()))):
                        found = await self._read()
                    if not found and not self.reading.ended:
                        raise Incomplete("the stream ended without its last event")
                except Exception as broken:
                    if self.reading.ended:  # all content and the stop are there; only what follows was lost
                        break
                    outcome, raised, error = failure_of(broken).outcome, True, broken
                    break
            if error is None:
                outcome = self._good()
        finally:
            self.close()
            ended(outcome, raised)
        if error is not None:
            yield [self._told(error, outcome)]

    def close(self) -> None:
        """Closes the connection, unless all was read and it went back already."""
        self._response.close()

    def _good(self) -> Outcome:
        return Outcome.MALFORMED if self.reading.malformed else Outcome.OK

    async def _read(self) -> list[Frame]:
        """The next whole frames up to a bad one; none at the end. Raises where the bad one is the first."""
        data = b""  # at first, what came with the last ones
        while True:
            found = self._splitter.feed(data)
            for index, one in enumerate(found):
                try:
                    if one.kind != "event":
                        raise self._raised(one)
                    self.reading.see(one.event())
                except Exception:
                    if not index:
                        raise
                    self._splitter.put_back(found[index:])
                    return found[:index]
            if found:
                return found
            data = await self._response.content.readany()
            if not data:
                if self._splitter.inside:
                    raise Incomplete("the stream ended inside a frame")
                return []

    def _raised(self, one: Frame) -> EventStreamError:
        message = one.event().get(one.name, {})
        text = str(message.get("message") or message.get("Message") or "")
        error = EventStreamError({"Error": {"Code": one.name, "Message": text}}, self._operation)
        error.frame = one
        return error

    def _told(self, error: Exception, outcome: Outcome) -> Frame:
        own: Any = getattr(error, "frame", None)
        if isinstance(own, Frame):
            return own
        code, message = told_broken(error, outcome, self._operation)
        return frame("exception", code, {"message": message})
