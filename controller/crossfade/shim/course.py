"""Course: what one call does next, by the policy table: targets, tries, waits, and how it ends.

Does no I/O and reads no clock. Whoever drives it asks the targets, waits, and tells it at what moment what came:
`dispatch` does so with boto3 in the call's own thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from crossfade.core.outcome import Outcome
from crossfade.core.split import CHANCE
from crossfade.shim.account import Tried
from crossfade.shim.answer import Told
from crossfade.shim.busy import busy_answer
from crossfade.shim.call import Call
from crossfade.shim.classify import Failure
from crossfade.shim.events import Reading
from crossfade.shim.reserve import warn_if_unset
from crossfade.shim.trip import Stop, Trip

log = logging.getLogger("crossfade")

_NEARLY_ALL = 0.98
"""Of the remaining time, what an attempt gets where there is nowhere else to go."""
_ENOUGH = 10
"""As many tries as any setting allows: after a hedged attempt failed twice its targets are not tried again."""
SETTLED = frozenset({Outcome.REJECTED, Outcome.DENIED, Outcome.CREDENTIALS})
"""After these, from the assigned Model or from blue, the caller gets the error itself: a busy answer would mislead."""


@dataclass(slots=True)
class Ask:
    """Send `params` to this target; then tell what came, or `Begun`.

    The whole answer, or the first content of a stream, must be there at `due`, on the clock of `began`. `limit`
    bounds, in seconds, whatever else of the attempt has a limit. With `hedge` a second request may go out.
    """

    stop: Stop
    began: float
    due: float
    limit: float
    params: dict[str, Any]
    hedge: Hedge | None = None


@dataclass(slots=True)
class Hedge:
    """If nothing has come by the moment `at`, `begin` gives the request to be sent besides, or None; ask it once.

    Then tell `Hedged`. Whoever cannot send two requests at a time leaves it alone.
    """

    at: float
    begin: Callable[[float], Ask | None]


@dataclass(slots=True)
class Hedged:
    """Two requests were out: what came of the one that counts (the first, if both failed), and of the other.

    The other's is None where it was given up.
    """

    ask: Ask
    came: Told | Begun | Failure
    other: Ask
    other_came: Failure | None


@dataclass(slots=True)
class Wait:
    """Let so many seconds pass; then tell None."""

    seconds: float


@dataclass(slots=True)
class Refresh:
    """Fetch new credentials; then tell whether there are any."""


@dataclass(slots=True)
class Serve:
    """The end: the caller gets what came of this. A stream is followed on to `end_of_stream`."""

    ask: Ask


@dataclass(slots=True)
class Busy:
    """The end: the caller gets this answer, as `busy_answer` puts it."""

    answer: dict[str, Any]


@dataclass(slots=True)
class Raise:
    """The end: the caller gets this error, as it came."""

    error: Exception


@dataclass(slots=True)
class Unavailable:
    """The end: the caller gets ServiceUnavailable, with this message. `cause` is the last failure's error."""

    message: str
    cause: Exception | None


@dataclass(slots=True)
class Begun:
    """A stream has shown its first content."""


Step = Ask | Wait | Refresh | Serve | Busy | Raise | Unavailable
Came = Told | Begun | Failure | Hedged | bool | None
Course = Generator[Step, tuple[float, Came], None]
"""Yields steps, the last of which is an end; is sent the moment, and what came of the step."""


def course(call: Call) -> Course:
    """The steps of a call, which is recorded by the end, or by `end_of_stream`."""
    now = call.began
    call.board.note_call(call.entry.id, now, call.settings)
    trip = Trip(call, now)
    stop = trip.next(now)
    failure: Failure | None = None
    settled = False
    while stop is not None and call.left(now) > 0:
        now, failure = yield from _visit(call, trip, stop, now)
        if failure is None:
            return
        trip.leave(stop, failure.outcome)
        settled = failure.outcome in SETTLED and stop.model.name in (call.assigned, call.blue)
        stop = trip.next(now)
    if not call.tried and call.left(now) <= 0:
        call.skipped = Outcome.ABANDONED  # the caller had no time left to give: that is no target's doing
    end = _exhausted(call, failure, settled=settled)
    if not settled and not call.is_copy:
        _tell(call, end, now)
    yield end


