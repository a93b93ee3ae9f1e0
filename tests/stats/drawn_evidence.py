"""Evidence made up for these tests: buckets of sums, drawn or written down."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from crossfade.core.evidence import Bucket, Series, Summary
from crossfade.core.plan import Check, Plan, Step
from crossfade.stats.columns import Columns, to_columns

ERRORS = "error_rate"


def bucket(blue: tuple[int, float], green: tuple[int, float], start: int = 0, step: int = 0) -> Bucket:
    """Binary losses: (calls, bad calls) of blue and of green."""
    return Bucket(start, step, Summary(blue[0], blue[1], blue[1]), Summary(green[0], green[1], green[1]))


def columns_of(*buckets: Bucket) -> Columns:
    return to_columns(buckets)


def rate(p: float, calls: int = 10_000) -> Summary:
    """A history of binary losses."""
    return Summary(calls, round(calls * p), round(calls * p))


def plan_of(*checks: Check, weights: Sequence[float] = (1, 5, 25, 50), alpha: float = 0.05, beta: float = 0.05) -> Plan:
    steps = tuple(Step(weight=w) for w in weights)
    return Plan(steps=steps, checks=checks or (Check(metric=ERRORS, margin=0.5),), alpha=alpha, beta=beta)


def drawn(
    rng: np.random.Generator,
    count: int,
    *,
    blue: float | Callable[[int], float],
    green: float | Callable[[int], float],
    weight: float,
    calls: int = 100,
    step: int = 0,
    start: int = 0,
    clump: int = 1,
) -> list[Bucket]:
    """Buckets of binary losses; `clump` calls at a time share variant and fate. Rates may depend on the bucket."""
    made = []
    for t in range(start, start + count):
        p_b = blue(t) if callable(blue) else blue
        p_g = green(t) if callable(green) else green
        groups = int(rng.binomial(calls // clump, weight))
        n_g, n_b = groups * clump, calls - groups * clump
        x, y = clump * int(rng.binomial(groups, p_g)), clump * int(rng.binomial(n_b // clump, p_b))
        made.append(bucket((n_b, y), (n_g, x), 10 * t, step))
    return made


def series(buckets: Sequence[Bucket], metric: str = ERRORS, history: Summary | None = None) -> Series:
    return Series(metric, tuple(buckets), rate(0.01) if history is None else history)
