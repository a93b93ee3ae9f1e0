"""Comparison: every rule on the same calls, summed up with Monte-Carlo errors."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from benchmarks.rules import (
    confidence_sequence,
    fixed_threshold,
    glr,
    group_sequential,
    mann_whitney,
    msprt,
    ours,
    z_test,
)
from benchmarks.rules.calls import BASE, CALLS_PER_LOOK, LOOKS, MARGIN, WEIGHT, Calls, Floats, draw
from benchmarks.rules.rule import ALPHA, Ends, Rule

RULES: tuple[Rule, ...] = tuple(
    module.RULE
    for module in (
        z_test,
        fixed_threshold,
        mann_whitney,
        msprt,
        confidence_sequence,
        group_sequential,
        glr,
        ours,
    )
)
WORSE_BY = {"equal": 0.0, "margin": MARGIN, "one point": 0.01, "four points": 0.04}
"""Green's error rate minus blue's in each scenario."""

WINDOW = LOOKS * CALLS_PER_LOOK


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share of runs and its binomial standard error."""

    share: float
    error: float


@dataclass(frozen=True, kw_only=True)
class Delay:
    """Quantiles of the calls to a roll-back over all runs, None beyond the window; the median's standard error."""

    median: float | None
    error: float | None
    p90: float | None


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one rule did. `let_through`: worse by the margin and not rolled back within the window."""

    rule: str
    promotes: str
    false_roll_back: Share
    promoted_equal: Share
    promoted_at_margin: Share
    let_through: Share
    detected: Share
    delay: Delay
    delay_four_points: Delay


def scenarios(runs: int, seed: int) -> dict[str, Calls]:
    """The calls of each scenario, from streams of their own."""
    streams = np.random.default_rng(seed).spawn(len(WORSE_BY))
    return {
        name: draw(stream, runs, BASE + worse) for (name, worse), stream in zip(WORSE_BY.items(), streams, strict=True)
    }


def decide_all(calls: dict[str, Calls]) -> dict[str, dict[str, Ends]]:
    """How each rule ended each scenario's runs: by rule, then by scenario."""
    return {rule.name: {name: rule.decide(each) for name, each in calls.items()} for rule in RULES}


def rows(ends: dict[str, dict[str, Ends]]) -> list[Row]:
    """One row a rule, in the order of `RULES`."""
    return [_row(rule, ends[rule.name]) for rule in RULES]


def _row(rule: Rule, ends: dict[str, Ends]) -> Row:
    equal, margin, point = ends["equal"], ends["margin"], ends["one point"]
    return Row(
        rule=rule.name,
        promotes=rule.promotes,
        false_roll_back=share(np.isfinite(equal.rolled_back)),
        promoted_equal=share(equal.promoted < equal.rolled_back),
        promoted_at_margin=share(margin.promoted < margin.rolled_back),
        let_through=share(np.isinf(margin.rolled_back)),
        detected=share(np.isfinite(point.rolled_back)),
        delay=delay(point.rolled_back),
        delay_four_points=delay(ends["four points"].rolled_back),
    )


def share(runs: NDArray[np.bool_]) -> Share:
    """The error is taken at (k + 1) / (n + 2), so that none or all of n runs has one too (Wilson 1927, Laplace)."""
    n = len(runs)
    p = (int(np.count_nonzero(runs)) + 1) / (n + 2)
    return Share(share=float(np.mean(runs)), error=sqrt(p * (1 - p) / n))


def delay(calls: Floats) -> Delay:
    """Medians and p90 are order statistics; the error is half the span of those one standard deviation of a
    binomial count away, which needs no density (David and Nagaraja 2003, 7.1)."""
    ranked = np.sort(calls)
    n = len(ranked)
    low, middle, high = (ranked[min(n - 1, max(0, round(n / 2 + off * sqrt(n) / 2)))] for off in (-1, 0, 1))
    p90 = ranked[min(n - 1, int(np.ceil(0.9 * n)) - 1)]
    spread = float(high - low) / 2 if np.isfinite(high) else np.inf
    median, error, p90 = (float(each) if np.isfinite(each) else None for each in (middle, spread, p90))
    return Delay(median=median, error=error, p90=p90)


def bound_calls(worse: float) -> float:
    """Calls that any rule valid at every look needs on average: log(1 / alpha) over the information per call.

    Information: min over u of (1 - w) KL(p_b, u) + w KL(p_g, u), the nearest pair of equal rates (Wald 1945).
    """
    p_b, p_g = BASE, BASE + worse

    def kl(p: float, u: float) -> float:
        return p * log(p / u) + (1 - p) * log((1 - p) / (1 - u))

    found = minimize_scalar(
        lambda u: (1 - WEIGHT) * kl(p_b, u) + WEIGHT * kl(p_g, u), bounds=(p_b, p_g), method="bounded"
    )
    return log(1 / ALPHA) / float(found.fun)
