"""Drive: takes a call through its course from an event loop. The same course that `shim.dispatch` drives with boto3."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, replace

from botocore.exceptions import ClientError

from crossfade.core.outcome import Outcome
from crossfade.shim.answer import Told
from crossfade.shim.call import Call
from crossfade.shim.classify import Failure
from crossfade.shim.course import (
    Ask,
    Begun,
    Busy,
    Came,
    Hedge,
    Hedged,
    Raise,
    Refresh,
    Serve,
    Unavailable,
    Wait,
    course,
    end_of_stream,
)
from crossfade.shim.events import reading_of
from crossfade.sidecar.frames import Frame
from crossfade.sidecar.relay import Relay
from crossfade.sidecar.request import Request
from crossfade.sidecar.upstream import Upstream, failure_of, passed_on, read_whole, refusal

log = logging.getLogger("crossfade")


@dataclass(slots=True)
class Whole:
    """An answer, or an error, as it came from Bedrock."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(slots=True)
class Stream:
    """A stream that has shown its first content."""

    headers: list[tuple[str, str]]
    relay: Relay
    ask: Ask


Brought = Whole | Stream | None
Ending = Whole | Stream | Busy | Unavailable


Left = Callable[[float], Awaitable[bool]]
"""Lets so many seconds pass, fewer if the caller leaves; whether it has left."""


class Untouched(Exception):  # noqa: N818
    """A fault of ours before anything was sent: the call goes to Bedrock as it is."""


class Abandoned(Exception):  # noqa: N818
    """The caller has left: there is nobody to answer."""


async def stays(seconds: float) -> bool:
    """A `Left` of whoever does not leave."""
    await asyncio.sleep(seconds)
    return False


async def drive(call: Call, request: Request, upstream: Upstream, left: Left = stays) -> tuple[Ending, Ask | None]:
    """What the caller gets, and from where. The call is recorded, or will be when its stream ends.

    Once the caller has left nothing more is asked or waited for: recorded as abandoned, raises `Abandoned`. What is
    under way then is finished first, since Bedrock charges for it all the same.
    """
    with call.span:
        return await _drive(call, request, upstream, left)


async def _drive(call: Call, request: Request, upstream: Upstream, left: Left) -> tuple[Ending, Ask | None]:
    try:
        steps = course(call)
        step = next(steps)
    except Exception as fault:
        if call.is_copy:
            raise
        log.warning("Crossfade could not dispatch a call", exc_info=True, extra={"action": "left_to_bedrock"})
        call.recorded = True
        call.recorder.dropped += 1
        raise Untouched from fault
    brought: Brought = None
    came: Came = None
    news: Came
    asked: Ask | None = None
    try:
        while True:
            match step:
                case Ask():
                    if asked is not None and await left(0.0):
                        _take_back(call, step, asked)
                        raise Abandoned
                    asked = step
                    brought, news = await _asked(call, step, request, upstream, left)
                    came = news.came if isinstance(news, Hedged) else news
                case Wait(seconds):
                    if await left(seconds):
                        raise Abandoned
                    news = None
                case Refresh():
                    news = await _renewed(call, upstream)
                case Serve(ask):
                    assert brought is not None
                    return brought, ask
                case Raise(error):
                    assert isinstance(came, Failure)
                    return _as_it_came(replace(came, error=error)), None
                case Busy() | Unavailable():
                    return step, None
            try:
                step = steps.send((time.monotonic(), news))
            except Exception:
                log.warning("Crossfade ended a call early", exc_info=True, extra={"action": "call_ended_early"})
                if isinstance(came, Failure):
                    call.unanswered()
                    return _as_it_came(came), None
                assert brought is not None
                call.recorder.dropped += not (call.recorded or call.streaming)
                return brought, asked
    except BaseException:
        if isinstance(step, Ask):
            call.board.release(step.stop.target)
        call.unanswered(abandoned=True)  # recorded already, unless this very task is being ended
        raise


async def _renewed(call: Call, upstream: Upstream) -> bool:
    try:
        async with asyncio.timeout(max(0.0, call.left(time.monotonic()))):
            return await upstream.identity.renew()
    except TimeoutError:
        return False


def _take_back(call: Call, ask: Ask, last: Ask) -> None:
    """An attempt that the course has decided on is not made."""
    if ask.stop is last.stop:
        call.retries -= 1
    else:
        call.failovers -= 1


