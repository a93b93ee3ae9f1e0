"""Load: callers who ask as fast as they are answered, or at given moments whatever becomes of the calls before."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import repeat

from benchmarks.sidecar.wire import Http1, Http2, Request

_SHARING = 16
"""Callers on one connection of HTTP/2."""
_BEGIN_SECONDS = 60

Ask = Callable[[], Awaitable[None]]


async def closed(port: int, request: Request, *, http2: bool, callers: int, calls: int) -> None:
    """So many calls, each caller's next when its last is answered."""
    async with connected(port, request, http2=http2, callers=callers) as asks:
        await _at(asks, repeat(0.0, calls))


async def opened(port: int, request: Request, *, callers: int, rate: float, seconds: float, seed: int) -> list[float]:
    """Calls at moments drawn by chance, `rate` a second: each one's seconds, from when it was due.

    With all callers busy a call waits, and that counts.
    """
    async with connected(port, request, http2=False, callers=callers) as asks:
        return await _at(asks, _by_chance(rate, seconds, seed))


@contextlib.asynccontextmanager
async def connected(port: int, request: Request, *, http2: bool, callers: int) -> AsyncIterator[Sequence[Ask]]:
    loop = asyncio.get_running_loop()
    kind, connections = (Http2, -(-callers // _SHARING)) if http2 else (Http1, callers)
    made = [
        (await loop.create_connection(lambda: kind(request, port), "127.0.0.1", port))[1] for _ in range(connections)
    ]
    try:
        yield [made[number % connections].ask for number in range(callers)]
    finally:
        for connection in made:
            connection.close()


@contextlib.asynccontextmanager
async def streaming(port: int, request: Request, streams: int) -> AsyncIterator[None]:
    """So many streams at a time, each of which has begun."""
    loop = asyncio.get_running_loop()
    made = [(await loop.create_connection(lambda: Http1(request, port), "127.0.0.1", port))[1] for _ in range(streams)]
    asking = [asyncio.ensure_future(connection.ask()) for connection in made]
    try:
        async with asyncio.timeout(_BEGIN_SECONDS):
            while not all(connection.begun for connection in made):
                await asyncio.sleep(0.01)
        yield
    finally:
        for connection in made:
            connection.close()
        await asyncio.gather(*asking, return_exceptions=True)  # they have no end


def _by_chance(rate: float, seconds: float, seed: int) -> Iterator[float]:
    chance, due = random.Random(seed), 0.0
    while (due := due + chance.expovariate(rate)) < seconds:
        yield due


async def _at(asks: Sequence[Ask], dues: Iterable[float]) -> list[float]:
    took: list[float] = []
    waiting, begun = iter(dues), time.perf_counter()

    async def call(ask: Ask) -> None:
        for due in waiting:
            early = begun + due - time.perf_counter()
            if early > 0:
                await asyncio.sleep(early)
            await ask()
            took.append(time.perf_counter() - begun - due)

    async with asyncio.TaskGroup() as callers:
        for ask in asks:
            callers.create_task(call(ask))
    return took