def _visit(call: Call, trip: Trip, stop: Stop, now: float) -> Generator[Step, Any, tuple[float, Failure | None]]:
    """Tries one target as often as the table says: the last failure, or None once the caller is served."""
    tries = 0
    refusal: Failure | None = None
    while True:
        ask = _ask(call, trip, stop, now)
        now, came = yield ask
        if isinstance(came, Hedged):
            _take_other(call, trip, stop, came, now)
            ask, came, tries = came.ask, came.came, _ENOUGH
        failure = _take(call, ask, came, now)
        if failure is None:
            yield Serve(ask)
            return now, None
        tries += 1
        if failure.outcome is Outcome.REJECTED:
            if refusal is None and ask.params is call.params and _strip(call, stop, now):
                refusal, tries = failure, 0
                continue
            return now, refusal or failure  # of the request as the caller sent it
        if tries >= _tries(call, trip, stop, failure, now):
            return now, failure
        if failure.outcome is Outcome.CREDENTIALS:
            now, refreshed = yield Refresh()
            if not refreshed:
                return now, failure
        seconds = _pause(call, trip, stop, failure, tries, now)
        if seconds is None:
            return now, failure
        if seconds > 0:
            now, _ = yield Wait(seconds)
        if call.left(now) <= 0:
            return now, failure
        call.retries += 1


def _ask(call: Call, trip: Trip, stop: Stop, now: float) -> Ask:
    limit = call.left(now) * (call.settings.attempt_share if trip.has_more() else _NEARLY_ALL)
    due = now + (min(limit, call.settings.first_token) if call.streaming else limit)
    hedge = _hedge(call, trip, stop, now, due) if call.settings.hedge else None
    return Ask(stop, now, due, limit, call.params_for(stop.model), hedge)


def _strip(call: Call, stop: Stop, now: float) -> bool:
    """Whether the Model that refused the request is to get it once more, without the reasoning of earlier turns.

    That may be another Model's, where a conversation came here from green or from blue.
    """
    call.unreasoned.add(stop.model.name)
    if call.left(now) <= 0 or call.params_for(stop.model) is call.params:
        return False
    call.retries += 1
    log.info("reasoning of earlier turns was left out for %s", stop.model.name, extra={"action": "reasoning_stripped"})
    return True


def _hedge(call: Call, trip: Trip, stop: Stop, now: float, due: float) -> Hedge | None:
    settings, board = call.settings, call.board
    other = trip.other_region(stop) if call.answers else None
    after = board.late(stop.target, now, settings, streaming=call.streaming) if other is not None else None
    if other is None or after is None or now + after >= due:
        return None

    def begin(now: float) -> Ask | None:
        if not board.take_hedge(call.entry.id, now, settings) or not board.take(other.target, now, settings):
            return None
        limit = call.left(now) * _NEARLY_ALL
        due = now + (min(limit, settings.first_token) if call.streaming else limit)
        return Ask(other, now, due, limit, call.params_for(other.model))

    return Hedge(now + after, begin)


def _take_other(call: Call, trip: Trip, stop: Stop, came: Hedged, now: float) -> None:
    """Writes down the request that does not count, and what both leave of the trip."""
    other, failure = came.other, came.other_came
    second = came.ask if came.ask.stop is not stop else other
    trip.strike(second.stop)
    if failure is not None:
        _report(call, other.stop, failure.outcome, now - other.began, now)
        call.board.trouble.failed(failure, other.stop.target.region, now)
        trip.leave(other.stop, failure.outcome)
    else:
        call.hedged = True
        call.board.outrun(other.stop.target, now - other.began, now, call.settings, streaming=call.streaming)
    outcome = Outcome.ABANDONED if failure is None else failure.outcome
    call.note(other.stop.model, other.stop.target, outcome)


def _tries(call: Call, trip: Trip, stop: Stop, failure: Failure, now: float) -> int:
    settings, elsewhere = call.settings, trip.has_more_regions(stop)
    if failure.connect:
        return settings.connect_tries
    if failure.outcome is Outcome.THROTTLED and elsewhere and call.board.skip_probability(stop.target, now, settings):
        return 1
    return settings.tries(failure.outcome, last=not elsewhere)


def _pause(call: Call, trip: Trip, stop: Stop, failure: Failure, tries: int, now: float) -> float | None:
    """Seconds to wait before the next try at the same target; None if deadline or budget do not allow one."""
    seconds = backoff(call, failure, tries)
    if seconds > call.settings.backoff_cap or not trip.in_time(stop, now + seconds):
        return None
    return seconds if call.board.take_retry(call.entry.id, now, call.settings) else None


def backoff(call: Call, failure: Failure, tries: int) -> float:
    """Full jitter: random() * min(cap, base * 2^n), and no less than the target asked for."""
    base = call.settings.base(failure.outcome)
    jitter = CHANCE.random() * min(call.settings.backoff_cap, base * 2.0 ** (tries - 1))
    return float(max(jitter, failure.retry_after or 0.0))


