from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.core.decision import Act, Conditions, Decision, Reason, apply, decide
from crossfade.core.evidence import Summary
from crossfade.core.phase import Phase
from crossfade.core.plan import Breach, Check, Plan, Step
from crossfade.core.rollout import Rollout
from crossfade.core.sentence import sentence, split_sentence, verdict_sentence
from crossfade.core.verdict import SAMPLE_RATIO, Judgement, Ruling, Split, Verdict

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = START + timedelta(hours=1)
NEEDED = math.log(20)
ERRORS = Check(metric="error_rate", margin=0.5)
ACCURACY = Check(metric="score.accuracy", margin=1)
PLAN = Plan(steps=(Step(weight=5), Step(weight=50)), checks=(ERRORS, ACCURACY))
TRAFFIC = Conditions(calls=10_000, green_calls=500, traffic=2.0)


def rollout(plan: Plan = PLAN, **changes: Any) -> Rollout:
    fields: dict[str, Any] = {
        "id": 1, "route": "chat", "blue": "old", "green": "new", "plan": plan, "salt": "s", "created_at": START,
        "phase": Phase.PROGRESSING, "started_at": START, "step_started_at": START, "resumed_at": START,
    }  # fmt: skip
    return Rollout(**(fields | changes))


def verdict(check: Check = ERRORS, ruling: Ruling = Ruling.PASSED, **changes: Any) -> Verdict:
    green, blue = Summary(500, 5, 5), Summary(9_500, 95, 95)
    none = ruling is Ruling.NO_DATA
    fields: dict[str, Any] = {
        "check": check,
        "ruling": ruling,
        "blue": blue,
        "green": green,
        "step_blue": Summary() if none else blue,
        "step_green": Summary() if none else green,
        "estimate": 0.0,
        "gate_margin": check.gate_margin(50),
        "log_e_worse": 9.0 if ruling is Ruling.FAILED else 0.0,
        "log_e_worse_needed": NEEDED,
        "log_e_gate": 9.0 if ruling is Ruling.PASSED else 0.0,
        "log_e_gate_needed": NEEDED,
        "buckets": 60,
        "step_buckets": 0 if none else 60,
    }
    return Verdict(**(fields | changes))


def judgement(*verdicts: Verdict) -> Judgement:
    worst = max((v.log_e_worse for v in verdicts), default=0.0)
    return Judgement(verdicts=verdicts, log_e_worse=worst, log_e_worse_needed=NEEDED)


FILLING = verdict(ruling=Ruling.NO_DATA, step_blue=Summary(14, 1, 1), step_green=Summary(2))
"""Sealed calls of both variants, fewer than a judged bucket has."""
ALL_PASSED = judgement(verdict(), verdict(ACCURACY))
RIGHT = Split(calls=10_000, green=1_012, expected=1_000.0, log_e=0.4, log_e_needed=math.log(1000))
WRONG = replace(RIGHT, green=1_204, log_e=-math.log(0.0004))
SPLITS = (None, RIGHT, WRONG)


def ended(decision: Decision) -> tuple[Act, Reason]:
    return decision.act, decision.reason


def test_an_open_gate_advances_and_the_last_one_promotes() -> None:
    assert ended(decide(rollout(), ALL_PASSED, TRAFFIC, NOW)) == (Act.ADVANCE, Reason.GATE_PASSED)
    assert ended(decide(rollout(step=1), ALL_PASSED, TRAFFIC, NOW)) == (Act.PROMOTE, Reason.GATE_PASSED)


@pytest.mark.parametrize("phase", [Phase.PROGRESSING, Phase.PAUSED])
def test_a_breach_rolls_back_even_while_paused(phase: Phase) -> None:
    found = decide(rollout(phase=phase), judgement(verdict(ruling=Ruling.FAILED), verdict(ACCURACY)), TRAFFIC, NOW)
    assert ended(found) == (Act.ROLL_BACK, Reason.CHECK_FAILED)
    assert found.failed is not None
    assert found.failed.check is ERRORS


