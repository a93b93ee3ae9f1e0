"""Calls: made traffic of a rollout at a fixed weight, as sums per look, many runs at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

CALLS_PER_LOOK = 100
LOOKS = 1_000
LOOKS_PER_MINUTE = 6
"""600 calls a minute: a look is ten seconds, as Crossfade's buckets are, for the rules that look once a minute."""

BASE = 0.01
WEIGHT = 0.1
MARGIN = 0.005

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Calls:
    """Calls `n` and bad calls `s` of green and blue in each look, not cumulated; shape (runs, looks)."""

    n_g: Counts
    s_g: Counts
    n_b: Counts
    s_b: Counts

    @property
    def runs(self) -> int:
        return len(self.n_g)

    @property
    def looks(self) -> int:
        return int(self.n_g.shape[1])

    @cached_property
    def total(self) -> Totals:
        """The same summed up to each look."""
        n_g, s_g, n_b, s_b = (
            np.cumsum(each, axis=1).astype(float) for each in (self.n_g, self.s_g, self.n_b, self.s_b)
        )
        return Totals(n_g=n_g, s_g=s_g, n_b=n_b, s_b=s_b)

    def per_minute(self) -> Calls:
        """The sums of each whole minute; shape (runs, minutes). Looks after the last whole minute are left out."""
        whole = self.looks // LOOKS_PER_MINUTE * LOOKS_PER_MINUTE
        shape = (self.runs, -1, LOOKS_PER_MINUTE)
        n_g, s_g, n_b, s_b = (
            each[:, :whole].reshape(shape).sum(axis=2) for each in (self.n_g, self.s_g, self.n_b, self.s_b)
        )
        return Calls(n_g=n_g, s_g=s_g, n_b=n_b, s_b=s_b)


@dataclass(frozen=True, kw_only=True, eq=False)
class Totals:
    """Everything up to each look; shape (runs, looks). Rates are 0 while a variant has no call."""

    n_g: Floats
    s_g: Floats
    n_b: Floats
    s_b: Floats

    @cached_property
    def p_g(self) -> Floats:
        return self.s_g / np.maximum(self.n_g, 1)

    @cached_property
    def p_b(self) -> Floats:
        return self.s_b / np.maximum(self.n_b, 1)

    @property
    def difference(self) -> Floats:
        """Green's error rate minus blue's: positive is worse."""
        return self.p_g - self.p_b

    @cached_property
    def variance(self) -> Floats:
        """Of the difference, each variant with its own variance: p (1 - p) / n, summed."""
        green = self.p_g * (1 - self.p_g) / np.maximum(self.n_g, 1)
        return green + self.p_b * (1 - self.p_b) / np.maximum(self.n_b, 1)

    @cached_property
    def pooled_variance(self) -> Floats:
        """Of the difference if the rates are equal: p (1 - p) (1 / n_g + 1 / n_b) with the rate p of all calls."""
        p = (self.s_g + self.s_b) / (self.n_g + self.n_b)
        return p * (1 - p) * (1 / np.maximum(self.n_g, 1) + 1 / np.maximum(self.n_b, 1))

    @property
    def both_vary(self) -> NDArray[np.bool_]:
        """Whether each variant has had a bad call. Before, its estimated variance is 0 and says nothing."""
        return (self.s_g > 0) & (self.s_b > 0)


def draw(rng: np.random.Generator, runs: int, green: float, *, base: float = BASE, looks: int = LOOKS) -> Calls:
    """Independent calls: green gets each with probability `WEIGHT`; blue fails at rate `base`, green at `green`."""
    n_g = rng.binomial(CALLS_PER_LOOK, WEIGHT, (runs, looks))
    n_b = CALLS_PER_LOOK - n_g
    return Calls(n_g=n_g, s_g=rng.binomial(n_g, green), n_b=n_b, s_b=rng.binomial(n_b, base))
