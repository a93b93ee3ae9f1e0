"""Pairs of a shadow step: exact means by enumeration, bounds, power, and the judge's own arithmetic on them."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from fractions import Fraction
from itertools import product
from math import comb, log, prod

import numpy as np
import pytest

from crossfade.core.evidence import Bucket, Pairs, Series, Summary
from crossfade.core.plan import Check, Plan, Step
from crossfade.core.verdict import Ruling
from crossfade.stats.carried import as_document, from_document, start_carried
from crossfade.stats.columns import Columns, to_columns
from crossfade.stats.explanation import explain
from crossfade.stats.figures import figures
from crossfade.stats.gate import log_e_gate
from crossfade.stats.judge import judge, judge_carried
from crossfade.stats.paired import log_e_paired, paired_bets
from crossfade.stats.state import State, start_state
from crossfade.stats.worse import log_e_worse

RATES = (Fraction(1, 50), Fraction(1, 10), Fraction(2, 5))
MARGIN = 0.005
SHADOW = Plan(
    steps=(Step(weight=0.0, bake=0.0, shadow=10.0), Step(weight=50.0)),
    checks=(Check(metric="error_rate", margin=1.0),),
)


def pair_bucket(n: int, up: int, down: int, both: int = 0, start: int = 0, step: int = 0) -> Bucket:
    """`n` pairs, of which `up` were bad on green alone, `down` on blue alone and `both` on both."""
    return Bucket(
        start,
        step,
        blue=Summary(n, float(down + both), float(down + both)),
        green=Summary(n, float(up + both), float(up + both)),
        pairs=Pairs(n, float(up), float(down), float(up + down)),
    )


def drawn(rng: np.random.Generator, n: int, *, blue: float, green: float, shared: float, start: int = 0) -> Bucket:
    """`n` pairs: a share `shared` of prompts fails on both, the others on each by itself at its own rate."""
    hard = rng.random(n) < shared
    x, y = hard | (rng.random(n) < blue), hard | (rng.random(n) < green)
    return pair_bucket(n, int((y & ~x).sum()), int((x & ~y).sum()), int((x & y).sum()), start)


def aim(differ: float) -> np.ndarray:
    return np.array([[differ, differ]])


@pytest.mark.parametrize("base", RATES)
@pytest.mark.parametrize("differ", [0.001, 0.05, 0.5])
@pytest.mark.parametrize("discordant", [1, 2, 5, 12])
def test_given_the_discordant_pairs_the_roll_back_e_value_has_mean_one_exactly(base, differ, discordant) -> None:
    """Equal Models: either of the two is the bad one with chance 1/2, whatever the base rate and the prompts."""
    a = np.array([float(base)])
    means = np.zeros(5)
    better = np.zeros(5)
    for up in range(discordant + 1):
        columns = to_columns([pair_bucket(20, up, discordant - up)])
        e = np.exp(log_e_worse(columns, a, a * (1 - a), MARGIN, True, aim(differ))[0])
        means += comb(discordant, up) * 0.5**discordant * e
        better += comb(discordant, up) * 0.4**up * 0.6 ** (discordant - up) * e
    assert means == pytest.approx(np.ones(5), abs=1e-9)
    assert (better <= 1).all()


@pytest.mark.parametrize(("d", "down"), [(0.01, 0.02), (0.01, 0.3), (0.1, 0.05), (0.5, 0.0)])
def test_the_gates_e_value_has_mean_one_when_green_is_worse_by_just_the_margin(d: float, down: float) -> None:
    n, up = 6, down + d
    a = np.array([0.1])
    means = np.zeros(3)
    for k in range(n + 1):
        for m in range(n - k + 1):
            chance = comb(n, k) * comb(n - k, m) * up**k * down**m * (1 - up - down) ** (n - k - m)
            columns = to_columns([pair_bucket(n, k, m)])
            means += chance * np.exp(log_e_gate(columns, a, a * (1 - a), np.ones(1), d, True, aim(0.1))[0])
    assert means == pytest.approx(np.ones(3), abs=1e-9)


def test_prompts_that_differ_do_not_raise_the_mean() -> None:
    """Each pair has chances of its own; only their mean difference is at the null. No mixing of calls is random."""
    d, a = 0.1, np.array([0.1])
    chances = [(0.3, 0.2), (0.5, 0.4), (0.1, 0.0), (0.2, 0.1)]  # (bad on green alone, on blue alone)
    mean = np.zeros(3)
    for outcome in product((1, -1, 0), repeat=len(chances)):
        weight = prod({1: up, -1: down, 0: 1 - up - down}[o] for o, (up, down) in zip(outcome, chances, strict=True))
        columns = to_columns([pair_bucket(len(outcome), outcome.count(1), outcome.count(-1))])
        mean += weight * np.exp(log_e_gate(columns, a, a * (1 - a), np.ones(1), d, True, aim(0.3))[0])
    assert mean == pytest.approx(np.ones(3), abs=1e-9)


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("d", [-0.4, -0.02, 0.0, 0.03, 0.5])
@pytest.mark.parametrize(("differ", "delta"), [(0.02, 0.0), (0.02, 0.1), (0.5, -0.2), (1.0, 0.3)])
def test_a_binary_bet_grows_fastest_of_all(side: int, d: float, differ: float, delta: float) -> None:
    bet = float(paired_bets(aim(differ), np.array([[delta]]), d, side, True)[0, 0])
    up, down = differ / 2 + max(0.0, delta), differ / 2 + max(0.0, -delta)
    up, down = up / max(1.0, up + down), down / max(1.0, up + down)
    edge = 0.999 / (1 + d) if side > 0 else -0.999 / (1 - d)
    assert min(0.0, edge) - 1e-12 <= bet <= max(0.0, edge) + 1e-12

    def growth(b: np.ndarray) -> np.ndarray:
        return up * np.log1p(b * (1 - d)) + down * np.log1p(-b * (1 + d)) + (1 - up - down) * np.log1p(-b * d)

    grid = np.linspace(min(0.0, edge), max(0.0, edge), 4001)
    assert float(growth(np.array([bet]))[0]) >= growth(grid).max() - 1e-9


def test_what_is_counted_of_losses_between_0_and_1_is_never_more_than_was_shown() -> None:
    rng = np.random.default_rng(1)
    for spread, d in product((0.05, 0.3, 1.0), (-0.1, 0.0, 0.05)):
        x, y = rng.random(30) * spread, rng.random(30) * spread
        gaps = y - x
        pairs = Pairs(30, float(gaps.clip(0).sum()), float((-gaps).clip(0).sum()), float((gaps**2).sum()))
        columns = to_columns(
            [Bucket(0, 0, Summary(30, x.sum(), (x**2).sum()), Summary(30, y.sum(), (y**2).sum()), pairs=pairs)]
        )
        for side in (1, -1):
            delta = np.array([[0.2 * side, 0.02 * side]])
            bets = paired_bets(np.array([[0.1, 0.02]]), delta, d, side, False)
            counted = log_e_paired(columns, bets, d, False)[0]
            exact = [float(np.log1p(bet * (gaps - d)).sum()) for bet in bets[0]]
            assert (counted <= np.array(exact) + 1e-9).all()
            assert np.isfinite(counted).all()


def run(rng: np.random.Generator, buckets: int, n: int, **rates: float) -> Series:
    return Series(
        "error_rate", tuple(drawn(rng, n, start=10 * t, **rates) for t in range(buckets)), Summary(1000, 50.0, 50.0)
    )


def test_prompts_that_are_hard_for_both_cost_pairs_nothing() -> None:
    """5 % of prompts fail on both. Unpaired, 2,000 calls of each variant cannot rule out a rise by 2 points."""
    rng = np.random.default_rng(3)
    series = run(rng, 40, 20, blue=0.002, green=0.002, shared=0.05)
    verdict = judge(SHADOW, [series], step=0).verdicts[0]
    assert verdict.ruling is Ruling.PASSED
    assert verdict.gate_margin == pytest.approx(0.02)
    apart = tuple(replace(bucket, pairs=None) for bucket in series.buckets)
    unpaired = judge(SHADOW, [replace(series, buckets=apart)], step=0).verdicts[0]
    assert unpaired.ruling is Ruling.INCONCLUSIVE
    assert verdict.log_e_gate > 2 * unpaired.log_e_gate


def test_a_worse_green_is_rolled_back_on_copies_alone() -> None:
    rng = np.random.default_rng(4)
    verdict = judge(SHADOW, [run(rng, 40, 20, blue=0.01, green=0.08, shared=0.05)], step=0).verdicts[0]
    assert verdict.ruling is Ruling.FAILED
    assert verdict.lower is not None
    assert verdict.lower > 0
    assert 0.03 < (verdict.estimate or 0) < 0.12


def test_equal_models_are_seldom_rolled_back_and_those_at_the_margin_seldom_pass() -> None:
    """400 rollouts of 1,000 pairs, a look after each bucket by the peak; at most alpha and beta, and two errors."""
    rng = np.random.default_rng(5)
    failed = sum(
        judge(SHADOW, [run(rng, 50, 20, blue=0.03, green=0.03, shared=0.1)], step=0).verdicts[0].ruling is Ruling.FAILED
        for _ in range(400)
    )
    assert failed <= 400 * 0.05 + 2 * (400 * 0.05 * 0.95) ** 0.5
    passed = 0
    for _ in range(200):
        series = run(rng, 50, 20, blue=0.01, green=0.03, shared=0.02)
        passed += judge(SHADOW, [series], step=0).verdicts[0].gate_passed
    assert passed <= 200 * 0.05 + 2 * (200 * 0.05 * 0.95) ** 0.5


def test_evidence_on_pairs_is_carried_as_it_is_computed_anew() -> None:
    rng = np.random.default_rng(6)
    series = run(rng, 30, 7, blue=0.05, green=0.06, shared=0.1)
    later = tuple(Bucket(1000 + 10 * t, 1, Summary(50, 1.0, 1.0), Summary(50, 2.0, 2.0)) for t in range(5))
    series = replace(series, buckets=series.buckets + later)
    check = SHADOW.checks[0]
    start = start_carried(check, 0.02, 0, series.history)
    whole = start.after(series.buckets)
    carried = start
    for bucket in series.buckets:
        carried = from_document(json.loads(json.dumps(as_document(carried.after([bucket])))), start)
    assert carried.pending == whole.pending
    found, expected = figures(carried.state)[0], figures(whole.state)[0]
    for name in ("log_e_worse", "log_e_gate", "phi", "discordance"):
        assert getattr(found, name) == getattr(expected, name), name
    assert judge_carried(SHADOW, [carried], step=0) == judge(SHADOW, [series], step=0)


def test_evidence_on_copies_goes_on_into_the_steps_that_split_calls() -> None:
    rng = np.random.default_rng(7)
    copies = run(rng, 20, 20, blue=0.01, green=0.06, shared=0.0)
    calls = tuple(Bucket(1000 + 10 * t, 1, Summary(50, 1.0, 1.0), Summary(50, 1.0, 1.0)) for t in range(5))
    before = judge(SHADOW, [copies], step=1).verdicts[0]
    after = judge(SHADOW, [replace(copies, buckets=copies.buckets + calls)], step=1).verdicts[0]
    assert before.log_e_worse > 1
    assert before.step_green.n == 0  # of the step under way, whose gate begins anew
    assert after.buckets == before.buckets + 5
    assert after.step_buckets == 5


def test_the_explanation_has_the_numbers_of_the_verdict_and_its_bets_give_them() -> None:
    rng = np.random.default_rng(8)
    series = run(rng, 12, 25, blue=0.02, green=0.04, shared=0.1)
    judgement, [found] = explain(SHADOW, [series], step=0)
    assert judgement == judge(SHADOW, [series], step=0)
    for bucket in found.buckets:
        assert bucket.pairs is not None
        assert bucket.gate is not None
        for bet, log_e in zip(bucket.gate.lambda_g, bucket.gate.log_es, strict=True):
            d, pairs = found.gate.margin, bucket.pairs
            by_hand = (
                pairs.up * log(1 + bet * (1 - d))
                + pairs.down * log(1 - bet * (1 + d))
                + (pairs.n - pairs.up - pairs.down) * log(1 - bet * d)
            )
            assert log_e == pytest.approx(by_hand / bucket.gate.phi)


def test_pairs_that_come_in_bursts_raise_phi_and_independent_ones_do_not() -> None:
    rng = np.random.default_rng(9)
    one = run(rng, 200, 20, blue=0.05, green=0.05, shared=0.1)
    bursts = tuple(
        pair_bucket(20, 4 * int(b.pairs.up), 4 * int(b.pairs.down), start=b.start)
        for b in run(rng, 200, 20, blue=0.02, green=0.02, shared=0.0).buckets
        if b.pairs is not None and 4 * (b.pairs.up + b.pairs.down) <= 20
    )
    assert judge(SHADOW, [one], step=0).verdicts[0].overdispersion < 1.3
    assert judge(SHADOW, [replace(one, buckets=bursts)], step=0).verdicts[0].overdispersion > 2


def test_rollouts_of_pairs_side_by_side_are_each_as_if_alone() -> None:
    rng = np.random.default_rng(12)
    runs = [run(rng, 12, 20, blue=0.05, green=green, shared=0.1).buckets for green in (0.05, 0.2)]
    each = [to_columns(pair).side_by_side() for pair in zip(*runs, strict=True)]
    names = [field.name for field in fields(Columns) if field.name != "groups"]
    both = Columns(**{name: np.concatenate([getattr(k, name) for k in each]) for name in names})

    def started(shape: tuple[int, ...]) -> State:
        return start_state(margin=0.01, gate_margin=0.02, step=0, history=Summary(1000, 50.0, 50.0), runs=shape)

    together = figures(started((2,)).after(both))
    for alone, found in zip((figures(started(()).after(to_columns(one)))[0] for one in runs), together, strict=True):
        for name in ("log_e_worse", "log_e_gate", "phi", "peak", "discordance"):
            assert getattr(found, name) == pytest.approx(getattr(alone, name), abs=1e-12), name


def test_the_calls_needed_shrink_as_pairs_come_in_and_count_calls_of_the_route() -> None:
    rng = np.random.default_rng(10)
    series = run(rng, 10, 4, blue=0.01, green=0.01, shared=0.05)
    at_ten = judge(SHADOW, [series], step=0).verdicts[0].calls_needed
    all_copied = replace(SHADOW, steps=(replace(SHADOW.steps[0], shadow=100.0), SHADOW.steps[1]))
    at_hundred = judge(all_copied, [series], step=0).verdicts[0].calls_needed
    assert at_ten is not None
    assert at_hundred is not None
    assert at_ten == pytest.approx(10 * at_hundred, rel=0.05)
    assert at_hundred > 0