def test_a_breach_that_asks_for_a_person_pauses_once() -> None:
    check = replace(ACCURACY, on_breach=Breach.PAUSE)
    judged = judgement(verdict(), verdict(check, Ruling.FAILED))
    assert ended(decide(rollout(), judged, TRAFFIC, NOW)) == (Act.PAUSE, Reason.CHECK_FAILED)
    accepted = rollout(accepted=(check.metric,))
    assert ended(decide(accepted, judged, TRAFFIC, NOW)) == (Act.HOLD, Reason.INCONCLUSIVE)


def test_a_breach_that_is_only_told_is_told() -> None:
    told = verdict(replace(ACCURACY, on_breach=Breach.TELL, gating=False), Ruling.FAILED)
    found = decide(rollout(), judgement(verdict(), told), TRAFFIC, NOW)
    assert ended(found) == (Act.ADVANCE, Reason.GATE_PASSED)
    assert sentence(found).endswith("Also worse: accuracy.")


@pytest.mark.parametrize(
    ("changes", "conditions", "judged", "reason"),
    [
        ({}, Conditions(), ALL_PASSED, Reason.NO_TRAFFIC),
        ({}, TRAFFIC, judgement(verdict(), verdict(ACCURACY, Ruling.NO_DATA)), Reason.NO_DATA),
        (
            {},
            replace(TRAFFIC, waiting={"score.accuracy": 3}),
            judgement(verdict(ERRORS, Ruling.NO_DATA), verdict(ACCURACY, Ruling.NO_DATA)),
            Reason.NO_DATA,
        ),
        (
            {},
            replace(TRAFFIC, waiting={"score.accuracy": 3}),
            judgement(verdict(), verdict(ACCURACY, Ruling.NO_DATA)),
            Reason.NOT_MATURE,
        ),
        ({}, TRAFFIC, judgement(FILLING, verdict(ACCURACY)), Reason.TOO_FEW),
        ({}, replace(TRAFFIC, waiting={"error_rate": 3}), judgement(FILLING, verdict(ACCURACY)), Reason.TOO_FEW),
        ({}, TRAFFIC, judgement(FILLING, verdict(ACCURACY, Ruling.NO_DATA)), Reason.NO_DATA),
        ({}, TRAFFIC, judgement(verdict(step_buckets=5), verdict(ACCURACY)), Reason.TOO_FEW),
        ({}, TRAFFIC, judgement(verdict(step_green=Summary(29)), verdict(ACCURACY)), Reason.TOO_FEW),
        ({"step_started_at": NOW - timedelta(seconds=599)}, TRAFFIC, ALL_PASSED, Reason.BAKING),
        ({}, replace(TRAFFIC, throttled=0.06), ALL_PASSED, Reason.THROTTLED),
        ({}, TRAFFIC, judgement(verdict(), verdict(ACCURACY, Ruling.INCONCLUSIVE)), Reason.INCONCLUSIVE),
    ],
)
def test_it_holds_and_says_why(
    changes: dict[str, Any], conditions: Conditions, judged: Judgement, reason: Reason
) -> None:
    found = decide(rollout(**changes), judged, conditions, NOW)
    assert ended(found) == (Act.HOLD, reason)
    assert sentence(found).startswith("Holding at 5 %: ")


def test_the_sentences_of_a_hold_differ_by_cause() -> None:
    causes = [
        (Conditions(), ALL_PASSED),
        (TRAFFIC, judgement(verdict(), verdict(ACCURACY, Ruling.NO_DATA, green=Summary(), blue=Summary()))),
        (TRAFFIC, judgement(verdict(step_buckets=5), verdict(ACCURACY))),
        (TRAFFIC, judgement(verdict(), verdict(ACCURACY, Ruling.INCONCLUSIVE, calls_needed=412))),
        (TRAFFIC, judgement(verdict(), verdict(ACCURACY, Ruling.INCONCLUSIVE, calls_needed=None))),
    ]
    sentences = {sentence(decide(rollout(), judged, conditions, NOW)) for conditions, judged in causes}
    assert sentences == {
        "Holding at 5 %: no traffic has reached this step yet. That is not a failure; the rollout waits.",
        "Holding at 5 %: no accuracy scores of green are in yet.",
        "Holding at 5 %: too few calls to judge this step: 5 of 6 time buckets.",
        "Holding at 5 %: about 412 more scored calls to rule out a fall of accuracy by 2 points,"
        " about 3 min 30 s at today's traffic.",
        "Holding at 5 %: accuracy 99.00 % (500 scored) on green against 99.00 % (9,500 scored) on blue,"
        " no difference, against passing, so no time can be given to rule out a fall of accuracy by 2 points.",
    }