def _as_it_came(failure: Failure) -> Whole:
    """The error that settles a call: Bedrock's own answer, where one came."""
    answer = getattr(failure.error, "answer", None)
    if answer is not None:
        return Whole(*answer)
    told = failure.error.response["Error"] if isinstance(failure.error, ClientError) else {}
    message = told.get("Message") or f"{type(failure.error).__name__}: {failure.error}"
    status, code = _STATUS.get(failure.outcome, (503, "ServiceUnavailableException"))
    return error_answer(status, code, message)


_STATUS = {
    Outcome.REJECTED: (400, "ValidationException"),
    Outcome.DENIED: (403, "AccessDeniedException"),
    Outcome.CREDENTIALS: (403, "UnrecognizedClientException"),
    Outcome.MISCONFIGURED: (404, "ResourceNotFoundException"),
}
"""How an error is put that came inside a stream, or never left this machine."""


def error_answer(status: int, code: str, message: str) -> Whole:
    """An error in Bedrock's own shape."""
    headers = [("content-type", "application/json"), ("x-amzn-errortype", code)]
    return Whole(status, headers, json.dumps({"message": message}).encode())


Answered = tuple[Brought, Told | Begun | Failure]


async def _asked(call: Call, ask: Ask, request: Request, upstream: Upstream, left: Left) -> tuple[Brought, Came]:
    """An attempt; where it may be hedged and is late, two, of which the first good answer counts."""
    if ask.hedge is None:
        return await _attempt(call, ask, request, upstream)
    tasks: list[asyncio.Task[Answered]] = [asyncio.create_task(_attempt(call, ask, request, upstream))]
    try:
        await asyncio.wait(tasks, timeout=max(0.0, ask.hedge.at - time.monotonic()))
        other = None if tasks[0].done() or await left(0.0) else _second(ask.hedge)
        if other is None:
            return await tasks[0]
        tasks.append(asyncio.create_task(_attempt(call, other, request, upstream)))
        while (good := _good(tasks)) is None and not all(task.done() for task in tasks):
            await asyncio.wait([task for task in tasks if not task.done()], return_when=asyncio.FIRST_COMPLETED)
        asks, counts = (ask, other), good or 0
        brought, came = tasks[counts].result()
        rest = tasks.pop(1 - counts)
        failed = rest.result()[1] if rest.done() else None
        _give_up(rest)
        return brought, Hedged(asks[counts], came, asks[1 - counts], failed if isinstance(failed, Failure) else None)
    except BaseException:
        for task in tasks:
            _give_up(task)
        raise


def _second(hedge: Hedge) -> Ask | None:
    try:
        return hedge.begin(time.monotonic())
    except Exception:  # the first request goes on
        log.warning("Crossfade could not hedge a call", exc_info=True, extra={"action": "not_hedged"})
        return None


def _good(tasks: list[asyncio.Task[Answered]]) -> int | None:
    return next((i for i, task in enumerate(tasks) if task.done() and not isinstance(task.result()[1], Failure)), None)


def _give_up(task: asyncio.Task[Answered]) -> None:
    """Ends an attempt, or closes the stream it brought."""
    if not task.done():
        task.cancel()
    elif not task.cancelled() and task.exception() is None and isinstance(brought := task.result()[0], Stream):
        brought.relay.close()


async def _attempt(call: Call, ask: Ask, request: Request, upstream: Upstream) -> Answered:
    """One request to one target."""
    model, target, validator = ask.stop.model, ask.stop.target, call.entry.route.validator
    response = None
    try:
        async with asyncio.timeout(max(0.0, ask.due - time.monotonic())):
            connect = min(call.settings.connect, ask.limit)
            response = await upstream.post(target, request, ask.params, connect=connect)
            if response.status != 200:
                raise refusal(call.operation, response, await response.read())
            headers = passed_on(response.headers)
            if call.streaming:
                reading = reading_of(call.operation, model.body_family, validator)
                relay = Relay(response, call.operation, reading, ask.began)
                await relay.hold()
                return Stream(headers, relay, ask), Begun()
            body = await response.read()
        told = read_whole(call.operation, response.headers, body, model.body_family, validator)
        return Whole(200, headers, body), told
    except Exception as error:
        if response is not None:
            response.close()
        return None, failure_of(error)
    except BaseException:
        if response is not None:
            response.close()
        raise


def frames_of(call: Call, stream: Stream) -> AsyncGenerator[list[Frame], None]:
    """The frames of a stream, some whole ones at a time; their end is recorded as the call's."""
    relay, ask = stream.relay, stream.ask

    def ended(outcome: Outcome, raised: bool) -> None:
        now = time.monotonic()
        end_of_stream(call, ask, relay.reading, outcome, now, first_token=relay.first_token, raised=raised)

    return relay.frames(call.settings.stall, call.deadline, ended)
