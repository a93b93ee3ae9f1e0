"""However the checks of an equal green are amended, and whenever, it is rolled back no more often than alpha."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from crossfade.core.amendment import amendment
from crossfade.core.evidence import Bucket, Summary
from crossfade.core.plan import Check, Plan, Step
from crossfade.core.verdict import Judgement, Ruling
from crossfade.errors import CrossfadeError
from crossfade.stats.ahead import figures_ahead
from crossfade.stats.carried import Carried, start_carried
from crossfade.stats.figures import Figures, figures
from crossfade.stats.judge import judge_figures

LENGTH, CALLS, LOOKS, RUNS = 10, 200, 60, 100
BLOCK = 20
BASE = {"error_rate": 0.1, "safety_stop": 0.05, "refusal": 0.2}
MARGIN = 3.0
Wish = Callable[[int, Plan, Judgement], Sequence[Check] | None]
"""(look, plan in force, its judgement) to the checks that are wanted; None leaves them."""


def check(metric: str, margin: float = MARGIN) -> Check:
    return Check(metric=metric, margin=margin)


FIRST = Plan(steps=(Step(weight=50),), checks=(check("error_rate"), check("safety_stop")), alpha=0.2)


def high_is_tightened(look: int, plan: Plan, judged: Judgement) -> Sequence[Check] | None:
    """Another margin whenever the evidence that green is worse is high."""
    high = {v.check.metric for v in judged.verdicts if v.log_e_worse > 0.7}
    return [other(c) if c.metric in high else c for c in plan.checks] if high else None


def low_starts_anew(look: int, plan: Plan, judged: Judgement) -> Sequence[Check] | None:
    """Whatever looks good for green is given a fresh start: what a person who wants it gone would do."""
    low = {v.check.metric for v in judged.verdicts if v.log_e_worse < -0.5}
    return [other(c) if c.metric in low else c for c in plan.checks] if low else None


def come_and_go(look: int, plan: Plan, judged: Judgement) -> Sequence[Check] | None:
    """The weakest evidence is thrown out for a check that is added, every few looks."""
    if look % 7:
        return None
    strongest = max(judged.verdicts, key=lambda v: v.log_e_worse).check
    unused = next(metric for metric in BASE if metric not in {c.metric for c in plan.checks})
    return [strongest, check(unused)]


def other(one: Check) -> Check:
    return replace(one, margin=MARGIN if one.margin != MARGIN else 2 * MARGIN)


class Process:
    """The evidence on one check from a bucket on."""

    def __init__(self, one: Check, first: int, buckets: Sequence[Bucket]) -> None:
        history = Summary(10_000, 10_000 * BASE[one.metric], 10_000 * BASE[one.metric])
        state = replace(start_carried(one, one.loss_margin, 0, history).state, bounds=None)
        self.check = one
        self._first, self._buckets, self._carried = first, buckets, Carried(state=state)
        self._figures = list(figures(state))

    def at(self, look: int) -> Figures:
        """After the buckets before the look."""
        while look - self._first >= len(self._figures):  # worked out a block at a time
            done = self._first + len(self._figures) - 1
            block = self._buckets[done : done + BLOCK]
            self._figures += figures_ahead(self._carried, block)[1:]
            self._carried = self._carried.after(block)
        return self._figures[look - self._first]


def rolled_back(rng: np.random.Generator, wish: Wish, *, price: bool = True) -> bool:
    """One rollout of two equal Models; without `price` every amended check has a fresh equal share of alpha."""
    traffic = {metric: _buckets(rng, rate) for metric, rate in BASE.items()}
    plan = FIRST
    processes = [Process(one, 0, traffic[one.metric]) for one in plan.checks]
    for look in range(LOOKS):
        judged = judge_figures(plan, [p.at(look) for p in processes], step=0, forecast=False)
        if any(verdict.ruling is Ruling.FAILED for verdict in judged.verdicts):
            return True
        wanted = wish(look, plan, judged)
        if wanted is None:
            continue
        evidence = [verdict.log_e_worse for verdict in judged.verdicts]
        try:
            found = amendment(plan, wanted, evidence, since=look * LENGTH)
        except CrossfadeError:
            continue
        kept = {(p.check.metric, p.check.since): p for p in processes}
        plan = found.plan
        processes = [kept.get((c.metric, c.since)) or Process(c, look, traffic[c.metric]) for c in plan.checks]
        if not price:
            plan = replace(plan, checks=tuple(replace(c, share=None) for c in plan.checks))
    return False


def _buckets(rng: np.random.Generator, rate: float) -> list[Bucket]:
    green = rng.binomial(CALLS, 0.5, LOOKS)
    bad_green, bad_blue = rng.binomial(green, rate), rng.binomial(CALLS - green, rate)
    rows: NDArray[np.int64] = np.stack((green, bad_green, bad_blue), axis=1)
    return [
        Bucket(k * LENGTH, 0, blue=Summary(CALLS - n, float(b), float(b)), green=Summary(n, float(g), float(g)))
        for k, (n, g, b) in enumerate(rows.tolist())
    ]


def share_rolled_back(wish: Wish, *, price: bool = True, runs: int = RUNS) -> float:
    return sum(rolled_back(np.random.default_rng([7, run]), wish, price=price) for run in range(runs)) / runs


@pytest.mark.parametrize("wish", [high_is_tightened, low_starts_anew, come_and_go])
def test_an_equal_green_is_rolled_back_no_more_often_than_alpha(wish: Wish) -> None:
    assert share_rolled_back(wish) <= binom.ppf(0.99, RUNS, FIRST.alpha) / RUNS


def test_fresh_alpha_at_every_amendment_would_pass_it() -> None:
    """That the amendments above are hard enough to tell."""
    assert share_rolled_back(low_starts_anew, price=False) > binom.ppf(0.99, RUNS, FIRST.alpha) / RUNS