def test_while_both_are_degraded_nothing_is_advanced_and_a_breach_still_rolls_back() -> None:
    ailing = verdict(degraded=True)
    held = decide(rollout(), judgement(ailing, verdict(ACCURACY)), TRAFFIC, NOW)
    assert ended(held) == (Act.HOLD, Reason.BOTH_DEGRADED)
    assert "something ails both" in sentence(held)
    worse = decide(rollout(), judgement(verdict(ERRORS, Ruling.FAILED, degraded=True)), TRAFFIC, NOW)
    assert ended(worse) == (Act.ROLL_BACK, Reason.CHECK_FAILED)


def test_a_gate_that_needs_approval_waits_for_a_person() -> None:
    plan = replace(PLAN, steps=(Step(weight=5, approve=True), Step(weight=50)))
    assert ended(decide(rollout(plan), ALL_PASSED, TRAFFIC, NOW)) == (Act.HOLD, Reason.APPROVAL)


def test_too_many_misconfigured_attempts_pause() -> None:
    assert ended(decide(rollout(), ALL_PASSED, replace(TRAFFIC, misconfigured=6, attempts=10), NOW)) == (
        Act.PAUSE,
        Reason.MISCONFIGURED,
    )
    assert decide(rollout(), ALL_PASSED, replace(TRAFFIC, misconfigured=4, attempts=4), NOW).act is Act.ADVANCE


def test_the_time_limit_pauses_what_is_not_decided_and_a_resume_grants_it_anew() -> None:
    plan = replace(PLAN, time_limit=1800.0)
    open_gate = judgement(verdict(), verdict(ACCURACY, Ruling.INCONCLUSIVE, calls_needed=9))
    assert ended(decide(rollout(plan), open_gate, TRAFFIC, NOW)) == (Act.PAUSE, Reason.TIME_LIMIT)
    resumed = rollout(plan, resumed_at=NOW - timedelta(minutes=1))
    assert decide(resumed, open_gate, TRAFFIC, NOW).act is Act.HOLD
    assert decide(rollout(plan), ALL_PASSED, TRAFFIC, NOW).act is Act.ADVANCE


def test_what_cannot_be_decided_within_the_time_limit_is_said_beforehand() -> None:
    plan = replace(PLAN, time_limit=4 * 3600.0, checks=(ERRORS,))
    open_ = verdict(ERRORS, Ruling.INCONCLUSIVE, calls_needed=43_200)
    late = sentence(decide(rollout(plan), judgement(open_), TRAFFIC, NOW))
    assert "about 6 h at today's traffic: that cannot be decided at this margin within the 3 h left" in late
    soon = sentence(decide(rollout(plan), judgement(replace(open_, calls_needed=7_200)), TRAFFIC, NOW))
    assert "cannot be decided" not in soon


def test_without_blue_to_compare_with_nothing_is_promoted_whatever_the_weight() -> None:
    plan = replace(PLAN, steps=(Step(weight=50), Step(weight=100, bake=0)))  # read_plan refuses it; decide holds
    none = judgement(verdict(ruling=Ruling.NO_DATA), verdict(ACCURACY, Ruling.NO_DATA))
    assert ended(decide(rollout(plan, step=1), none, TRAFFIC, NOW)) == (Act.HOLD, Reason.NO_DATA)
    assert ended(decide(rollout(plan, step=1), none, Conditions(), NOW)) == (Act.HOLD, Reason.NO_TRAFFIC)


