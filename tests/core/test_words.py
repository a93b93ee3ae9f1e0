"""The words of a decision, whole: sentences, units, and the numbers its questions were answered from."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from test_decision import ACCURACY, ALL_PASSED, ERRORS, NOW, PLAN, TRAFFIC, judgement, rollout, verdict

from crossfade.core.decision import Act, Conditions, Decision, Reason, apply, decide, is_news
from crossfade.core.evidence import Summary
from crossfade.core.phase import Phase
from crossfade.core.plan import Breach, Check, Step
from crossfade.core.questions import questions
from crossfade.core.sentence import (
    duration,
    harm,
    metric_count,
    metric_value,
    percent,
    points,
    sentence,
    verdict_sentence,
)
from crossfade.core.verdict import Ruling

PAUSING = replace(ACCURACY, on_breach=Breach.PAUSE)
ERRORS_SAID = "error rate 1.00 % (5 of 500) on green against 1.00 % (95 of 9,500) on blue, no difference"
ACCURACY_SAID = "accuracy 99.00 % (500 scored) on green against 99.00 % (9,500 scored) on blue, no difference"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "1 s"),
        (1.2, "2 s"),
        (89.5, "90 s"),
        (119, "119 s"),
        (120, "2 min"),
        (150, "2 min 30 s"),
        (206, "3 min 30 s"),
        (594, "9 min 50 s"),
        (596, "10 min"),
        (89 * 60, "89 min"),
        (89 * 60 + 31, "1 h 30 min"),
        (3 * 3600, "3 h"),
        (9 * 3600 + 59 * 60, "9 h 59 min"),
        (10 * 3600 + 60, "10 h"),
        (39_540, "11 h"),
        (48 * 3600 - 3600, "47 h"),
        (48 * 3600, "2 days"),
        (80 * 3600, "3 days 8 h"),
        (259_100, "3 days"),
        (79.5 * 86_400, "80 days"),
    ],
)
def test_a_time_span_is_said_to_the_nearest_of_its_largest_units(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (0.0, "0 points"),
        (0.00123, "0.12 points"),
        (0.005, "0.5 points"),
        (0.01, "1 point"),
        (-0.01, "1 point"),
        (0.0125, "1.2 points"),
        (0.0999, "10 points"),
        (0.1, "10 points"),
        (0.105, "10.5 points"),
        (0.2, "20 points"),
        (1.0, "100 points"),
    ],
)
def test_points_have_no_more_digits_than_they_need(difference: float, said: str) -> None:
    assert points(difference) == said


def test_a_share_is_in_percent_and_a_dash_where_it_is_unknown() -> None:
    assert (percent(0.1234), percent(0.1234, 0), percent(None)) == ("12.34 %", "12 %", "-")
    assert (metric_value("score.tone", None, None), metric_value("cost", 0.04, None)) == ("-", "-")
    assert metric_value("cost", None, 0.25) == "25.00 %"
    assert metric_count("error_rate", 1000, 60.6) == "61 of 1,000"


@pytest.mark.parametrize(
    ("metric", "limit", "more", "said"),
    [
        ("error_rate", None, 3.04, "3.0 more bad answers"),
        ("score.accuracy", None, -0.26, "0.3 fewer bad answers"),
        ("latency", 1.8, 1234.0, "1,234.0 more slow calls"),
        ("first_token", 0.5, 2.0, "2.0 more slow first tokens"),
        ("truncated_output", None, 2.0, "2.0 more truncated answers"),
        ("refusal", None, -2.0, "2.0 fewer refusals"),
        ("safety_stop", None, 2.0, "2.0 more safety stops"),
        ("cost", 0.04, 30.0, "$1.20 more spent"),
        ("cost", 0.04, -5.0, "$0.200 less spent"),
        ("cost", None, 30.0, "30.0 times the limit more spent"),
    ],
)
def test_harm_is_said_of_what_the_check_counts(metric: str, limit: float | None, more: float, said: str) -> None:
    assert harm(metric, limit, more) == said


@pytest.mark.parametrize(
    ("phase", "said"),
    [
        (Phase.PENDING, "Pending: registered, not started; green gets no calls."),
        (
            Phase.PAUSED,
            "Paused at 5 %: it neither advances nor promotes until a person resumes it; a breach still rolls it back.",
        ),
        (Phase.PROMOTED, "Promoted: new serves chat."),
        (Phase.ROLLED_BACK, "Rolled back: old serves chat."),
        (Phase.ABORTED, "Aborted by a person: old serves chat."),
        (Phase.SUPERSEDED, "Superseded: new served chat until a later promotion."),
    ],
)
def test_a_rollout_that_does_not_run_says_where_it_stands(phase: Phase, said: str) -> None:
    assert sentence(decide(rollout(phase=phase), ALL_PASSED, TRAFFIC, NOW)) == said


def test_a_decision_to_stand_still_while_it_runs_says_that_it_runs() -> None:
    still = replace(decide(rollout(phase=Phase.PAUSED), ALL_PASSED, TRAFFIC, NOW), rollout=rollout())
    assert sentence(still) == "Running at 5 %."


def test_an_advance_and_a_promotion_say_what_was_shown() -> None:
    assert sentence(decide(rollout(), ALL_PASSED, TRAFFIC, NOW)) == (
        f"Advanced from 5 % to 50 %: {ERRORS_SAID}, within 1 point; {ACCURACY_SAID}, within 2 points."
    )
    assert sentence(decide(rollout(step=1), ALL_PASSED, TRAFFIC, NOW)) == (
        f"Promoted: new now serves chat. E{ERRORS_SAID[1:]}, within 1 point; {ACCURACY_SAID}, within 2 points."
    )


def test_an_advance_is_said_of_its_step_and_a_verdict_of_the_whole_rollout() -> None:
    whole = verdict(green=Summary(900, 90, 90), blue=Summary(10_000, 400, 400), estimate=-0.06)
    shown = "error rate 1.00 % (5 of 500) on green against 1.00 % (95 of 9,500) on blue, better by 6 points"
    assert sentence(decide(rollout(), judgement(whole), TRAFFIC, NOW)) == (
        f"Advanced from 5 % to 50 %: {shown}, within 1 point."
    )
    assert verdict_sentence(whole) == (
        "error rate 10.00 % (90 of 900) on green against 4.00 % (400 of 10,000) on blue, better by 6 points;"
        " a rise by 1 point is ruled out"
    )


def holding(decision: Decision) -> str:
    assert decision.act is Act.HOLD
    return sentence(decision).removeprefix("Holding at 5 %: ")


def test_too_few_calls_are_counted_by_what_is_lacking() -> None:
    few = judgement(verdict(step_buckets=5, step_green=Summary(29)), verdict(ACCURACY))
    assert holding(decide(rollout(), few, TRAFFIC, NOW)) == (
        "too few calls to judge this step: 29 of 30 green calls, 5 of 6 time buckets."
    )
    green = judgement(verdict(step_green=Summary(1_029)), verdict(ACCURACY))
    plan = replace(PLAN, least_green_calls=1_030)
    assert holding(decide(rollout(plan), green, TRAFFIC, NOW)) == (
        "too few calls to judge this step: 500 of 1,030 green calls."
    )


def test_bake_time_says_whether_anything_else_is_missing() -> None:
    young = rollout(step_started_at=NOW - timedelta(minutes=5))
    assert holding(decide(young, ALL_PASSED, TRAFFIC, NOW)) == "5 min of bake time left; the gate to 50 % is open."
    open_ = judgement(verdict(ruling=Ruling.INCONCLUSIVE, calls_needed=1_200), verdict(ACCURACY))
    assert holding(decide(young, open_, TRAFFIC, NOW)) == (
        "5 min of bake time left; about 1,200 more calls to rule out a rise of error rate by 1 point,"
        " about 10 min at today's traffic."
    )


def test_throttling_is_the_quotas_and_not_greens() -> None:
    assert holding(decide(rollout(), ALL_PASSED, replace(TRAFFIC, throttled=0.123), NOW)) == (
        "12.3 % of green's recent attempts were throttled, above 5.0 %."
        " That is the account's quota, not green's quality: the ramp waits."
    )


def test_what_ails_both_is_named() -> None:
    both = judgement(verdict(degraded=True), verdict(ACCURACY, degraded=True))
    assert holding(decide(rollout(), both, TRAFFIC, NOW)) == (
        "blue itself is worse of late than it was (error rate, accuracy), and green is not worse than blue:"
        " something ails both. The comparison goes on; nothing is advanced meanwhile."
    )


def test_a_gate_for_a_person_says_what_they_can_do() -> None:
    plan = replace(PLAN, steps=(Step(weight=5, approve=True), Step(weight=50)))
    assert holding(decide(rollout(plan), ALL_PASSED, TRAFFIC, NOW)) == (
        "every check passed; a person opens the gate to 50 % (advance or promote)."
    )


def test_without_traffic_no_time_is_given() -> None:
    open_ = judgement(verdict(ruling=Ruling.INCONCLUSIVE, calls_needed=1_200), verdict(ACCURACY))
    assert holding(decide(rollout(), open_, replace(TRAFFIC, traffic=0.0), NOW)) == (
        "about 1,200 more calls to rule out a rise of error rate by 1 point."
    )


def test_several_open_checks_are_said_one_after_the_other() -> None:
    open_ = judgement(
        verdict(ruling=Ruling.INCONCLUSIVE, calls_needed=20),
        verdict(ACCURACY, Ruling.INCONCLUSIVE, calls_needed=30),
    )
    assert holding(decide(rollout(), open_, TRAFFIC, NOW)) == (
        "about 20 more calls to rule out a rise of error rate by 1 point, about 10 s at today's traffic;"
        " about 30 more scored calls to rule out a fall of accuracy by 2 points, about 15 s at today's traffic."
    )


def test_no_data_is_said_of_every_check_that_lacks_it() -> None:
    nothing = {"green": Summary(), "blue": Summary()}
    lacking = judgement(verdict(ruling=Ruling.NO_DATA, **nothing), verdict(ACCURACY, Ruling.NO_DATA))
    assert holding(decide(rollout(), lacking, TRAFFIC, NOW)) == (
        "no calls of both variants are in yet to compare by error rate;"
        " no scored calls of both variants are in yet to compare by accuracy."
    )
    assert holding(decide(rollout(), judgement(), TRAFFIC, NOW)) == "no check has data."


def test_what_several_checks_lack_is_said_once_with_their_names() -> None:
    late = Check(metric="latency", margin=1, limit=1.8)
    tone, stops = Check(metric="score.tone", margin=1), Check(metric="refusal", margin=1)
    cut = Check(metric="truncated_output", margin=1)
    nothing: dict[str, Any] = {"ruling": Ruling.NO_DATA, "green": Summary(), "step_green": Summary()}
    lacking = judgement(*(verdict(check, **nothing) for check in (ERRORS, late, stops, cut, ACCURACY, tone)))
    none = holding(decide(rollout(), lacking, TRAFFIC, NOW))
    assert none == (
        "no calls of both variants are in yet to compare by error rate; no timed calls of both variants are in yet to"
        " compare by calls slower than 1.8 s; no calls with a stop reason of both variants are in yet to compare by"
        " refusals and truncated output; no accuracy or tone scores of green are in yet."
    )
    waiting = {"error_rate": 60, "latency": 60, "refusal": 60, "score.accuracy": 15}
    some = holding(decide(rollout(), lacking, replace(TRAFFIC, waiting=waiting), NOW))
    assert some == (
        "waiting for 60 green calls (error rate, calls slower than 1.8 s and refusals) and 15 green accuracy scores to"
        " mature: judged 60 s after the end of a bucket; no calls with a stop reason of both variants are in yet to"
        " compare by truncated output; no tone scores of green are in yet."
    )


def test_a_check_not_yet_decided_and_a_variant_without_calls_are_said_so() -> None:
    assert verdict_sentence(verdict(ruling=Ruling.INCONCLUSIVE, green=Summary(), estimate=None)) == (
        "error rate unknown (no calls) on green against 1.00 % (95 of 9,500) on blue; not yet decided"
    )
    assert verdict_sentence(verdict(ACCURACY)) == f"{ACCURACY_SAID}; a fall by 2 points is ruled out"


@pytest.mark.parametrize(
    ("estimate", "said"),
    [(5e-5, ", worse by 0.01 points"), (4.9e-5, ", no difference"), (-0.002, ", better by 0.2 points")],
)
def test_a_difference_is_worse_better_or_none(estimate: float, said: str) -> None:
    found = verdict_sentence(verdict(ruling=Ruling.INCONCLUSIVE, estimate=estimate))
    assert found.endswith(f"on blue{said}; not yet decided")


@pytest.mark.parametrize(
    ("log_e", "odds"),
    [(math.log(1234.6), "1,235"), (math.log(1e6), "1,000,000"), (math.log(3e6), "10^6"), (math.log(4e9), "10^10")],
)
def test_odds_beyond_a_million_are_a_power_of_ten(log_e: float, odds: str) -> None:
    failed = verdict_sentence(verdict(ruling=Ruling.FAILED, log_e_worse=log_e))
    assert failed.endswith(
        f"; the evidence of this check alone that green is worse is {odds} to 1, and 20 to 1 was asked"
    )


def test_a_pause_says_what_asks_for_a_person() -> None:
    breach = judgement(verdict(), verdict(PAUSING, Ruling.FAILED, estimate=0.02, log_e_worse=math.log(50)))
    assert sentence(decide(rollout(), breach, TRAFFIC, NOW)) == (
        "Paused at 5 %: accuracy 99.00 % (500 scored) on green against 99.00 % (9,500 scored) on blue,"
        " worse by 2 points;"
        " the evidence of all checks together that green is worse is 50 to 1, and 20 to 1 was asked. Its"
        " breach asks for a person."
    )
    lost = replace(TRAFFIC, misconfigured=1_500, attempts=2_000)
    assert sentence(decide(rollout(), ALL_PASSED, lost, NOW)) == (
        "Paused at 5 %: 1,500 of green's last 2,000 attempts found no such model or no access."
        " Mend new's targets, then resume."
    )
    late = judgement(verdict(), verdict(ACCURACY, Ruling.INCONCLUSIVE, calls_needed=240))
    said = sentence(decide(rollout(replace(PLAN, time_limit=1800.0)), late, TRAFFIC, NOW))
    assert said.startswith("Paused at 5 %: not decided within 30 min. A person may resume, promote or abort. ")
    assert said.endswith(
        "bout 240 more scored calls to rule out a fall of accuracy by 2 points, about 2 min at today's traffic."
    )


def test_what_else_is_worse_is_told_once_and_by_its_name() -> None:
    slow = Check(metric="latency", margin=1, limit=1.8, on_breach=Breach.TELL, gating=False)
    refusals = Check(metric="refusal", margin=1, on_breach=Breach.TELL, gating=False)
    plan = replace(PLAN, checks=(ERRORS, ACCURACY, slow))
    told = [verdict(slow, Ruling.FAILED), verdict(refusals, Ruling.FAILED)]
    advanced = decide(rollout(plan), judgement(verdict(), *told), TRAFFIC, NOW)
    assert sentence(advanced).endswith(" within 1 point. Also worse: calls slower than 1.8 s, refusals.")
    failed = decide(rollout(plan), judgement(verdict(ruling=Ruling.FAILED), told[0]), TRAFFIC, NOW)
    assert sentence(failed).endswith(" 20 to 1 was asked. Also worse: calls slower than 1.8 s.")
    waiting = decide(rollout(plan), judgement(verdict(), *told), Conditions(), NOW)
    assert sentence(waiting).endswith("the rollout waits. Also worse: calls slower than 1.8 s, refusals.")


def test_a_roll_back_without_its_check_still_says_that_one_failed() -> None:
    failed = decide(rollout(), judgement(verdict(ruling=Ruling.FAILED)), TRAFFIC, NOW)
    assert sentence(replace(failed, failed=None)) == "Rolled back from 5 %: a check failed."


# Decisions at their edges


def test_the_check_with_the_most_evidence_is_the_one_that_failed() -> None:
    less, more = verdict(ruling=Ruling.FAILED, log_e_worse=4.0), verdict(ACCURACY, Ruling.FAILED, log_e_worse=5.0)
    found = decide(rollout(), judgement(less, more), TRAFFIC, NOW)
    assert found.failed is not None
    assert found.failed.check is ACCURACY


@pytest.mark.parametrize(
    ("around", "act"),
    [
        (replace(TRAFFIC, misconfigured=5, attempts=10), Act.ADVANCE),
        (replace(TRAFFIC, misconfigured=3, attempts=5), Act.PAUSE),
        (replace(TRAFFIC, misconfigured=3, attempts=4), Act.ADVANCE),
        (replace(TRAFFIC, throttled=0.05), Act.ADVANCE),
        (replace(TRAFFIC, calls=1), Act.ADVANCE),
    ],
)
def test_half_of_the_attempts_and_the_allowed_throttling_are_not_too_much(around: Conditions, act: Act) -> None:
    assert decide(rollout(), ALL_PASSED, around, NOW).act is act


def test_the_least_that_a_step_must_have_is_enough() -> None:
    enough = {"step_buckets": 6, "step_green": Summary(30)}
    assert decide(rollout(), judgement(verdict(**enough), verdict(ACCURACY, **enough)), TRAFFIC, NOW).act is Act.ADVANCE


def test_a_decision_knows_the_bake_time_and_the_time_left() -> None:
    started = NOW - timedelta(seconds=450)
    young = rollout(replace(PLAN, time_limit=600.0), step_started_at=started, resumed_at=started)
    found = decide(young, ALL_PASSED, TRAFFIC, NOW)
    assert (found.remaining, found.time_left, found.at) == (150.0, 150.0, NOW)
    assert (found.rollout, found.judgement, found.conditions) == (young, ALL_PASSED, TRAFFIC)
    over = decide(young, ALL_PASSED, TRAFFIC, NOW + timedelta(hours=1))
    assert (over.remaining, over.time_left) == (0.0, -3450.0)
    assert decide(rollout(), ALL_PASSED, TRAFFIC, NOW).time_left is None
    assert decide(rollout(phase=Phase.PROMOTED, step_started_at=NOW), ALL_PASSED, TRAFFIC, NOW).remaining == 0


def test_at_its_time_limit_exactly_a_rollout_is_not_yet_out_of_time() -> None:
    limited = rollout(replace(PLAN, time_limit=3600.0))
    open_ = judgement(verdict(ruling=Ruling.INCONCLUSIVE), verdict(ACCURACY))
    assert decide(limited, open_, TRAFFIC, NOW).act is Act.HOLD
    assert decide(limited, open_, TRAFFIC, NOW + timedelta(seconds=1)).act is Act.PAUSE


def test_the_journal_gets_what_is_done_and_the_first_hold_of_a_kind() -> None:
    held = decide(rollout(), ALL_PASSED, Conditions(), NOW)
    assert is_news(decide(rollout(), ALL_PASSED, TRAFFIC, NOW), str(Act.ADVANCE), str(Reason.GATE_PASSED))
    assert is_news(held, None, None)
    assert is_news(held, str(Act.HOLD), str(Reason.BAKING))
    assert is_news(held, str(Act.ADVANCE), str(Reason.NO_TRAFFIC))
    assert not is_news(held, str(Act.HOLD), str(Reason.NO_TRAFFIC))
    assert not is_news(decide(rollout(phase=Phase.PAUSED), ALL_PASSED, TRAFFIC, NOW), None, None)


# Questions and their numbers


def asked(decision: Decision) -> list[tuple[str, str]]:
    return [(each.numbers, each.answer) for each in questions(decision)]


def test_every_question_says_the_numbers_it_was_answered_from() -> None:
    plan = replace(PLAN, checks=(ERRORS, PAUSING))
    judged = judgement(verdict(log_e_worse=1.5, log_e_gate=3.25), verdict(PAUSING, Ruling.FAILED, log_e_gate=4.5))
    around = replace(TRAFFIC, throttled=0.0123, misconfigured=1, attempts=1_234)
    found = decide(rollout(plan, accepted=("score.accuracy",)), judged, around, NOW)
    assert asked(found) == [
        ("it is progressing", "yes"),
        ("error rate: log E 1.500 of 2.996; accuracy: log E 9.000 of 2.996; all together log E 9.000 of 2.996", "no"),
        ("it is progressing", "no"),
        ("no call was split by chance yet", "no"),
        ("accuracy: failed, accepted by a person", "no"),
        ("1 of 1,234 recent attempts", "no"),
        ("10,000 calls, 500 of them on green", "yes"),
        (
            "error rate: 9,500 calls of blue and 500 of green in this step;"
            " accuracy: 9,500 calls of blue and 500 of green in this step",
            "yes",
        ),
        (
            "error rate: 9,500 calls of blue and 500 of green in this step;"
            " accuracy: 9,500 calls of blue and 500 of green in this step",
            "yes",
        ),
        (
            "error rate: 60 buckets, 500 green calls; accuracy: 60 buckets, 500 green calls; at least 6 and 30",
            "yes",
        ),
        ("none is left", "yes"),
        ("1.2 % of its recent attempts; at most 5.0 %", "no"),
        ("error rate: as it was; accuracy: as it was", "no"),
        (
            "error rate: within 1 point log E 3.250 of 2.996; accuracy: within 2 points log E 4.500 of 2.996",
            "yes",
        ),
        ("no", "no"),
        ("step 1 of 2 is passed", "advance to 50 %"),
    ]


def test_the_numbers_of_what_holds_are_those_it_is_held_by() -> None:
    young = rollout(step_started_at=NOW - timedelta(minutes=5))
    assert asked(decide(young, ALL_PASSED, TRAFFIC, NOW))[-1] == ("5 min of 10 min left", "no")
    ailing = judgement(verdict(degraded=True), verdict(ACCURACY))
    assert asked(decide(rollout(), ailing, TRAFFIC, NOW))[-1] == (
        "error rate: worse of late; accuracy: as it was",
        "yes",
    )
    breach = decide(rollout(), judgement(verdict(), verdict(PAUSING, Ruling.FAILED)), TRAFFIC, NOW)
    assert asked(breach)[-1] == ("accuracy: failed", "yes")
    calm = decide(rollout(), judgement(verdict(), verdict(PAUSING)), TRAFFIC, NOW)
    assert asked(calm)[4] == ("accuracy: not failed", "no")
    assert asked(decide(rollout(), ALL_PASSED, TRAFFIC, NOW))[4] == ("no check does", "no")
    assert asked(decide(rollout(), judgement(), TRAFFIC, NOW))[-1] == ("no check gates", "no")
    plan = replace(PLAN, steps=(Step(weight=5, approve=True), Step(weight=50)))
    assert asked(decide(rollout(plan), ALL_PASSED, TRAFFIC, NOW))[-1] == ("yes", "yes")


def test_the_time_limit_is_asked_after_what_held_it() -> None:
    plan = replace(PLAN, time_limit=1800.0)
    late = decide(rollout(plan), ALL_PASSED, replace(TRAFFIC, throttled=0.5), NOW)
    assert asked(late)[-2:] == [
        ("50.0 % of its recent attempts; at most 5.0 %", "yes"),
        ("30 min; it is held by the question before", "yes"),
    ]


def test_what_is_just_enough_is_not_said_to_be_too_little() -> None:
    few = decide(rollout(), judgement(verdict(step_buckets=5, step_green=Summary(30)), verdict(ACCURACY)), TRAFFIC, NOW)
    assert holding(few) == "too few calls to judge this step: 5 of 6 time buckets."
    few = decide(rollout(), judgement(verdict(step_buckets=6, step_green=Summary(29)), verdict(ACCURACY)), TRAFFIC, NOW)
    assert holding(few) == "too few calls to judge this step: 29 of 30 green calls."


def test_a_check_that_passed_is_left_out_and_those_after_it_are_said() -> None:
    open_ = judgement(verdict(), verdict(ACCURACY, Ruling.INCONCLUSIVE, calls_needed=30))
    assert holding(decide(rollout(), open_, replace(TRAFFIC, traffic=0.5), NOW)) == (
        "about 30 more scored calls to rule out a fall of accuracy by 2 points, about 60 s at today's traffic."
    )


@pytest.mark.parametrize(
    ("calls", "left", "late"), [(10, 5.0, False), (11, 5.0, True), (10, 0.0, True), (10, 0.5, True)]
)
def test_a_gate_that_takes_longer_than_is_left_is_said_beforehand(calls: int, left: float, late: bool) -> None:
    open_ = judgement(verdict(ruling=Ruling.INCONCLUSIVE, calls_needed=calls))
    limited = rollout(replace(PLAN, time_limit=3600.0 + left))
    assert ("cannot be decided" in sentence(decide(limited, open_, TRAFFIC, NOW))) is late


def test_bake_time_left_with_an_open_gate_of_no_check_says_that_it_is_open() -> None:
    young = rollout(step_started_at=NOW - timedelta(minutes=5))
    open_ = decide(young, ALL_PASSED, TRAFFIC, NOW)
    assert holding(replace(open_, reason=Reason.INCONCLUSIVE)) == "the gate to 50 % is open."


def test_a_decision_is_applied_at_its_moment() -> None:
    advanced = apply(decide(rollout(), ALL_PASSED, TRAFFIC, NOW))
    assert (advanced.step, advanced.step_started_at) == (1, NOW)


def words(decision: Decision) -> list[str]:
    asked = questions(decision)
    assert [each.stopped for each in asked] == [False] * (len(asked) - 1) + [True]
    return [each.question for each in asked]


def test_an_advance_was_asked_everything_but_the_time_limit() -> None:
    assert words(decide(rollout(), ALL_PASSED, TRAFFIC, NOW))[6:] == [
        "Has this step had calls?",
        "Is anything in for every gating check?",
        "Is some of it mature, of both variants?",
        "Are there enough buckets and green calls?",
        "Is the bake time over?",
        "Is green throttled?",
        "Is blue itself worse than it was?",
        "Has every gating check passed its gate?",
        "Does a person open this gate?",
        "What comes after this step?",
    ]


@pytest.mark.parametrize(
    ("decision", "question"),
    [
        (decide(rollout(), ALL_PASSED, Conditions(), NOW), "Has this step had calls?"),
        (
            decide(rollout(), judgement(verdict(step_buckets=5)), TRAFFIC, NOW),
            "Are there enough buckets and green calls?",
        ),
        (
            decide(rollout(replace(PLAN, steps=(Step(weight=5, approve=True),))), ALL_PASSED, TRAFFIC, NOW),
            "Does a person open this gate?",
        ),
        (
            decide(rollout(replace(PLAN, time_limit=1.0)), judgement(verdict(step_buckets=5)), TRAFFIC, NOW),
            "Has it been held beyond the time limit?",
        ),
        (decide(rollout(phase=Phase.PENDING), ALL_PASSED, TRAFFIC, NOW), "Is it running or paused?"),
    ],
)
def test_the_last_question_is_the_one_that_decided(decision: Decision, question: str) -> None:
    assert words(decision)[-1] == question


def test_a_check_that_drifts_the_wrong_way_does_not_hide_the_next() -> None:
    open_ = judgement(
        verdict(ruling=Ruling.INCONCLUSIVE, calls_needed=None),
        verdict(ACCURACY, Ruling.INCONCLUSIVE, calls_needed=30),
    )
    assert holding(decide(rollout(), open_, TRAFFIC, NOW)) == (
        f"{ERRORS_SAID}, against passing, so no time can be given to rule out a rise of error rate by 1 point;"
        " about 30 more scored calls to rule out a fall of accuracy by 2 points, about 15 s at today's traffic."
    )
