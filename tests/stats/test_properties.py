"""What must hold whatever the evidence: through `judge`, by Hypothesis."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from itertools import groupby
from math import isfinite
from operator import add
from random import Random

import pytest
from drawn_evidence import ERRORS, bucket, plan_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crossfade.core.evidence import EMPTY, Bucket, Series, Summary
from crossfade.core.plan import Check
from crossfade.core.verdict import Judgement, Ruling, Verdict
from crossfade.stats.columns import LEAST_CALLS, merge
from crossfade.stats.judge import judge

MARGINS = (0.1, 0.5, 5.0, 50.0)
EIGHTHS = [k / 8 for k in range(9)]
"""Losses whose sums and sums of squares are exact in binary, in any order."""


@st.composite
def summaries(draw: st.DrawFn, binary: bool = True, least: int = 0) -> Summary:
    n = draw(st.integers(least, 60))
    if binary:
        s = draw(st.integers(0, n))
        return Summary(n, s, s)
    losses = draw(st.lists(st.sampled_from(EIGHTHS), min_size=n % 9, max_size=n % 9))
    return Summary(len(losses), sum(losses), sum(loss * loss for loss in losses))


@st.composite
def evidences(draw: st.DrawFn, least: int = 0) -> list[Bucket]:
    """Up to a dozen buckets in time order, over up to four steps; all binary or all scores."""
    binary = draw(st.booleans())
    made, step = [], 0
    for t in range(draw(st.integers(least, 12))):
        step = min(3, step + draw(st.sampled_from([0, 0, 0, 1])))
        made.append(Bucket(10 * t, step, draw(summaries(binary)), draw(summaries(binary))))
    return made


histories = summaries()
steps = st.integers(0, 3)
margins = st.sampled_from(MARGINS)


def judgement_on(buckets: list[Bucket], history: Summary = EMPTY, step: int = 0, margin: float = 0.5) -> Judgement:
    return judge(plan_of(Check(metric=ERRORS, margin=margin)), [Series(ERRORS, tuple(buckets), history)], step=step)


def verdict_on(buckets: list[Bucket], history: Summary = EMPTY, step: int = 0, margin: float = 0.5) -> Verdict:
    return judgement_on(buckets, history, step, margin).verdicts[0]


def without_sums(verdict: Verdict) -> Verdict:
    """Without the calls counted, which show unpaired ones too, and those needed, where blue is history until a pair."""
    return replace(verdict, blue=EMPTY, green=EMPTY, step_blue=EMPTY, step_green=EMPTY, calls_needed=None)


# Adding up


@given(evidence=evidences(), history=histories, step=steps, seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_what_many_shims_sent_is_the_same_evidence_in_any_order_and_any_portions(
    evidence: list[Bucket], history: Summary, step: int, seed: int
) -> None:
    rng = Random(seed)
    parts = [part for whole in evidence for part in shared_out(whole, rng)]
    rng.shuffle(parts)
    parts.sort(key=lambda part: part.start)
    again = [reduce(add, same) for _, same in groupby(parts, key=lambda part: part.start)]
    assert judgement_on(again, history, step) == judgement_on(evidence, history, step)


def shared_out(whole: Bucket, rng: Random) -> list[Bucket]:
    """Shims that each saw some of the bucket's calls, when they are binary; one else, and one that saw nothing."""
    nothing = replace(whole, blue=EMPTY, green=EMPTY)
    if whole.blue.q != whole.blue.s or whole.green.q != whole.green.s:
        return [whole, nothing]
    shims = [[[0, 0], [0, 0]] for _ in range(3)]
    for variant, sums in enumerate((whole.blue, whole.green)):
        for call in range(sums.n):
            seen = rng.choice(shims)[variant]
            seen[0] += 1
            seen[1] += call < sums.s
    return [Bucket(whole.start, whole.step, *(Summary(n, s, s) for n, s in shim)) for shim in shims]


@given(evidence=evidences(), history=histories, step=steps, at=st.integers(0, 12))
@settings(max_examples=60, deadline=None)
def test_a_bucket_without_calls_changes_nothing(evidence: list[Bucket], history: Summary, step: int, at: int) -> None:
    at = min(at, len(evidence))
    same_step = evidence[at].step if at < len(evidence) else 3
    with_gap = [*evidence[:at], Bucket(10 * at - 5, same_step), *evidence[at:]]
    assert judgement_on(with_gap, history, step) == judgement_on(evidence, history, step)


@given(evidence=evidences(1), history=histories, step=steps, empty=st.sampled_from(["blue", "green"]))
@settings(max_examples=60, deadline=None)
def test_the_last_bucket_with_calls_of_one_variant_only_has_an_e_of_one(
    evidence: list[Bucket], history: Summary, step: int, empty: str
) -> None:
    last = replace(evidence[-1], **{empty: EMPTY})
    assume(last.step not in [bucket.step for bucket in merge((), evidence[:-1])[1]])
    found, before = (verdict_on(k, history, step) for k in ([*evidence[:-1], last], evidence[:-1]))
    assert without_sums(found) == without_sums(before)


# Order