def test_a_wrong_split_pauses_before_anything_that_rests_on_a_comparison() -> None:
    found = decide(rollout(), replace(ALL_PASSED, split=WRONG), TRAFFIC, NOW)
    assert ended(found) == (Act.PAUSE, Reason.SAMPLE_RATIO)
    assert sentence(found).startswith(
        "Paused at 5 %: green got 1,204 of 10,000 calls where its weight says 1,000 (p = 0.0004): calls are not split"
    )
    assert sentence(found).endswith("to resume is to accept it.")
    pausing = judgement(verdict(), verdict(replace(ACCURACY, on_breach=Breach.PAUSE), Ruling.FAILED))
    ailing = replace(TRAFFIC, misconfigured=6, attempts=10)
    assert decide(rollout(), replace(pausing, split=WRONG), ailing, NOW).reason is Reason.SAMPLE_RATIO
    assert decide(rollout(), replace(ALL_PASSED, split=RIGHT), TRAFFIC, NOW).act is Act.ADVANCE


def test_a_breach_rolls_back_before_a_wrong_split_pauses_and_tells_of_it() -> None:
    failed = replace(judgement(verdict(ruling=Ruling.FAILED), verdict(ACCURACY)), split=WRONG)
    found = decide(rollout(), failed, TRAFFIC, NOW)
    assert ended(found) == (Act.ROLL_BACK, Reason.CHECK_FAILED)
    assert sentence(found).endswith(
        "The split is not as it should be: green got 1,204 of 10,000 calls where its weight says 1,000 (p = 0.0004)."
    )
    held = decide(rollout(phase=Phase.PAUSED), replace(ALL_PASSED, split=WRONG), TRAFFIC, NOW)
    assert ended(held) == (Act.HOLD, Reason.NOT_RUNNING)


def test_a_wrong_split_that_a_person_accepted_is_only_told() -> None:
    found = decide(rollout(accepted=(SAMPLE_RATIO,)), replace(ALL_PASSED, split=WRONG), TRAFFIC, NOW)
    assert ended(found) == (Act.ADVANCE, Reason.GATE_PASSED)
    assert sentence(found).endswith("says 1,000 (p = 0.0004), which a person has accepted.")
    accepted_breach = decide(rollout(accepted=("error_rate",)), replace(ALL_PASSED, split=WRONG), TRAFFIC, NOW)
    assert accepted_breach.reason is Reason.SAMPLE_RATIO


@pytest.mark.parametrize(
    ("split", "words"),
    [
        (replace(RIGHT, calls=0, green=0, expected=0.0, log_e=0.0), "no call was split by chance yet"),
        (
            replace(RIGHT, calls=40, green=1, expected=2.0),
            "green got 1 of 40 calls where its weight says 2.0 (p = 0.67)",
        ),
        (replace(RIGHT, log_e=900.0), "green got 1,012 of 10,000 calls where its weight says 1,000 (p < 0.0001)"),
        (replace(RIGHT, log_e=0.0), "green got 1,012 of 10,000 calls where its weight says 1,000 (p = 1)"),
    ],
)
def test_the_split_is_said_in_calls_and_how_likely_chance_alone_is(split: Split, words: str) -> None:
    assert split_sentence(split) == words


rulings = st.sampled_from(Ruling)
conditions = st.builds(
    Conditions,
    calls=st.integers(0, 10**6),
    traffic=st.floats(0, 100),
    throttled=st.floats(0, 1),
    misconfigured=st.integers(0, 50),
    attempts=st.integers(0, 50),
    waiting=st.dictionaries(st.sampled_from(["error_rate", "score.accuracy"]), st.integers(1, 9)),
)


