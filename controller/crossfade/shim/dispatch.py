"""Dispatch: drives the course of a call with boto3, in the call's own thread."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable
from typing import Any

from botocore.response import StreamingBody

from crossfade.core.outcome import Outcome
from crossfade.shim.answer import Told, read_answer
from crossfade.shim.attempt import HERE, Attempt
from crossfade.shim.call import Call, with_model
from crossfade.shim.classify import Failure, Incomplete, NotOurs, classify
from crossfade.shim.course import (
    Ask,
    Begun,
    Busy,
    Came,
    Hedged,
    Raise,
    Refresh,
    Serve,
    Unavailable,
    Wait,
    course,
    end_of_stream,
)
from crossfade.shim.credentials import refresh
from crossfade.shim.events import reading_of
from crossfade.shim.race import Race
from crossfade.shim.stream import CannedStream, Stream
from crossfade.shim.watchdog import WATCHDOG, Watch

log = logging.getLogger("crossfade")

Plain = Callable[[str, dict[str, Any]], dict[str, Any]]


def dispatch(call: Call, client: Any, plain: Plain) -> dict[str, Any]:
    """The caller's answer, or its exception. Either way the call is recorded once. `plain` is botocore's own call."""
    try:
        steps = course(call)
        step = next(steps)
    except Exception:  # nothing is sent yet: the caller must not pay for a fault of ours
        if call.is_copy:
            raise
        log.warning("Crossfade could not dispatch a call", exc_info=True, extra={"action": "left_to_boto3"})
        call.recorded = True
        call.recorder.dropped += 1
        return plain(call.operation, call.params)
    response: dict[str, Any] = {}
    came: Came = None
    news: Came
    try:
        while True:
            match step:
                case Ask():
                    response, news = _asked(call, step, plain)
                    came = news.came if isinstance(news, Hedged) else news
                case Wait(seconds):
                    time.sleep(seconds)
                    news = None
                case Refresh():
                    news = refresh(client)
                case Serve(ask):
                    return _told(call, response, model=ask.stop.model.name, region=ask.stop.target.region)
                case _:
                    return _unserved(call, step, client)
            try:
                step = steps.send((time.monotonic(), news))
            except Exception:
                log.warning("Crossfade ended a call early", exc_info=True, extra={"action": "call_ended_early"})
                if isinstance(came, Failure):
                    call.unanswered()
                    raise came.error from None
                call.recorder.dropped += not (call.recorded or call.streaming)
                return response
    except NotOurs as found:
        if isinstance(step, Ask):
            call.board.release(step.stop.target)
        if not call.is_copy:  # a hook that trips over a copy says nothing of green
            _note_local(call, found.error)
        raise found.error from None
    except BaseException:
        if isinstance(step, Ask):
            call.board.release(step.stop.target)
        call.unanswered(abandoned=True)  # recorded already, unless the thread itself is being ended
        raise


def _unserved(call: Call, end: Busy | Raise | Unavailable, client: Any) -> dict[str, Any]:
    """The end of a call that no Model answered."""
    match end:
        case Busy(answer):
            return _told(call, _as_boto3(answer), model="", region="", busy=True)
        case Raise(error):
            raise error
        case Unavailable(message, cause):
            told = {
                "Error": {"Code": "ServiceUnavailableException", "Message": message},
                "ResponseMetadata": {"HTTPStatusCode": 503, "HTTPHeaders": {}, "RetryAttempts": 0},
            }
            raise client.exceptions.ServiceUnavailableException(
                _told(call, told, model="", region=""), call.operation
            ) from cause


def _told(call: Call, response: dict[str, Any], *, model: str, region: str, busy: bool = False) -> dict[str, Any]:
    """The response with what Crossfade has to say about it."""
    response.setdefault("ResponseMetadata", {})["Crossfade"] = call.describe(model=model, region=region, busy=busy)
    return response


def _as_boto3(answer: dict[str, Any]) -> dict[str, Any]:
    for name in ("stream", "body"):
        found = answer.get(name)
        if isinstance(found, list):
            answer[name] = CannedStream(iter(found))
        elif found is not None:
            answer[name] = StreamingBody(io.BytesIO(found), len(found))
    return answer


def _asked(call: Call, ask: Ask, plain: Plain) -> tuple[dict[str, Any], Told | Begun | Failure | Hedged]:
    if ask.hedge is None:
        return _attempt(call, ask, Watch(ask.due), plain)
    return Race(ask, lambda which, watch: _attempt(call, which, watch, plain)).run()


def _attempt(call: Call, ask: Ask, watch: Watch, plain: Plain) -> tuple[dict[str, Any], Told | Begun | Failure]:
    """One request to one target."""
    settings, target, model = call.settings, ask.stop.target, ask.stop.model
    read = min(ask.limit, max(settings.first_token, settings.stall)) if call.streaming else ask.limit
    before = HERE.attempt
    try:
        HERE.attempt = Attempt(target, read=read, connect=min(settings.connect, ask.limit), watch=watch)
        WATCHDOG.add(watch)
        response = plain(call.operation, with_model(ask.params, target.model_id))
        if call.streaming:
            _hold(call, ask, response, watch)
            return response, Begun()
        told = read_answer(call.operation, response, model.body_family, call.entry.route.validator)
        WATCHDOG.remove(watch)
        return response, told
    except Exception as error:
        WATCHDOG.remove(watch)
        return {}, classify(error, operation=call.operation, expired=watch.expired)
    except BaseException:
        WATCHDOG.remove(watch)
        raise
    finally:
        HERE.attempt = before


def _hold(call: Call, ask: Ask, response: dict[str, Any], watch: Watch) -> None:
    """Reads the stream of an answer up to its first content and puts our own in its place."""
    name = "stream" if call.operation == "ConverseStream" else "body"
    source = response.get(name)
    if source is None:
        raise Incomplete(f"{call.operation} answered without its stream")
    watch.response = getattr(source, "_raw_stream", None)
    stream = Stream(
        source,
        reading=reading_of(call.operation, ask.stop.model.body_family, call.entry.route.validator),
        watch=watch,
        operation=call.operation,
        stall=call.settings.stall,
        deadline=call.deadline,
        began=ask.began,
    )
    try:
        stream.hold()
    except BaseException:
        stream.discard()
        raise

    def ended(stream: Stream, outcome: Outcome, error: Exception | None) -> None:
        call.collected = stream.collected
        now, first = stream.whole_at or time.monotonic(), stream.first_token
        end_of_stream(call, ask, stream.reading, outcome, now, first_token=first, raised=error is not None)

    stream.on_end(ended)
    response[name] = stream


def _note_local(call: Call, error: Exception) -> None:
    """An error that is no target's doing: a parameter botocore refuses, or a hook of the service's own."""
    log.debug("call %s ended by a local error: %s", call.id, error, extra={"action": "call_local_error"})
    model = call.snapshot.models[call.assigned]
    call.note(model, model.targets[0], Outcome.REJECTED)
    call.unanswered()
