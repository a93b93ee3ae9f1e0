"""Dispatch: one call through its targets by the policy table, down to the busy answer.

Reads as the table does: try a target, classify, wait and try again, go to the next region, to the next Model.
"""

from __future__ import annotations

import logging
import random
import time
from typing import Any

from crossfade.core.outcome import Outcome
from crossfade.core.policy import POLICY
from crossfade.shim.account import Tried
from crossfade.shim.answer import read_answer
from crossfade.shim.attempt import HERE, Attempt
from crossfade.shim.busy import busy_answer
from crossfade.shim.call import Call, with_model
from crossfade.shim.classify import Failure, Incomplete, NotOurs, classify
from crossfade.shim.credentials import refresh
from crossfade.shim.events import reading_of
from crossfade.shim.stream import CannedStream, Stream
from crossfade.shim.trip import Stop, Trip
from crossfade.shim.watchdog import WATCHDOG, Watch

log = logging.getLogger("crossfade")

SHARE = 0.75
"""Of the remaining time, what an attempt gets while there is somewhere else to go; at the last one nearly all."""
_NEARLY_ALL = 0.98
_SETTLED = frozenset({Outcome.REJECTED, Outcome.DENIED, Outcome.CREDENTIALS})
"""After these, from the assigned Model or from blue, the caller gets the error itself: a busy answer would mislead."""


_Came = tuple[dict[str, Any], None] | tuple[None, Failure]
"""What a stop or an attempt came to: an answer for the caller, or the (last) failure there."""


def dispatch(call: Call) -> dict[str, Any]:
    """The caller's answer, or its exception. Either way the call is recorded once."""
    try:
        return _dispatch(call)
    except NotOurs as found:
        _note_local(call, found.error)
        raise found.error from None
    except BaseException:
        call.unanswered()  # recorded already, unless the thread itself is being ended
        raise


def _dispatch(call: Call) -> dict[str, Any]:
    try:
        call.board.note_call(call.entry.id, call.began)
        trip = Trip(call, call.began)
        stop = trip.next(time.monotonic())
    except Exception:  # nothing is sent yet: the caller must not pay for a fault of ours
        log.warning("Crossfade could not dispatch a call", exc_info=True, extra={"action": "left_to_boto3"})
        call.recorded = True
        call.recorder.dropped += 1
        return call.plain(call.operation, call.params)
    failure: Failure | None = None
    settled = False
    while stop is not None and call.left() > 0:
        response, failure = _visit(call, trip, stop)
        if failure is None:
            assert response is not None
            return response
        trip.leave(stop, failure.outcome)
        settled = failure.outcome in _SETTLED and stop.model.name in (call.assigned, call.blue)
        stop = trip.next(time.monotonic())
    if not call.tried and call.left() <= 0:
        call.skipped = Outcome.ABANDONED  # the caller had no time left to give: that is no target's doing
    return _exhausted(call, failure, settled=settled)


def _visit(call: Call, trip: Trip, stop: Stop) -> _Came:
    """Tries one target as often as the table says."""
    tries = 0
    while True:
        came = _attempt(call, trip, stop)
        failure = came[1]
        tries += 1
        if failure is None or tries >= _tries(call, trip, stop, failure) or not _wait(call, failure, tries):
            return came
        call.retries += 1


def _tries(call: Call, trip: Trip, stop: Stop, failure: Failure) -> int:
    row = POLICY[failure.outcome]
    elsewhere = trip.has_more_regions(stop)
    if failure.connect:
        return 1
    if failure.outcome is Outcome.CREDENTIALS and not refresh(call.client):
        return 1
    if failure.outcome is Outcome.THROTTLED and elsewhere and call.board.skip_probability(stop.target, call.began) > 0:
        return 1
    return row.tries if elsewhere else row.tries_last


def _wait(call: Call, failure: Failure, tries: int) -> bool:
    """Waits before the next try at the same target, if budget and deadline allow it."""
    now = time.monotonic()
    if not call.board.take_retry(call.entry.id, now, call.settings):
        return False
    seconds = backoff(call, failure, tries)
    if seconds > call.settings.backoff_cap or now + seconds >= call.deadline:
        return False
    time.sleep(seconds)
    return call.left() > 0


def backoff(call: Call, failure: Failure, tries: int) -> float:
    """Full jitter: random() * min(cap, base * 2^n), and no less than the target asked for."""
    base = POLICY[failure.outcome].base
    if failure.outcome in (Outcome.THROTTLED, Outcome.NOT_READY):
        base = call.settings.throttled_base
    jitter = random.random() * min(call.settings.backoff_cap, base * 2.0 ** (tries - 1))
    return float(max(jitter, failure.retry_after or 0.0))


