"""The arithmetic shown of a judgement on fixed evidence: each number is what its name says."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log, log1p

import numpy as np
import pytest
from drawn_evidence import drawn, plan_of, rate, series

from crossfade.core.evidence import Bucket, Series, Summary
from crossfade.core.plan import Check
from crossfade.core.verdict import Judgement
from crossfade.stats.carried import start_carried
from crossfade.stats.explanation import CheckArithmetic, explain
from crossfade.stats.figures import figures
from crossfade.stats.interval import grid
from crossfade.stats.mixture import log_sum

PLAN = plan_of(Check(metric="error_rate", margin=0.5), Check(metric="score.accuracy", margin=2), weights=(5, 25))
HISTORY = rate(0.05, 1_000)
ERRORS = [
    *drawn(np.random.default_rng(7), 12, blue=0.05, green=0.15, weight=0.3),
    Bucket(120, 0, blue=Summary(30, 1, 1)),
    *drawn(np.random.default_rng(8), 9, blue=0.05, green=0.02, weight=0.4, step=1, start=13),
    Bucket(220, 1, green=Summary(7, 2, 2)),
]


def graded(k: Bucket) -> Bucket:
    """As many calls, with losses of 0.3 and 0.1."""
    blue = Summary(k.blue.n, 0.3 * k.blue.n, 0.1 * k.blue.n)
    return Bucket(k.start, k.step, blue, Summary(k.green.n, 0.1 * k.green.n, 0.02 * k.green.n))


SCORES = [*ERRORS[:4], *[graded(k) for k in ERRORS[4:]]]
EVIDENCE = [series(ERRORS, history=HISTORY), Series("score.accuracy", tuple(SCORES), HISTORY)]


def explained(last: int | None = None) -> tuple[Judgement, tuple[CheckArithmetic, ...]]:
    return explain(PLAN, EVIDENCE, step=1, last=last)


def test_every_check_says_what_it_rests_on() -> None:
    judgement, checks = explained()
    for check, verdict, one in zip(checks, judgement.verdicts, EVIDENCE, strict=True):
        assert (check.check, check.ruling, check.share) == (verdict.check, str(verdict.ruling), 0.5)
        assert (check.history, check.judged, check.pending) == (HISTORY, 21, one.buckets[-1])
        assert (check.phi, len(check.buckets), len(check.largest)) == (verdict.overdispersion, 21, 5)
        assert (check.estimate.difference, check.estimate.lower, check.estimate.upper) == (
            verdict.estimate, verdict.lower, verdict.upper,
        )  # fmt: skip
    assert [check.binary for check in checks] == [True, False]
    assert hash(checks), "all plain numbers and tuples of them"
    assert {type(k.rises) for check in checks for k in check.buckets} == {int}


def test_the_roll_back_process_is_shown_with_all_its_settings_and_parts() -> None:
    judgement, checks = explained()
    for check, verdict in zip(checks, judgement.verdicts, strict=True):
        worse, last = check.worse, check.buckets[-1]
        assert (worse.margins, worse.weights) == ((1, 2, 4, 8, 32), (0.15, 0.45, 0.2, 0.1, 0.1))
        assert (worse.restarts, worse.cap, worse.least_rises) == (0.25, 1.5, 2)
        assert (worse.judged, worse.needed) == (verdict.log_e_worse, log(40))
        assert worse.log_waiting == pytest.approx(log(0.25 / (1 + log1p(20 / 100))))
        assert sum(map(exp, worse.log_masses)) + exp(worse.log_waiting) == pytest.approx(exp(worse.log_mixture))
        assert (worse.log_mixture, worse.log_e, worse.rises) == (last.log_mixture, last.log_e, last.rises)
        assert worse.phi_soon == last.soon
        assert worse.phi_used == pytest.approx(21 / sum(1 / k.phi for k in check.buckets))
        confirmed = [k.log_e for k in check.buckets if k.rises >= 2]
        assert worse.peak == pytest.approx(max(0.0, *confirmed))
    assert checks[0].worse.peak > 0


def test_the_gate_is_shown_with_its_margin_and_the_evidence_of_its_step_alone() -> None:
    judgement, checks = explained()
    for check, verdict, margin in zip(checks, judgement.verdicts, (0.005, 0.02), strict=True):
        assert (check.gate.margin, check.gate.weights) == (margin, (0.6, 0.25, 0.15))
        assert (check.gate.log_e, check.gate.needed) == (verdict.log_e_gate, log(20))
        assert log(sum(map(exp, check.gate.log_masses))) == pytest.approx(check.gate.log_mixture)
        factor = min(1.0, check.gate.phi_used / check.gate.phi_soon)
        assert check.gate.log_mixture * factor == pytest.approx(check.gate.log_e)
        assert [k.gate is not None for k in check.buckets] == [k.step == 1 for k in check.buckets]
        after = [k.gate.log_e for k in check.buckets if k.gate]
        assert (len(after), after[-1]) == (9, pytest.approx(check.gate.log_e))


def test_the_bets_shown_give_the_evidence_shown() -> None:
    _, (errors, _) = explained()
    for k in errors.buckets:
        n = k.green.n + k.blue.n
        if k.gate is None:
            continue
        assert k.gate.alternatives == pytest.approx((k.base, k.base + 0.0025, k.base / 2))
        for place, (u, g, b) in enumerate(zip(k.gate.u, k.gate.lambda_g, k.gate.lambda_b, strict=True)):
            m = u + errors.gate.margin
            log_e = k.green.s * log1p(g * (1 - m)) + (k.green.n - k.green.s) * log1p(-g * m)
            log_e += k.blue.s * log1p(b * (1 - u)) + (k.blue.n - k.blue.s) * log1p(-b * u)
            assert k.gate.log_es[place] == pytest.approx(log_e / k.phi / (n / (n - 1)))


def test_every_bucket_is_shown_as_it_was_merged_and_aimed_at() -> None:
    _, (errors, scores) = explained()
    assert [(k.start, k.step) for k in errors.buckets] == [(k.start, k.step) for k in ERRORS if k.blue.n and k.green.n]
    for check, margin in ((errors, 0.005), (scores, 0.02)):
        for k in check.buckets:
            assert k.alternatives == pytest.approx([min(0.98, k.base + margin * m) for m in (1, 2, 4, 8, 32)])
            n_g, n_b = k.green.n, k.blue.n
            assert k.weight == pytest.approx(n_g * n_b / (n_g + n_b))
            assert k.difference == pytest.approx(k.green.s / n_g - k.blue.s / n_b)
            assert k.tempered == pytest.approx([min(e, 1.5) / k.phi for e in k.log_es])
        mixtures = [0.0, *(k.log_mixture for k in check.buckets)]
        assert [k.gained for k in check.buckets] == pytest.approx(np.diff(mixtures).tolist(), abs=1e-12)
        assert [k.rises for k in check.buckets] == np.cumsum(np.diff(mixtures) > 1e-12).tolist()
        assert check.buckets[0].base == pytest.approx(50.05 / 1001)
        assert check.buckets[0].phi == 1
        assert check.buckets[0].variance == pytest.approx((50 + 0.0525) / 1001 - (50.05 / 1001) ** 2)


def test_the_base_rate_shown_last_is_that_after_all_buckets() -> None:
    _, checks = explained()
    for check, one, margin in zip(checks, EVIDENCE, (0.005, 0.02), strict=True):
        carried = start_carried(check.check, margin, 1, HISTORY).after(one.buckets)
        assert check.base == figures(carried.state)[0].base_mean != check.buckets[-1].base
        bounds = carried.state.bounds
        assert bounds is not None
        assert [k.difference for k in check.interval] == grid(margin).tolist()
        assert [k.log_e_over for k in check.interval] == log_sum(bounds.over).tolist()
        assert [k.log_e_under for k in check.interval] == log_sum(bounds.under).tolist()


def test_the_estimates_sums_are_of_all_buckets() -> None:
    _, checks = explained()
    for check in checks:
        w = np.array([k.weight for k in check.buckets])
        d = np.array([k.difference for k in check.buckets])
        n_g, n_b = (np.array([getattr(k, name).n for k in check.buckets]) for name in ("green", "blue"))
        estimate = check.estimate
        assert estimate.sum_weight == pytest.approx(w.sum())
        assert estimate.sum_weighted_difference == pytest.approx((w * d).sum())
        assert estimate.sum_square_green == pytest.approx((w * w / n_g).sum())
        assert estimate.sum_square_blue == pytest.approx((w * w / n_b).sum())
        assert estimate.difference == pytest.approx((w * d).sum() / w.sum())
        assert estimate.standard_error is not None
        assert 0.005 < estimate.standard_error < 0.05


def test_the_last_buckets_asked_for_are_those_of_the_whole() -> None:
    judgement, whole = explained()
    again, some = explained(last=3)
    assert again == judgement
    for few, all_ in zip(some, whole, strict=True):
        assert few == replace(all_, buckets=all_.buckets[-3:])
        assert list(all_.largest) == sorted(all_.buckets, key=lambda k: -abs(k.gained))[:5]
    assert [len(check.buckets) for check in explained(last=100)[1]] == [21, 21]
    assert [check.buckets for check in explained(last=0)[1]] == [(), ()]


def test_buckets_that_did_not_move_the_evidence_are_not_among_those_that_moved_it_most() -> None:
    still = [Bucket(10 * k, 0, blue=Summary(50), green=Summary(50)) for k in range(20)]
    moving = [Bucket(10 * k, 0, blue=Summary(50, 1, 1), green=Summary(50, 9, 9)) for k in (20, 21)]
    plan = plan_of(Check(metric="error_rate", margin=0.5), weights=(50,))
    [errors] = explain(plan, [series([*still, *moving], history=HISTORY)], step=0)[1]
    assert [k.start for k in errors.largest] == [200, 210]
    [quiet] = explain(plan, [series(still, history=HISTORY)], step=0)[1]
    assert (quiet.judged, quiet.largest) == (20, ())


def test_a_check_without_evidence_is_explained_by_what_it_begins_with() -> None:
    _, (errors, scores) = explain(PLAN, EVIDENCE[:1], step=1)
    assert errors.judged == 21
    assert (scores.judged, scores.buckets, scores.largest, scores.pending) == (0, (), (), None)
    assert (scores.history, scores.worse.log_waiting, scores.worse.peak) == (Summary(), log(0.25), 0.0)
    assert (scores.worse.phi_used, scores.worse.phi_soon, scores.phi) == (1.0, 1.0, 1.0)
    assert (scores.estimate.sum_weight, scores.estimate.difference, scores.estimate.standard_error) == (0, None, None)
