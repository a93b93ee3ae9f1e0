"""From plan and evidence to judgement: the four rulings, and state carried forward; more in test_properties."""

from __future__ import annotations

import json
from math import log

import numpy as np
import pytest
from drawn_evidence import ERRORS, bucket, drawn, plan_of, rate, series
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.core.evidence import Bucket, Series, Summary
from crossfade.core.plan import Check
from crossfade.core.verdict import Judgement, Ruling, Verdict
from crossfade.stats.carried import as_document, from_document, start_carried
from crossfade.stats.combine import failing, log_mean_e
from crossfade.stats.judge import judge, judge_carried

ACCURACY = Check(metric="score.accuracy", margin=1.0)


@st.composite
def summaries(draw: st.DrawFn, binary: bool = True) -> Summary:
    n = draw(st.integers(0, 60))
    if binary:
        bad = draw(st.integers(0, n))
        return Summary(n, bad, bad)
    losses = draw(st.lists(st.floats(0, 1), min_size=n % 8, max_size=n % 8))
    return Summary(len(losses), sum(losses), sum(loss * loss for loss in losses))


@st.composite
def evidences(draw: st.DrawFn) -> list[Bucket]:
    binary = draw(st.booleans())
    made, step = [], 0
    for t in range(draw(st.integers(0, 12))):
        step = min(3, step + draw(st.sampled_from([0, 0, 0, 1])))
        made.append(Bucket(10 * t, step, draw(summaries(binary)), draw(summaries(binary))))
    return made


def one(buckets: list[Bucket], step: int = 0, **plan) -> Verdict:
    return judge(plan_of(**plan), [series(buckets)], step=step).verdicts[0]


def test_nothing_known_is_no_data_and_e_is_one() -> None:
    judgement = judge(plan_of(), [], step=0)
    (verdict,) = judgement.verdicts
    assert verdict.ruling is Ruling.NO_DATA
    assert (verdict.log_e_worse, verdict.log_e_gate, judgement.log_e_worse) == pytest.approx((0, 0, 0))
    assert (verdict.estimate, verdict.lower, verdict.upper, verdict.calls_needed) == (None,) * 4


def test_all_weight_on_green_is_no_data_not_a_promotion() -> None:
    verdict = one([bucket((0, 0), (100, 0), 10 * t, 0) for t in range(50)], weights=(100,))
    assert verdict.ruling is Ruling.NO_DATA
    assert verdict.calls_needed is None


def test_a_much_worse_green_fails_and_its_interval_says_so() -> None:
    verdict = one(drawn(np.random.default_rng(1), 20, blue=0.01, green=0.3, weight=0.1), weights=(10,))
    assert verdict.ruling is Ruling.FAILED
    assert verdict.log_e_worse >= verdict.log_e_worse_needed
    assert verdict.lower is not None
    assert 0 < verdict.lower < 0.29
    assert verdict.calls_needed is None


def test_an_equal_green_passes_its_gate_with_enough_calls() -> None:
    verdict = one(drawn(np.random.default_rng(1), 400, blue=0.01, green=0.01, weight=0.5), weights=(50,))
    assert verdict.ruling is Ruling.PASSED
    assert verdict.upper is not None
    assert verdict.upper <= verdict.gate_margin
    assert verdict.calls_needed == 0


def test_the_gate_counts_only_the_step_under_way() -> None:
    before = drawn(np.random.default_rng(1), 400, blue=0.01, green=0.01, weight=0.5, step=0)
    now = drawn(np.random.default_rng(2), 3, blue=0.01, green=0.01, weight=0.5, step=1, start=400)
    verdict = one(before + now, step=1, weights=(40, 50))
    alone = one(now, step=1, weights=(40, 50))
    assert verdict.ruling is Ruling.INCONCLUSIVE
    assert (verdict.step_buckets, verdict.step_green) == (3, alone.step_green)
    assert verdict.buckets == 403


def test_a_breach_needs_two_buckets_even_with_a_generous_alpha() -> None:
    freak = [bucket((90, 0), (90, 90))]
    assert one(freak, alpha=0.4).ruling is not Ruling.FAILED
    assert one([*freak, bucket((90, 0), (90, 90), 10)], alpha=0.4).ruling is Ruling.FAILED


def test_a_crossing_between_two_looks_is_not_missed() -> None:
    rng = np.random.default_rng(4)
    bad = drawn(rng, 20, blue=0.01, green=0.15, weight=0.1)
    good = drawn(rng, 400, blue=0.15, green=0.0, weight=0.1, start=20)
    assert one(bad + good, weights=(10,)).ruling is Ruling.FAILED


def test_two_checks_share_alpha() -> None:
    plan = plan_of(Check(metric=ERRORS, margin=0.5), ACCURACY)
    judgement = judge(plan, [], step=0)
    assert [v.log_e_worse_needed for v in judgement.verdicts] == pytest.approx([log(2 / 0.05)] * 2)
    assert judgement.log_e_worse_needed == pytest.approx(log(1 / 0.05))


def test_checks_that_are_each_nearly_over_fail_together_by_the_largest_contributor() -> None:
    shares, alpha = (0.5, 0.5), 0.05
    assert failing([3.6, 3.65], shares, [True, True], alpha) == (False, True)
    assert failing([3.6, 0.0], shares, [True, True], alpha) == (False, False)
    assert failing([3.6, 3.65], shares, [True, False], alpha) == (False, False)
    assert log_mean_e([log(2), log(4)], shares) == pytest.approx(log(3))


def test_scores_are_judged_too() -> None:
    rng = np.random.default_rng(1)

    def graded(mean: float, n: int) -> Summary:
        losses = rng.beta(2 * mean, 2 * (1 - mean), n)
        return Summary(n, float(losses.sum()), float((losses**2).sum()))

    worse = tuple(Bucket(10 * t, 0, graded(0.15, 50), graded(0.35, 50)) for t in range(30))
    same = tuple(Bucket(10 * t, 0, graded(0.15, 50), graded(0.15, 50)) for t in range(700))
    history = graded(0.15, 2000)
    plan = plan_of(ACCURACY, weights=(50,))
    assert judge(plan, [Series("score.accuracy", worse, history)], step=0).worst is Ruling.FAILED
    assert judge(plan, [Series("score.accuracy", same, history)], step=0).worst is Ruling.PASSED


@given(buckets=evidences(), cut=st.integers(0, 12))
@settings(max_examples=80, deadline=None)
def test_state_carried_forward_is_recomputation(buckets: list[Bucket], cut: int) -> None:
    plan = plan_of()
    fresh = start_carried(plan.checks[0], 0.02, 1, rate(0.05))
    whole = fresh.after(buckets)
    carried = fresh.after(buckets[:cut])
    for each in buckets[cut:]:
        carried = from_document(json.loads(json.dumps(as_document(carried))), fresh).after([each])
    a, b = (judge_carried(plan, [state], step=1) for state in (whole, carried))
    assert numbers(a) == pytest.approx(numbers(b), rel=1e-9, abs=1e-9)
    assert a.verdicts[0].ruling is b.verdicts[0].ruling


def numbers(judgement: Judgement) -> list[float]:
    (v,) = judgement.verdicts
    values = (v.estimate, v.lower, v.upper, v.log_e_worse, v.log_e_gate, v.overdispersion, v.blue.s, v.green.s)
    return [-99.0 if value is None else value for value in values]