def _attempt(call: Call, trip: Trip, stop: Stop) -> _Came:
    """One request to one target."""
    settings, target = call.settings, stop.target
    began = time.monotonic()
    limit = (call.deadline - began) * (SHARE if trip.has_more() else _NEARLY_ALL)
    watch = Watch(began + (min(limit, settings.first_token) if call.streaming else limit))
    read = min(limit, max(settings.first_token, settings.stall)) if call.streaming else limit
    before = HERE.attempt
    held: Stream | None = None
    try:
        HERE.attempt = Attempt(target, read=read, connect=min(settings.connect, limit), watch=watch)
        WATCHDOG.add(watch)
        response = call.plain(call.operation, with_model(call.params, target.model_id))
        if call.streaming:
            held = _hold(call, stop, response, watch, began)
        else:
            told = read_answer(call.operation, response, stop.model.body_family)
            WATCHDOG.remove(watch)
    except Exception as error:
        WATCHDOG.remove(watch)
        failure = classify(error, expired=watch.expired)
        _report(call, stop, failure.outcome, time.monotonic() - began)
        call.note(stop.model, target, failure.outcome)
        return None, failure
    except BaseException:
        WATCHDOG.remove(watch)
        raise
    finally:
        HERE.attempt = before
    if held is not None:
        _report(call, stop, Outcome.OK, held.first_token or 0.0)
        call.note(stop.model, target, Outcome.OK)
        _second_opinion(call, stop)
    else:
        _report(call, stop, told.outcome, time.monotonic() - began)
        call.note(stop.model, target, told.outcome)
        _second_opinion(call, stop)
        call.answered(stop.model, target, tokens=(told.tokens_in, told.tokens_out), stop=told.stop)
    metadata = response.setdefault("ResponseMetadata", {})
    metadata["Crossfade"] = call.describe(model=stop.model.name, region=target.region)
    return response, None


def _hold(call: Call, stop: Stop, response: dict[str, Any], watch: Watch, began: float) -> Stream:
    """Reads the stream of an answer up to its first content and puts our own in its place."""
    name = "stream" if call.operation == "ConverseStream" else "body"
    source = response.get(name)
    if source is None:
        raise Incomplete(f"{call.operation} answered without its stream")
    watch.response = getattr(source, "_raw_stream", None)
    stream = Stream(
        source,
        reading=reading_of(call.operation, stop.model.body_family),
        watch=watch,
        operation=call.operation,
        stall=call.settings.stall,
        deadline=call.deadline,
        began=began,
    )
    try:
        stream.hold()
    except BaseException:
        stream.discard()
        raise
    asked = began - call.began

    def ended(stream: Stream, outcome: Outcome, error: Exception | None) -> None:
        if outcome not in (Outcome.OK, Outcome.ABANDONED):
            call.tried[-1] = Tried(model=stop.model.name, region=stop.target.region, outcome=outcome)
            _report(call, stop, outcome, time.monotonic() - began)
        if error is not None or outcome is Outcome.ABANDONED:
            call.unanswered(abandoned=outcome is Outcome.ABANDONED)
        else:
            said = stream.reading
            first_token = None if stream.first_token is None else asked + stream.first_token
            tokens = (said.tokens_in, said.tokens_out)
            call.answered(stop.model, stop.target, first_token=first_token, tokens=tokens, stop=said.stop)

    stream.on_end(ended)
    response[name] = stream
    return stream


def _second_opinion(call: Call, stop: Stop) -> None:
    """Blue accepted what the assigned Model refused: the assigned one cannot take this service's requests."""
    if stop.model.name == call.blue != call.assigned:
        own = [attempt.outcome for attempt in call.tried if attempt.model == call.assigned]
        call.incompatible = bool(own) and own[-1] is Outcome.REJECTED


def _report(call: Call, stop: Stop, outcome: Outcome, seconds: float) -> None:
    try:
        call.board.report(stop.target, outcome, seconds, time.monotonic(), call.settings, streaming=call.streaming)
    except Exception:  # what is known of a place must not cost the caller its answer
        log.warning("Crossfade could not note an outcome", exc_info=True, extra={"action": "outcome_not_noted"})


def _note_local(call: Call, error: Exception) -> None:
    """An error that is no target's doing: a parameter botocore refuses, or a hook of the service's own."""
    log.debug("call %s ended by a local error: %s", call.id, error, extra={"action": "call_local_error"})
    model = call.snapshot.models[call.assigned]
    call.note(model, model.targets[0], Outcome.REJECTED)
    call.unanswered()


def _exhausted(call: Call, failure: Failure | None, *, settled: bool) -> dict[str, Any]:
    """Nothing is left: the error that settles the matter, or a busy answer, or ServiceUnavailable."""
    if failure is not None:
        outcomes = {attempt.outcome for attempt in call.tried}
        if settled or outcomes == {Outcome.MISCONFIGURED}:
            call.unanswered()
            raise failure.error
    if call.settings.busy:
        text = call.entry.route.busy_text
        answer = busy_answer(call.operation, call.params, call.family, text, CannedStream)
        if answer is not None:
            answer["ResponseMetadata"]["Crossfade"] = call.describe(model="", region="", busy=True)
            call.unanswered(busy=True)
            return answer
    call.unanswered()
    tried = ", ".join(f"{attempt.model} in {attempt.region}: {attempt.outcome}" for attempt in call.tried)
    told = {
        "Error": {
            "Code": "ServiceUnavailableException",
            "Message": f"Crossfade found no Model that answers route {call.entry.route.name!r} ({tried or 'no time'})",
        },
        "ResponseMetadata": {
            "HTTPStatusCode": 503,
            "HTTPHeaders": {},
            "RetryAttempts": 0,
            "Crossfade": call.describe(model="", region=""),
        },
    }
    raise call.client.exceptions.ServiceUnavailableException(told, call.operation) from (
        failure.error if failure is not None else None
    )
