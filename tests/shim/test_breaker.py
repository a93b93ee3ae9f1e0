"""The breaker: a pure state machine of time and outcomes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crossfade.core.policy import Settings
from crossfade.shim.breaker import Breaker, State

SETTINGS = Settings()


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(5):
        breaker.fail(now, SETTINGS)
    return breaker


def test_five_failures_in_a_row_open_it_for_five_seconds() -> None:
    breaker = opened()
    assert breaker.state is State.OPEN
    assert not breaker.allows(4.9, SETTINGS)
    assert breaker.allows(5.1, SETTINGS)


def test_half_of_ten_within_thirty_seconds_open_it() -> None:
    breaker = Breaker()
    for now in range(5):
        breaker.succeed(now, SETTINGS)
        assert breaker.state is State.CLOSED
        breaker.fail(now, SETTINGS)
    assert breaker.state is State.OPEN


def test_old_failures_are_forgotten() -> None:
    breaker = Breaker()
    for now in range(0, 400, 40):
        breaker.fail(now, SETTINGS)
        breaker.succeed(now, SETTINGS)
    assert breaker.state is State.CLOSED


def test_one_probe_at_a_time_and_three_successes_close_it() -> None:
    breaker = opened()
    for now in (6.0, 7.0, 8.0):
        assert breaker.take(now, SETTINGS)
        assert not breaker.take(now, SETTINGS)
        breaker.succeed(now, SETTINGS)
    assert breaker.state is State.CLOSED


def test_a_failed_probe_doubles_the_wait_up_to_two_minutes() -> None:
    breaker, now, waits = opened(), 0.0, []
    for _ in range(7):
        waits.append(round(breaker.opened_until - now))
        now = breaker.opened_until
        assert breaker.take(now, SETTINGS)
        breaker.fail(now, SETTINGS)
    assert waits == [5, 10, 20, 40, 80, 120, 120]


@given(
    events=st.lists(st.tuples(st.sampled_from(["take", "succeed", "fail", "release"]), st.floats(0, 50)), max_size=60)
)
def test_it_always_opens_up_again_in_bounded_time(events: list[tuple[str, float]]) -> None:
    breaker, now = Breaker(), 0.0
    for act, pause in events:
        now += pause
        if act == "release":
            breaker.release()
        else:
            getattr(breaker, act)(now, SETTINGS)
    later = now + SETTINGS.breaker_open_most * 1.1 + SETTINGS.deadline + 1
    assert breaker.allows(later, SETTINGS)
