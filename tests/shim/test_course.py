"""The course of a call, driven by a clock and targets of the test's own: no thread, no socket, no waiting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crossfade.core.model import Model, Target
from crossfade.core.outcome import Outcome
from crossfade.core.policy import POLICY, Next, Region, Settings
from crossfade.core.route import Route
from crossfade.core.snapshot import Entry, Live, Snapshot
from crossfade.core.split import Variant
from crossfade.shim.answer import Told
from crossfade.shim.board import Board
from crossfade.shim.call import Call
from crossfade.shim.classify import Failure
from crossfade.shim.course import Ask, Busy, Came, Raise, Refresh, Serve, Step, Unavailable, Wait, course
from crossfade.shim.recorder import Recorder

EAST, WEST = "us-east-1", "us-west-2"
PLACES = [(name, region) for name in ("green", "blue", "small") for region in (EAST, WEST)]
FAILURES = [outcome for outcome in POLICY if outcome is not Outcome.MALFORMED]
SECONDS = 0.5


def new_call(*, variant: Variant = Variant.GREEN, policy: Settings | None = None, deadline: float = 60.0) -> Call:
    policy = policy or Settings()
    route = Route(name="r", blue="blue", fallbacks=("small",), policy=policy)
    entry = Entry(id=1, route=route, live=Live(rollout=1, step=0, weight=50, salt="s", green="green"))
    models = {
        name: Model(name=name, targets=tuple(Target(region=region, model_id=name) for region in (EAST, WEST)))
        for name in ("green", "blue", "small")
    }
    snapshot = Snapshot(
        version=1, issued_at=0, bucket_seconds=10, signing_key=b"k" * 32, entries={"r": entry}, models=models
    )
    return Call(
        operation="Converse",
        params={},
        snapshot=snapshot,
        entry=entry,
        variant=variant,
        board=Board(),
        recorder=Recorder(),
        began=1000.0,
        at=0.0,
        deadline=1000.0 + deadline,
    )


def drive(
    call: Call, answer: Callable[[str, str], Outcome], *, refreshed: bool = True, retry_after: float | None = None
) -> tuple[Step, list[tuple[str, str, Outcome]], float]:
    """Plays a call to its end: the end, every attempt, and the moment. An answer takes half a second."""
    steps, now, asked = course(call), call.began, []
    step = next(steps)
    while True:
        came: Came = None
        match step:
            case Ask(stop=stop):
                now += SECONDS
                outcome = answer(stop.model.name, stop.target.region)
                asked.append((stop.model.name, stop.target.region, outcome))
                failed = Failure(outcome=outcome, error=RuntimeError(stop.model.name), retry_after=retry_after)
                came = Told(tokens_in=1, tokens_out=1) if outcome is Outcome.OK else failed
            case Wait(seconds):
                assert seconds > 0
                now += seconds
            case Refresh():
                came = refreshed
            case _:
                return step, asked, now
        step = steps.send((now, came))


@given(
    st.dictionaries(st.sampled_from(PLACES), st.sampled_from([*FAILURES, Outcome.OK]), min_size=6, max_size=6),
    st.sampled_from([Variant.BLUE, Variant.GREEN]),
    st.floats(0.1, 60),
)
def test_whatever_fails_a_call_ends_once_in_time_and_is_recorded_as_it_went(
    fate: dict[tuple[str, str], Outcome], variant: Variant, deadline: float
) -> None:
    call = new_call(variant=variant, deadline=deadline)
    end, asked, now = drive(call, lambda name, region: fate[name, region])
    assert now <= call.deadline + SECONDS, "no attempt starts after the deadline"
    assert call.recorded
    [seen] = call.recorder._inbox
    assert seen.tried == tuple(outcome for _, _, outcome in asked)
    places = [(name, region) for name, region, _ in asked]
    assert len(dict.fromkeys(places)) <= call.settings.most_targets
    assert all(places.count(place) <= max(row.tries_last for row in POLICY.values()) for place in places)
    match end:
        case Serve(ask=ask):
            assert asked[-1] == (ask.stop.model.name, ask.stop.target.region, Outcome.OK)
            assert (seen.busy, seen.raised) == (False, False)
            assert seen.latency == pytest.approx(now - call.began)
        case Busy():
            assert (seen.busy, seen.raised) == (True, False)
        case Raise(error=error):
            assert str(error) == asked[-1][0]
            assert (seen.busy, seen.raised) == (False, True)
        case _:
            pytest.fail(f"{end} is no end of a call that may have a busy answer")


GOES_ON = [o for o, row in POLICY.items() if row.region is not Region.NO and row.model is Next.YES]


@given(
    st.sampled_from(PLACES),
    st.lists(st.sampled_from(GOES_ON), min_size=6, max_size=6),
    st.sampled_from([Variant.BLUE, Variant.GREEN]),
)
def test_a_target_that_works_is_found_wherever_the_table_lets_a_call_go(
    works: tuple[str, str], failures: list[Outcome], variant: Variant
) -> None:
    assume(variant is Variant.GREEN or works[0] != "green")
    fate = dict(zip(PLACES, failures, strict=True)) | {works: Outcome.OK}
    call = new_call(variant=variant, policy=replace(Settings(), most_targets=20, deadline=600), deadline=600)
    end, asked, _ = drive(call, lambda name, region: fate[name, region])
    assert isinstance(end, Serve)
    assert asked[-1] == (*works, Outcome.OK)


def test_a_target_left_out_for_its_breaker_is_asked_when_all_others_have_failed() -> None:
    call = new_call(policy=replace(Settings(), most_targets=6, outage_tries=1))
    works = ("blue", EAST)
    for target in (Target(region=EAST, model_id="blue"), Target(region=EAST, model_id="green")):
        for _ in range(5):
            call.board.report(target, Outcome.UNAVAILABLE, 0.1, 999.0, call.settings, streaming=False)
    end, asked, _ = drive(call, lambda *place: Outcome.OK if place == works else Outcome.OUTAGE)
    assert isinstance(end, Serve)
    assert [place[:2] for place in asked] == [
        ("green", WEST), ("blue", WEST), ("small", EAST), ("small", WEST), ("green", EAST), works,
    ]  # fmt: skip


def test_a_wait_that_outlasts_the_deadline_or_the_cap_is_not_begun() -> None:
    for policy, retry_after in ((Settings(), 30.0), (replace(Settings(), backoff_cap=120), 61.0)):
        call = new_call(variant=Variant.BLUE, policy=policy)
        _, asked, now = drive(call, lambda *_: Outcome.THROTTLED, retry_after=retry_after)
        assert [place[:2] for place in asked] == [("blue", EAST), ("blue", WEST), ("small", EAST), ("small", WEST)]
        assert now == call.began + 4 * SECONDS


def test_a_try_that_is_not_made_costs_no_retry_budget() -> None:
    call = new_call(variant=Variant.BLUE, policy=replace(Settings(), retry_share=0, retry_per_second=0.1))
    _, _, now = drive(call, lambda *_: Outcome.THROTTLED, retry_after=30.0)
    assert call.board.take_retry(call.entry.id, now, call.settings), "the one of ten seconds is left"


@pytest.mark.parametrize(("operation", "tries"), [("Converse", 1), ("CountTokens", 2)])
def test_no_try_begins_that_an_answer_would_not_end_in_time(operation: str, tries: int) -> None:
    call = replace(new_call(variant=Variant.BLUE, deadline=5.2), operation=operation)
    for region in (EAST, WEST):
        target = Target(region=region, model_id="blue")
        call.board.report(target, Outcome.OK, 5.0, 999.0, call.settings, streaming=False)
    _, asked, _ = drive(call, lambda *_: Outcome.OUTAGE)
    assert [place[:2] for place in asked if place[0] == "blue"].count(("blue", EAST)) == tries
    assert (("blue", WEST, Outcome.OUTAGE) in asked) is (operation == "CountTokens")


def test_new_credentials_are_fetched_once_and_not_for_a_try_that_is_not_made() -> None:
    call = new_call(variant=Variant.BLUE)
    steps = course(call)
    refused = Failure(outcome=Outcome.CREDENTIALS, error=RuntimeError("expired"))
    assert isinstance(next(steps), Ask)
    assert isinstance(steps.send((call.began, refused)), Refresh)
    assert isinstance(steps.send((call.began, True)), Ask)
    assert isinstance(steps.send((call.began, refused)), Raise)


def test_without_a_busy_answer_the_end_says_what_was_tried() -> None:
    call = new_call(variant=Variant.BLUE, policy=replace(Settings(), busy=False))
    end, _, _ = drive(call, lambda *_: Outcome.UNAVAILABLE)
    assert isinstance(end, Unavailable)
    assert "blue in us-east-1: unavailable" in end.message


def test_a_call_without_time_asks_nobody() -> None:
    call = new_call(deadline=0.0)
    _, asked, _ = drive(call, lambda *_: Outcome.OK)
    assert asked == []
    [seen] = call.recorder._inbox
    assert (seen.counted.outcome, seen.counted.judged) == (Outcome.ABANDONED, False)