@given(evidence=evidences(1), history=histories, step=steps, seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_another_order_of_buckets_within_a_step_leaves_estimate_and_counts_as_they_are(
    evidence: list[Bucket], history: Summary, step: int, seed: int
) -> None:
    whole = [replace(k, blue=k.blue + Summary(10), green=k.green + Summary(10)) for k in evidence]
    turned = reordered(whole, seed)
    found, before = (verdict_on(k, history, step) for k in (turned, whole))
    assert found.estimate == pytest.approx(before.estimate, rel=1e-12, abs=1e-15)
    for name in ("blue", "green", "step_blue", "step_green", "buckets", "step_buckets"):
        assert getattr(found, name) == getattr(before, name)


def reordered(evidence: list[Bucket], seed: int) -> list[Bucket]:
    rng, mixed = Random(seed), []
    for _, same in groupby(evidence, key=lambda k: k.step):
        held = list(same)
        mixed += rng.sample(held, len(held))
    return [replace(k, start=10 * t) for t, k in enumerate(mixed)]


@given(bad=st.lists(st.integers(1, 2), min_size=1, max_size=60), seed=st.integers(0, 99), margin=margins)
@settings(max_examples=60, deadline=None)
def test_while_blue_stays_as_it_was_gate_and_interval_do_not_depend_on_the_order_at_all(
    bad: list[int], seed: int, margin: float
) -> None:
    """Blue's rate is its history's and so aims every bet alike; green jumps too little for any overdispersion."""
    evidence = [bucket((80, 4), (20, s), 10 * t) for t, s in enumerate(bad)]
    history = Summary(10**6, 5 * 10**4, 5 * 10**4)
    found, before = (verdict_on(k, history, 0, margin) for k in (reordered(evidence, seed), evidence))
    assert found.overdispersion == before.overdispersion == 1
    assert found.log_e_gate == pytest.approx(before.log_e_gate, rel=1e-9, abs=1e-12)
    assume(found.ruling == before.ruling)
    assert (found.lower, found.upper) == (before.lower, before.upper)


# Direction


@given(
    blue=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    green=st.tuples(st.integers(0, 300), st.integers(1, 300)),
    history=histories,
    margin=margins,
)
@settings(max_examples=150, deadline=None)
def test_a_bad_call_moved_from_blue_to_green_never_lowers_the_evidence_of_a_bucket(
    blue: tuple[int, int], green: tuple[int, int], history: Summary, margin: float
) -> None:
    (y, n_b), (x, n_g) = (sorted(blue), sorted(green))
    assume(x < n_g)
    assume(n_g + n_b >= LEAST_CALLS)
    before = verdict_on([bucket((n_b, y), (n_g, x))], history, 0, margin)
    after = verdict_on([bucket((n_b, y - 1), (n_g, x + 1))], history, 0, margin)
    assert after.log_e_worse >= before.log_e_worse - 1e-12
    assert after.log_e_gate <= before.log_e_gate + 1e-12
    assert (after.estimate or 0) > (before.estimate or 0)


@given(evidence=evidences(), history=histories, margin=margins)
@settings(max_examples=60, deadline=None)
def test_evidence_of_other_steps_never_opens_a_gate(evidence: list[Bucket], history: Summary, margin: float) -> None:
    for step in range(4):
        elsewhere = [k for k in evidence if k.step != step]
        verdict = verdict_on(elsewhere, history, step, margin)
        assert verdict.ruling in (Ruling.NO_DATA, Ruling.FAILED)
        assert verdict.log_e_gate == pytest.approx(0, abs=1e-12)
        assert not verdict.gate_passed


@given(evidence=evidences(), history=histories, step=steps, empty=st.sampled_from(["blue", "green"]))
@settings(max_examples=60, deadline=None)
def test_without_calls_of_one_variant_nothing_passes_and_nothing_fails(
    evidence: list[Bucket], history: Summary, step: int, empty: str
) -> None:
    verdict = verdict_on([replace(k, **{empty: EMPTY}) for k in evidence], history, step)
    assert verdict.ruling is Ruling.NO_DATA
    assert (verdict.log_e_worse, verdict.log_e_gate) == pytest.approx((0, 0), abs=1e-12)
    assert (verdict.estimate, verdict.lower, verdict.upper, verdict.overdispersion) == (None, None, None, 1)


# Interval


@given(evidence=evidences(), history=histories, step=steps, margin=margins, repeats=st.sampled_from([1, 1, 10]))
@settings(max_examples=150, deadline=None)
def test_every_number_is_finite_and_the_interval_never_contradicts_the_verdict(
    evidence: list[Bucket], history: Summary, step: int, margin: float, repeats: int
) -> None:
    longer = [replace(k, start=k.start + 10 * t) for k in evidence for t in range(repeats)]
    judgement = judgement_on(longer, history, step, margin)
    (v,) = judgement.verdicts
    shown = (v.log_e_worse, v.log_e_gate, v.overdispersion, v.estimate, v.lower, v.upper, judgement.log_e_worse)
    assert all(isfinite(number) for number in shown if number is not None)
    assert (v.lower is not None and v.lower > 0) == (v.ruling is Ruling.FAILED)
    if v.ruling is Ruling.PASSED:
        assert v.upper is not None
        assert v.upper <= v.gate_margin
        assert v.step_buckets > 0
    if v.lower is not None and v.upper is not None:
        assert v.lower <= v.upper  # equal where both nulls of one difference were rejected, at different times
