"""The explanation is the judge's own arithmetic: its totals are the judgement's numbers, its parts add up to them."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_evidence import ERRORS, drawn, plan_of, rate
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfade.core.evidence import Bucket, Series, Summary
from crossfade.core.plan import Check
from crossfade.stats.ahead import figures_ahead
from crossfade.stats.carried import start_carried
from crossfade.stats.explanation import LEAST_MOVE, CheckArithmetic, explain
from crossfade.stats.figures import figures
from crossfade.stats.judge import judge
from crossfade.stats.mixture import log_sum

TWO = plan_of(Check(metric=ERRORS, margin=0.5), Check(metric="score.accuracy", margin=1.0), weights=(10, 50))


@st.composite
def evidence(draw: st.DrawFn) -> tuple[list[Series], int]:
    """Errors and scores of up to forty buckets, the step changing on the way; scores now and then between 0 and 1."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    count, change = draw(st.integers(0, 40)), draw(st.integers(0, 40))
    green, graded = draw(st.sampled_from([0.0, 0.02, 0.3])), draw(st.booleans())
    errors = drawn(rng, min(count, change), blue=0.02, green=green, weight=0.1)
    errors += drawn(rng, count - len(errors), blue=0.02, green=green, weight=0.5, step=1, start=len(errors))
    scores = [Bucket(k.start, k.step, _scored(rng, k.blue, graded), _scored(rng, k.green, graded)) for k in errors]
    history = rate(0.02)
    return [Series(ERRORS, tuple(errors), history), Series("score.accuracy", tuple(scores))], int(change < count)


def _scored(rng: np.random.Generator, calls: Summary, graded: bool) -> Summary:
    losses = rng.beta(0.2, 1.8, calls.n // 2) if graded else (rng.random(calls.n // 2) < 0.1).astype(float)
    return Summary(len(losses), float(losses.sum()), float((losses**2).sum()))


@given(drawn=evidence())
@settings(max_examples=60, deadline=None)
def test_the_explanation_ends_in_the_numbers_of_the_judgement(drawn: tuple[list[Series], int]) -> None:
    series, step = drawn
    judgement, checks = explain(TWO, series, step=step)
    assert judgement == judge(TWO, series, step=step)
    for verdict, check in zip(judgement.verdicts, checks, strict=True):
        assert (check.worse.judged, check.worse.needed) == (verdict.log_e_worse, verdict.log_e_worse_needed)
        assert (check.gate.log_e, check.gate.margin) == (verdict.log_e_gate, verdict.gate_margin)
        assert (check.estimate.difference, check.estimate.lower) == (verdict.estimate, verdict.lower)
        assert len(check.buckets) == verdict.buckets
        assert sum(k.gate is not None for k in check.buckets) == verdict.step_buckets
        assert check.phi == verdict.overdispersion
        moves = sorted((abs(k.gained) for k in check.buckets), reverse=True)
        assert [abs(k.gained) for k in check.largest] == [move for move in moves[:5] if move > LEAST_MOVE]
        _adds_up(check)


def _adds_up(check: CheckArithmetic) -> None:
    """What is shown of each bucket gives the totals by plain sums."""
    worse, near = check.worse, {"rel": 1e-9, "abs": 1e-9}
    assert sum(k.gained for k in check.buckets) == pytest.approx(worse.log_mixture, **near)
    assert log_sum(np.array([*worse.log_masses, worse.log_waiting])) == pytest.approx(worse.log_mixture, **near)
    for k in check.buckets:
        assert k.tempered == pytest.approx([min(e, worse.cap) / k.phi for e in k.log_es], **near)
    if check.buckets:
        last = check.buckets[-1]
        factor = min(1.0, worse.phi_used / worse.phi_soon) if last.log_mixture > 0 else 1.0
        assert worse.log_e == pytest.approx(last.log_mixture * factor, **near)
        assert last.rises == worse.rises
    at_gate = [k.gate for k in check.buckets if k.gate]
    for position, weight in enumerate(check.gate.weights):
        total = np.log(weight) + sum(k.log_es[position] for k in at_gate)
        assert check.gate.log_masses[position] == pytest.approx(total, **near)
    if at_gate:
        assert at_gate[-1].log_mixture == pytest.approx(check.gate.log_mixture, **near)
    assert log_sum(np.array(check.gate.log_masses)) == pytest.approx(check.gate.log_mixture, **near)
    factor = min(1.0, check.gate.phi_used / check.gate.phi_soon) if check.gate.log_mixture > 0 else 1.0
    assert check.gate.log_e == pytest.approx(check.gate.log_mixture * factor, **near)
    estimate = check.estimate
    assert sum(k.weight for k in check.buckets) == pytest.approx(estimate.sum_weight, **near)
    assert sum(k.weight * k.difference for k in check.buckets) == pytest.approx(
        estimate.sum_weighted_difference, **near
    )


@given(drawn=evidence(), cut=st.integers(0, 40))
@settings(max_examples=40, deadline=None)
def test_what_decides_after_each_bucket_is_known_ahead(drawn: tuple[list[Series], int], cut: int) -> None:
    series, step = drawn
    for check, one in zip(TWO.checks, series, strict=True):
        start = start_carried(check, check.gate_margin(TWO.gate_weight(step)), step, one.history)
        begun = start.after(one.buckets[:cut])
        ahead = figures_ahead(begun, one.buckets[cut:])
        for place, found in enumerate(ahead):
            (exact,) = figures(begun.after(one.buckets[cut : cut + place]).state)
            for name in ("log_e_worse", "peak", "rises", "log_e_gate", "step_buckets"):
                assert getattr(found, name) == pytest.approx(getattr(exact, name), rel=1e-9, abs=1e-9), name
            assert (found.step_blue.n, found.step_green.n) == (exact.step_blue.n, exact.step_green.n)


def test_bets_balance_in_every_bucket() -> None:
    series = [Series(ERRORS, tuple(drawn(np.random.default_rng(3), 30, blue=0.05, green=0.05, weight=0.2)), rate(0.05))]
    _, (check,) = explain(plan_of(weights=(20,)), series, step=0)
    for k in check.buckets:
        assert k.gate is not None
        for lambda_g, lambda_b in zip(k.gate.lambda_g, k.gate.lambda_b, strict=True):
            assert k.green.n * lambda_g + k.blue.n * lambda_b == pytest.approx(0, abs=1e-9)
            assert lambda_g <= 0  # bets against "green is worse by the margin or more"
