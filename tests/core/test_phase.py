from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.core.phase import LIVE, MOVES, Phase, Verb, move
from crossfade.core.plan import Check, Plan, Step
from crossfade.core.rollout import Rollout
from crossfade.errors import Conflict

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLAN = Plan(steps=(Step(weight=5), Step(weight=50)), checks=(Check(metric="error_rate", margin=1),))


def rollout(**changes: object) -> Rollout:
    fields: dict[str, object] = {
        "id": 1,
        "route": "chat",
        "blue": "old",
        "green": "new",
        "plan": PLAN,
        "salt": "s",
        "created_at": NOW,
    }
    return Rollout(**(fields | changes))  # type: ignore[arg-type]


def test_every_phase_has_its_row() -> None:
    assert set(MOVES) == set(Phase)


def test_abort_is_possible_in_every_live_phase() -> None:
    assert all(move(phase, Verb.ABORT) is Phase.ABORTED for phase in LIVE)


def test_an_illegal_move_says_what_is_possible() -> None:
    with pytest.raises(Conflict, match=r"is pending; pause is not possible there \(possible: start, abort"):
        move(Phase.PENDING, Verb.PAUSE)
    with pytest.raises(Conflict, match="it has ended"):
        move(Phase.ROLLED_BACK, Verb.PROMOTE)


@given(phase=st.sampled_from(Phase), verb=st.sampled_from(Verb), step=st.integers(0, 1))
def test_any_verb_from_any_phase_leads_to_a_legal_phase_or_a_clear_error(phase: Phase, verb: Verb, step: int) -> None:
    before = rollout(phase=phase, step=step)
    try:
        after = before.moved(verb, NOW)
    except Conflict as refusal:
        said = str(refusal)
    else:
        said = ""
    if said:
        assert "possible" in said or "is the last" in said or "has ended" in said
        return
    assert after.phase is MOVES[phase][verb]
    assert after.version == before.version + 1
    assert 0 <= after.step < len(PLAN.steps)


def test_green_gets_no_calls_before_the_start_and_after_the_end() -> None:
    assert [rollout(phase=phase).weight for phase in Phase] == [0, 5, 5, 100, 0, 0, 100]


def test_an_advance_begins_the_next_step_anew() -> None:
    later = NOW + timedelta(minutes=5)
    after = rollout().moved(Verb.START, NOW).moved(Verb.ADVANCE, later)
    assert (after.step, after.weight, after.step_started_at) == (1, 50, later)


def test_the_last_step_cannot_be_advanced_but_promoted() -> None:
    last = rollout(phase=Phase.PROGRESSING, step=1)
    with pytest.raises(Conflict, match="step 2 of 2 is the last; promote"):
        last.moved(Verb.ADVANCE, NOW)
    assert last.moved(Verb.PROMOTE, NOW).weight == 100


def test_a_resume_accepts_what_had_paused_it() -> None:
    paused = rollout(phase=Phase.PAUSED, accepted=("score.tone",))
    assert paused.moved(Verb.RESUME, NOW, accepted=["error_rate"]).accepted == ("error_rate", "score.tone")


def test_a_start_is_the_beginning_of_the_rollout_of_its_first_step_and_of_its_time_limit() -> None:
    later = NOW + timedelta(minutes=5)
    after = rollout().moved(Verb.START, later)
    assert (after.started_at, after.step_started_at, after.resumed_at, after.ended_at) == (later, later, later, None)
    assert (rollout().began, after.began) == (NOW, later)


def test_the_time_limit_counts_from_the_last_resume_or_advance() -> None:
    later = NOW + timedelta(minutes=5)
    running = rollout().moved(Verb.START, NOW)
    resumed = running.moved(Verb.PAUSE, NOW).moved(Verb.RESUME, later)
    assert (resumed.resumed_at, resumed.step_started_at) == (later, NOW)
    assert running.moved(Verb.ADVANCE, later).resumed_at == later


@pytest.mark.parametrize("verb", [Verb.PROMOTE, Verb.ABORT, Verb.ROLL_BACK])
def test_an_ended_rollout_knows_when(verb: Verb) -> None:
    later = NOW + timedelta(minutes=5)
    assert rollout().moved(Verb.START, NOW).moved(verb, later).ended_at == later


def test_an_undone_promotion_ends_when_it_was_undone_and_a_superseded_one_when_it_was_promoted() -> None:
    later = NOW + timedelta(minutes=5)
    promoted = rollout().moved(Verb.START, NOW).moved(Verb.PROMOTE, NOW)
    assert promoted.moved(Verb.UNDO, later).ended_at == later
    assert promoted.moved(Verb.SUPERSEDE, later).ended_at == NOW


def test_an_ended_rollout_refuses_in_whole_words() -> None:
    with pytest.raises(Conflict) as caught:
        move(Phase.ROLLED_BACK, Verb.PROMOTE)
    assert str(caught.value) == "the rollout is rolled back; promote is not possible there (it has ended)"
