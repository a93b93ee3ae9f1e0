"""The pure parts: breaker, throttle, budget, latency, account, classification."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from botocore import exceptions as boto
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from crossfade.core.model import Model, Target
from crossfade.core.outcome import Outcome
from crossfade.core.policy import Settings
from crossfade.core.route import Route
from crossfade.core.snapshot import Entry, Live, Snapshot
from crossfade.core.split import Variant
from crossfade.shim.account import Tried, account
from crossfade.shim.board import Board
from crossfade.shim.breaker import Breaker, State
from crossfade.shim.call import Call
from crossfade.shim.classify import NotOurs, classify
from crossfade.shim.latency import Latency
from crossfade.shim.recorder import Recorder
from crossfade.shim.throttle import Budget, Throttle
from crossfade.shim.trip import Trip

DEFAULT = Settings()
steps = st.lists(st.tuples(st.floats(0, 40), st.sampled_from(["take", "fail", "succeed", "release"])), max_size=80)


def test_five_failures_in_a_row_open_it_for_five_seconds() -> None:
    breaker = Breaker()
    for _ in range(4):
        breaker.fail(0, DEFAULT)
    breaker.succeed(0, DEFAULT)
    for _ in range(5):
        assert breaker.take(0, DEFAULT)
        breaker.fail(0, DEFAULT)
    assert breaker.state is State.OPEN
    assert not breaker.allows(4.9, DEFAULT)
    assert breaker.allows(5.0, DEFAULT)


def test_half_of_ten_within_the_window_open_it_and_old_ones_do_not_count() -> None:
    breaker = Breaker()
    for i in range(9):
        breaker.fail(i % 2, DEFAULT) if i % 2 else breaker.succeed(i % 2, DEFAULT)
    assert breaker.state is State.CLOSED
    breaker.fail(100, DEFAULT)
    assert breaker.state is State.CLOSED, "the nine are older than 30 s"
    for i in range(9):
        breaker.succeed(101, DEFAULT) if i % 2 else breaker.fail(101, DEFAULT)
    assert breaker.state is State.OPEN


def test_one_probe_at_a_time_and_three_successes_close_it() -> None:
    breaker = Breaker()
    for _ in range(5):
        breaker.fail(0, DEFAULT)
    for n in range(3):
        assert breaker.take(10 + n, DEFAULT)
        assert breaker.state is State.HALF_OPEN
        assert not breaker.take(10 + n, DEFAULT), "the probe is out"
        breaker.succeed(10 + n, DEFAULT)
    assert breaker.state is State.CLOSED


def test_a_failed_probe_doubles_the_time_up_to_two_minutes() -> None:
    breaker = Breaker()
    for _ in range(5):
        breaker.fail(0, DEFAULT)
    now, seconds = 0.0, []
    for _ in range(7):
        now = breaker.opened_until
        assert breaker.take(now, DEFAULT)
        breaker.fail(now, DEFAULT)
        seconds.append(round(breaker.opened_until - now))
    assert seconds == [10, 20, 40, 80, 120, 120, 120]


@given(steps)
def test_a_breaker_lets_somebody_through_again_whatever_happened(happened: list[tuple[float, str]]) -> None:
    breaker, now = Breaker(), 0.0
    for wait, what in happened:
        now += wait
        getattr(breaker, what)(*(() if what == "release" else (now, DEFAULT)))
    assert breaker.allows(now + DEFAULT.breaker_open_most * 1.1 + DEFAULT.deadline, DEFAULT)


@given(steps, st.floats(0, 0.999))
def test_an_open_breaker_refuses_for_as_long_as_it_says(happened: list[tuple[float, str]], chance: float) -> None:
    breaker, now = Breaker(), 0.0
    for wait, what in happened:
        now += wait
        match what:
            case "take":
                breaker.take(now, DEFAULT)
            case "fail":
                breaker.fail(now, DEFAULT, chance)
            case "succeed":
                breaker.succeed(now, DEFAULT)
            case _:
                breaker.release()
        if breaker.state is State.OPEN and now < breaker.opened_until:
            assert not breaker.allows(now, DEFAULT)
            assert breaker.opened_until - now <= DEFAULT.breaker_open_most * 1.1


regions = st.sampled_from(["us-east-1", "us-west-2", "eu-west-1"])
FAILURES = [Outcome.UNAVAILABLE, Outcome.OUTAGE, Outcome.TIMED_OUT, Outcome.MISCONFIGURED, Outcome.THROTTLED]


@given(
    st.lists(st.tuples(st.sampled_from(["blue", "green"]), regions, st.sampled_from([*FAILURES, Outcome.OK]))),
    st.sampled_from([Variant.BLUE, Variant.GREEN]),
)
def test_a_call_always_has_a_way_out_whatever_the_breakers_say(
    happened: list[tuple[str, str, Outcome]], variant: Variant
) -> None:
    board, now = Board(), time.monotonic()
    places = ("us-east-1", "us-west-2", "eu-west-1")
    models = {n: Model(name=n, targets=tuple(Target(region=r, model_id=n) for r in places)) for n in ("blue", "green")}
    for name, region, outcome in happened:
        for _ in range(3):
            target = Target(region=region, model_id=name)
            board.report(target, outcome, 0.1, now, DEFAULT, streaming=False)
    call = call_on(board, models, variant, now)
    trip = Trip(call, now)
    stop = trip.next(now)
    assert stop is not None
    seen = [stop]
    while (stop := trip.next(now)) is not None:
        seen.append(stop)
    assert len(seen) <= 4
    assert len({(s.model.name, s.target.region) for s in seen}) == len(seen)


def call_on(board: Board, models: dict[str, Model], variant: Variant, now: float) -> Call:
    route = Route(name="r", blue="blue")
    entry = Entry(id=1, route=route, live=Live(rollout=1, step=0, weight=50, salt="s", green="green"))
    snapshot = Snapshot(
        version=1, issued_at=0, bucket_seconds=10, signing_key=b"k" * 32, entries={"r": entry}, models=models
    )
    return Call(
        operation="Converse",
        params={},
        snapshot=snapshot,
        entry=entry,
        variant=variant,
        board=board,
        recorder=Recorder(),
        began=now,
        at=0.0,
        deadline=now + 60,
    )


def test_slow_first_tokens_count_as_failures_once_the_usual_is_known() -> None:
    latency = Latency()
    assert not latency.is_slow(0, 100, DEFAULT), "nothing to hold it against"
    for i in range(30):
        latency.note(i, 0.3, usual=True)
    assert not latency.is_slow(31, 0.8, DEFAULT)
    assert latency.is_slow(31, 1.0, DEFAULT)
    assert not latency.is_slow(2 * 3600, 0.4, DEFAULT)


def test_after_a_quiet_hour_nothing_is_usual_any_more() -> None:
    latency = Latency()
    for i in range(30):
        latency.note(i, 0.3, usual=True)
    assert latency.is_slow(3500, 5.0, DEFAULT)
    assert not latency.is_slow(3700, 5.0, DEFAULT), "the last hour knows of no answer"
    for i in range(20):
        latency.note(3700 + i, 5.0, usual=True)
    assert not latency.is_slow(3800, 6.0, DEFAULT)


def test_what_is_measured_while_probing_never_becomes_the_usual() -> None:
    latency = Latency()
    for i in range(30):
        latency.note(i, 0.3, usual=True)
    for i in range(100):
        latency.note(31 + i, 9.0, usual=False)
    assert latency.is_slow(200, 9.0, DEFAULT)
    assert (latency.current(131) or 0) > 8


@given(st.lists(st.tuples(st.floats(0, 5), st.booleans()), max_size=200))
def test_the_skip_probability_is_one_and_is_zero_while_most_is_accepted(
    happened: list[tuple[float, bool]],
) -> None:
    throttle, now = Throttle(), 0.0
    for wait, accepted in happened:
        now += wait
        throttle.note(now, DEFAULT, accepted=accepted)
    assert 0 <= throttle.skip_probability(now, DEFAULT) < 1
    assert throttle.skip_probability(now + 31, DEFAULT) == 0
    if all(accepted for _, accepted in happened):
        assert throttle.skip_probability(now, DEFAULT) == 0


@given(st.lists(st.sampled_from(["call", "retry"]), max_size=300))
def test_retries_never_exceed_the_budget(happened: list[str]) -> None:
    budget = Budget()
    calls = retries = 0
    for what in happened:
        if what == "call":
            budget.note_call(0.0, DEFAULT)
            calls += 1
        elif budget.take(0.0, DEFAULT):
            retries += 1
            assert retries <= 0.2 * calls + 10


SLOW, QUICK = Target(region="us-east-1", model_id="m"), Target(region="us-west-2", model_id="m")


def ranked(board: Board, now: float, *, probe: bool = True) -> list[str]:
    found = board.rank([SLOW, QUICK], now, DEFAULT, streaming=True, probe=probe)
    return ["slow" if target == SLOW else "quick" for target in found]


def measure(board: Board, target: Target, seconds: float, now: float) -> None:
    board.report(target, Outcome.OK, seconds, now, DEFAULT, streaming=True)


def test_a_slow_target_is_asked_last_and_probed_by_one_call_at_a_time_until_it_is_quick_again() -> None:
    board = Board()
    assert ranked(board, 0) == ["slow", "quick"], "nothing is known"
    measure(board, SLOW, 0.9, 1)
    measure(board, QUICK, 0.5, 1)
    assert ranked(board, 1) == ["slow", "quick"], "not twice as slow"
    for second in range(10):
        measure(board, SLOW, 8.0, second)
    assert ranked(board, 12) == ["quick", "slow"]
    assert ranked(board, 40, probe=False) == ["quick", "slow"]
    assert ranked(board, 40) == ["slow", "quick"], "half a minute later one call sees whether it has recovered"
    assert [ranked(board, 40) for _ in range(5)] == [["quick", "slow"]] * 5, "and no other"
    measure(board, SLOW, 8.0, 41)
    assert ranked(board, 50) == ["quick", "slow"], "it has not"
    probes = 0
    for call in range(20):
        order = ranked(board, 75 + call)
        if order[0] == "slow" and ranked(board, 75 + call)[0] == "quick":
            probes += 1
        measure(board, SLOW if order[0] == "slow" else QUICK, 0.5, 75 + call)
    assert 2 <= probes <= 5, "a few quick answers, one after the other"
    assert [ranked(board, 99) for _ in range(5)] == [["slow", "quick"]] * 5, "it is preferred as before"


def test_a_target_that_nobody_asks_is_looked_at_now_and_then_where_the_first_one_takes_long() -> None:
    board = Board()
    for second in range(DEFAULT.slow_samples):
        assert ranked(board, second) == ["slow", "quick"]
        measure(board, SLOW, 0.4, second)
    assert ranked(board, 30) == ["slow", "quick"], "nothing is quicker by much"
    for second in range(30, 60):
        measure(board, SLOW, 3.0, second)
    assert ranked(board, 60, probe=False) == ["slow", "quick"]
    assert ranked(board, 60) == ["quick", "slow"]
    assert [ranked(board, 60) for _ in range(5)] == [["slow", "quick"]] * 5, "by one call"
    measure(board, QUICK, 2.0, 61)
    assert [ranked(board, 62 + n) for n in range(5)] == [["slow", "quick"]] * 5, "no reason to move"
    assert ranked(board, 62 + DEFAULT.compare_again) == ["quick", "slow"]
    measure(board, SLOW, 3.0, 63 + DEFAULT.compare_again)
    measure(board, QUICK, 0.5, 63 + DEFAULT.compare_again)
    assert [ranked(board, 64 + DEFAULT.compare_again) for _ in range(5)] == [["quick", "slow"]] * 5


def test_a_probe_that_never_ends_or_fails_otherwise_does_not_bar_the_next() -> None:
    board = Board()
    measure(board, QUICK, 0.5, 0)
    measure(board, SLOW, 9.0, 0)
    assert ranked(board, 40)[0] == "slow"
    assert ranked(board, 40 + DEFAULT.deadline)[0] == "quick"
    assert ranked(board, 41 + DEFAULT.deadline)[0] == "slow"
    board.report(SLOW, Outcome.THROTTLED, 0.1, 102, DEFAULT, streaming=True)
    assert ranked(board, 102)[0] == "slow"
    board.release(SLOW)
    assert ranked(board, 102)[0] == "slow"


def test_an_operation_without_a_model_in_it_is_not_measured() -> None:
    board = Board()
    for now in range(30):
        board.report(SLOW, Outcome.OK, None, now, DEFAULT, streaming=False)
    assert board.average(SLOW, 30, streaming=False) is None
    for now in range(30, 60):
        board.report(SLOW, Outcome.OK, 5.0, now, DEFAULT, streaming=False)
    assert board.open([SLOW], 60, DEFAULT) == [False]


def test_windows_are_as_long_as_the_route_says() -> None:
    short = replace(DEFAULT, skip_window=5, retry_window=2, retry_share=0, retry_per_second=1, breaker_spread=0)
    throttle, budget, breaker = Throttle(), Budget(), Breaker()
    for _ in range(10):
        throttle.note(0, short, accepted=False)
    assert (throttle.skip_probability(4, short) > 0, throttle.skip_probability(5, short)) == (True, 0)
    assert [budget.take(0, short) for _ in range(3)] == [True, True, False]
    assert budget.take(2, short)
    for _ in range(5):
        breaker.fail(0, short, 0.99)
    assert breaker.opened_until == short.breaker_open


def tried(*attempts: tuple[str, str, Outcome]) -> list[Tried]:
    return [Tried(model=model, region=region, outcome=outcome) for model, region, outcome in attempts]


@pytest.mark.parametrize(
    ("attempts", "answered_by", "expected"),
    [
        ([("green", "a", Outcome.OK)], "green", (Outcome.OK, True, False)),
        ([("green", "a", Outcome.OUTAGE), ("green", "b", Outcome.OK)], "green", (Outcome.OK, True, False)),
        ([("green", "a", Outcome.OUTAGE), ("blue", "a", Outcome.OK)], "blue", (Outcome.OUTAGE, True, True)),
        ([("green", "a", Outcome.THROTTLED), ("blue", "a", Outcome.OK)], "blue", (Outcome.THROTTLED, False, False)),
        (
            [("green", "a", Outcome.THROTTLED), ("green", "b", Outcome.OUTAGE), ("blue", "a", Outcome.OK)],
            "blue",
            (Outcome.THROTTLED, False, False),
        ),
        ([("green", "a", Outcome.MODEL_ERROR), ("green", "a", Outcome.OK)], "green", (Outcome.MODEL_ERROR, True, True)),
        ([("green", "a", Outcome.OUTAGE), ("blue", "a", Outcome.MODEL_ERROR)], None, (Outcome.OUTAGE, True, True)),
        ([("green", "a", Outcome.DENIED)], None, (Outcome.DENIED, False, False)),
        ([], "blue", (Outcome.UNAVAILABLE, True, True)),
    ],
)
def test_a_call_counts_by_the_variant_it_was_assigned_to(attempts, answered_by, expected) -> None:
    counted = account("green", tried(*attempts), answered_by=answered_by)
    assert (counted.outcome, counted.judged, counted.error) == expected


@given(
    st.lists(st.tuples(st.sampled_from(["green", "blue"]), regions, st.sampled_from(list(Outcome))), max_size=6),
    st.sampled_from(["green", "blue", None]),
    st.booleans(),
)
def test_an_error_is_always_judged_and_an_answer_by_quota_never_is(attempts, answered_by, abandoned) -> None:
    counted = account("green", tried(*attempts), answered_by=answered_by, abandoned=abandoned)
    assert counted.judged or not counted.error
    assert not (counted.error and counted.outcome in (Outcome.THROTTLED, Outcome.QUOTA, Outcome.OK))


def test_errors_that_say_nothing_of_a_target_are_not_classified() -> None:
    with pytest.raises(NotOurs):
        classify(ValueError("a hook's own"))


@pytest.mark.parametrize(
    ("code", "status", "outcome"),
    [
        ("ThrottlingException", 429, Outcome.THROTTLED),
        ("throttlingException", None, Outcome.THROTTLED),
        ("modelStreamErrorException", None, Outcome.MODEL_ERROR),
        ("ModelNotReadyException", 429, Outcome.NOT_READY),
        ("429", 429, Outcome.THROTTLED),
        ("ThrottledException", 400, Outcome.THROTTLED),
        ("TooManyRequestsException", 429, Outcome.THROTTLED),
        ("RequestLimitExceeded", 503, Outcome.THROTTLED),
        ("ServiceQuotaExceededException", 400, Outcome.QUOTA),
        ("RequestTimeoutException", 408, Outcome.TIMED_OUT),
        ("InternalFailure", 500, Outcome.OUTAGE),
        ("modelTimeoutException", None, Outcome.TIMED_OUT),
        ("validationException", None, Outcome.REJECTED),
        ("ExpiredToken", 403, Outcome.CREDENTIALS),
        ("RequestExpired", 400, Outcome.CREDENTIALS),
        ("InvalidClientTokenId", 403, Outcome.CREDENTIALS),
        ("SignatureDoesNotMatch", 403, Outcome.CREDENTIALS),
        ("IncompleteSignature", 400, Outcome.CREDENTIALS),
        ("MissingAuthenticationToken", 403, Outcome.CREDENTIALS),
        ("UnrecognizedClientException", 403, Outcome.CREDENTIALS),
        ("InternalServerError", 500, Outcome.OUTAGE),
        ("NeverHeardOf", 418, Outcome.UNKNOWN),
    ],
)
def test_errors_are_classed_by_code_before_status(code: str, status: int | None, outcome: Outcome) -> None:
    error = ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Converse")
    assert classify(error).outcome is outcome


@pytest.mark.parametrize(
    ("error", "outcome", "connect"),
    [
        (boto.EndpointConnectionError(endpoint_url="x", error="no such name"), Outcome.OUTAGE, True),
        (boto.ConnectTimeoutError(endpoint_url="x"), Outcome.OUTAGE, True),
        (boto.ProxyConnectionError(proxy_url="x"), Outcome.OUTAGE, True),
        (boto.SSLError(endpoint_url="x", error="a wrong certificate"), Outcome.OUTAGE, True),
        (boto.ConnectionClosedError(endpoint_url="x"), Outcome.OUTAGE, False),
        (boto.ReadTimeoutError(endpoint_url="x"), Outcome.TIMED_OUT, False),
        (boto.NoCredentialsError(), Outcome.CREDENTIALS, False),
        (boto.UnauthorizedSSOTokenError(), Outcome.CREDENTIALS, False),
    ],
)
def test_what_comes_of_no_answer_is_classed_by_its_kind(error: Exception, outcome: Outcome, connect: bool) -> None:
    found = classify(error)
    assert (found.outcome, found.connect) == (outcome, connect)