@given(
    phase=st.sampled_from(Phase),
    step=st.integers(0, 1),
    pair=st.tuples(rulings, rulings),
    around=conditions,
    minutes=st.integers(0, 100),
    split=st.sampled_from(SPLITS),
)
def test_any_decision_from_any_phase_leads_to_a_legal_phase_and_has_a_sentence(
    phase: Phase, step: int, pair: tuple[Ruling, Ruling], around: Conditions, minutes: int, split: Split | None
) -> None:
    judged = replace(judgement(verdict(ruling=pair[0]), verdict(ACCURACY, pair[1])), split=split)
    found = decide(rollout(phase=phase, step=step), judged, around, START + timedelta(minutes=minutes))
    after = apply(found)
    assert after.phase in Phase
    assert (after is found.rollout) == (found.act is Act.HOLD)
    assert split is not WRONG or found.act not in (Act.ADVANCE, Act.PROMOTE)
    assert sentence(found).endswith(".")


@given(step=st.integers(0, 1), around=conditions, ruling=st.sampled_from([Ruling.NO_DATA, Ruling.INCONCLUSIVE]))
def test_no_evidence_never_promotes(step: int, around: Conditions, ruling: Ruling) -> None:
    for judged in (judgement(verdict(ruling=ruling), verdict(ACCURACY)), judgement()):
        found = decide(rollout(step=step), judged, around, NOW)
        assert found.act not in (Act.PROMOTE, Act.ADVANCE)


@given(pair=st.tuples(rulings, rulings), worse=rulings)
def test_worst_of_is_monotone(pair: tuple[Ruling, Ruling], worse: Ruling) -> None:
    from crossfade.core.verdict import severity

    two = judgement(verdict(ruling=pair[0]), verdict(ACCURACY, pair[1]))
    three = judgement(*two.verdicts, verdict(replace(ERRORS, metric="score.tone"), worse))
    assert severity(three.worst) >= severity(two.worst)


def test_a_rollback_says_everything_in_one_sentence() -> None:
    bad = verdict(
        ruling=Ruling.FAILED,
        green=Summary(450, 41, 41),
        blue=Summary(4102, 9, 9),
        estimate=0.0889,
        log_e_worse=math.log(160_000),
    )
    assert sentence(decide(rollout(), judgement(bad, verdict(ACCURACY)), TRAFFIC, NOW)) == (
        "Rolled back from 5 %: error rate 9.11 % (41 of 450) on green against 0.22 % (9 of 4,102) on blue, worse by"
        " 8.9 points; the evidence of all checks together that green is worse is 160,000 to 1, and 20 to 1 was asked."
    )


def test_what_is_in_and_too_few_to_be_judged_is_not_called_nothing() -> None:
    held = decide(rollout(), judgement(FILLING, verdict(ACCURACY)), TRAFFIC, NOW)
    assert sentence(held) == (
        "Holding at 5 %: too few calls to judge this step: 2 of 30 green calls, 0 of 6 time buckets."
    )
    said = "14 calls of blue and 2 of green are in: too few yet to compare by error rate"
    assert [verdict_sentence(FILLING, waiting) for waiting in (0, 3)] == [said, said]
    both = decide(rollout(), judgement(FILLING, verdict(ACCURACY, Ruling.NO_DATA)), TRAFFIC, NOW)
    assert sentence(both) == "Holding at 5 %: no scored calls of both variants are in yet to compare by accuracy."


MATURE = "to mature: judged 60 s after the end of a bucket."


@pytest.mark.parametrize(
    ("check", "waiting", "said"),
    [
        (ACCURACY, {}, "no accuracy scores of green are in yet."),
        (ACCURACY, {"score.accuracy": 1}, "waiting for 1 green accuracy score " + MATURE),
        (ERRORS, {"error_rate": 1_204}, "waiting for 1,204 green calls (error rate) " + MATURE),
        (ERRORS, {}, "no calls of both variants are in yet to compare by error rate."),
    ],
)
def test_nothing_in_and_nothing_mature_are_told_apart(check: Check, waiting: dict[str, int], said: str) -> None:
    lacking = verdict(check, Ruling.NO_DATA, green=Summary(), step_green=Summary(), step_buckets=0)
    held = decide(rollout(), judgement(lacking), replace(TRAFFIC, waiting=waiting), NOW)
    assert sentence(held) == f"Holding at 5 %: {said}"