def _take(call: Call, ask: Ask, came: Came, now: float) -> Failure | None:
    """Writes down what came of an attempt; the failure, if it is one."""
    stop = ask.stop
    if isinstance(came, Failure):
        _report(call, stop, came.outcome, now - ask.began, now)
        call.note(stop.model, stop.target, came.outcome)
        _warn(call, stop, came, now)
        return came
    told = came if isinstance(came, Told) else None
    outcome = Outcome.OK if told is None else told.outcome
    _report(call, stop, outcome, now - ask.began, now)
    call.note(stop.model, stop.target, outcome)
    _second_opinion(call, stop)
    if told is not None:
        call.answered(stop.model, stop.target, now, tokens=(told.tokens_in, told.tokens_out), stop=told.stop)
    return None


def _warn(call: Call, stop: Stop, failure: Failure, now: float) -> None:
    """Says what a person should know of: that Bedrock fails and how, a request that eats up the quota."""
    call.board.trouble.failed(failure, stop.target.region, now)
    if failure.outcome is Outcome.UNKNOWN:
        share = call.board.note_unknown(now, call.settings)
        if share is not None:
            log.warning(
                "%.2g %% of the last ten minutes' attempts failed in a way that Crossfade does not know, the latest "
                "with: %s",
                100 * share,
                failure.error,
                extra={"action": "unknown_outcomes"},
            )
    elif failure.outcome in (Outcome.THROTTLED, Outcome.QUOTA):
        warn_if_unset(call.entry.route.name, call.operation, call.params)


def _second_opinion(call: Call, stop: Stop) -> None:
    """Blue accepted what the assigned Model refused: the assigned one cannot take this service's requests."""
    if stop.model.name == call.blue != call.assigned:
        own = [attempt.outcome for attempt in call.tried if attempt.model == call.assigned]
        call.incompatible = bool(own) and own[-1] is Outcome.REJECTED


def end_of_stream(
    call: Call, ask: Ask, reading: Reading, outcome: Outcome, now: float, *, first_token: float | None, raised: bool
) -> None:
    """How the stream that a call was served with ended. `first_token` is in seconds since the attempt began."""
    stop = ask.stop
    if outcome not in (Outcome.OK, Outcome.ABANDONED):
        call.tried[-1:] = [Tried(model=stop.model.name, region=stop.target.region, outcome=outcome)]
        if not call.collected:  # the board's lock may be held by this very thread
            _report(call, stop, outcome, now - ask.began, now)
    if raised or outcome is Outcome.ABANDONED:
        call.unanswered(abandoned=outcome is Outcome.ABANDONED)
        return
    since_call = None if first_token is None else ask.began - call.began + first_token
    tokens = (reading.tokens_in, reading.tokens_out)
    call.answered(stop.model, stop.target, now, first_token=since_call, tokens=tokens, stop=reading.stop)


def _report(call: Call, stop: Stop, outcome: Outcome, seconds: float, now: float) -> None:
    try:
        measured = seconds if call.answers else None
        call.board.report(stop.target, outcome, measured, now, call.settings, streaming=call.streaming)
    except Exception:  # what is known of a place must not cost the caller its answer
        log.warning("Crossfade could not note an outcome", exc_info=True, extra={"action": "outcome_not_noted"})


def _exhausted(call: Call, failure: Failure | None, *, settled: bool) -> Busy | Raise | Unavailable:
    """Nothing is left: the error that settles the matter, or a busy answer, or ServiceUnavailable."""
    if failure is not None and (settled or {tried.outcome for tried in call.tried} == {Outcome.MISCONFIGURED}):
        call.unanswered()
        return Raise(failure.error)
    if call.settings.busy:
        answer = busy_answer(call.operation, call.params, call.family, call.entry.route.busy_text)
        if answer is not None:
            call.unanswered(busy=True)
            return Busy(answer)
    call.unanswered()
    message = f"Crossfade found no Model that answers route {call.entry.route.name!r} ({_attempts(call)})"
    return Unavailable(message, None if failure is None else failure.error)


def _attempts(call: Call) -> str:
    return ", ".join(f"{each.model} in {each.region}: {each.outcome}" for each in call.tried) or "no time"


def _tell(call: Call, end: Busy | Raise | Unavailable, now: float) -> None:
    match end:
        case Busy():
            ending = "the busy answer"
        case Raise():
            ending = "Bedrock's error"
        case Unavailable():
            ending = "ServiceUnavailableException"
    targets = len({(each.model, each.region) for each in call.tried})
    call.board.trouble.unanswered(call.entry.id, call.entry.route.name, ending, targets, _attempts(call), now)
