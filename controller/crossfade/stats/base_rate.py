"""Base rate: blue's mean loss as it stands before each bucket. It aims the bets; it is never evidence.

An exponentially weighted mean over sealed buckets with a half-life of 100 buckets, weighted by calls, started from
blue's history before the rollout.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossfade.core.evidence import Summary
from crossfade.stats.columns import Columns, Floats, decayed

HALF_LIFE = 100
DECAY: float = 0.5 ** (1 / HALF_LIFE)
WINDOW = 1 / (1 - DECAY)
"""The buckets an exponentially weighted sum is worth, about 145; history counts for at most that many."""

PRIOR_MEAN = 0.05
PRIOR_VARIANCE = 0.05
"""What one imagined call says, so that nothing is known to be impossible before it was seen."""

LEAST, MOST = 1e-6, 0.97
LEAST_VARIANCE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BaseRate:
    """`sums`: S + (3,), decayed sums of blue's calls, losses and squared losses; the history until one was `seen`."""

    sums: Floats
    seen: NDArray[np.bool_]

    @property
    def mean(self) -> Floats:
        """Blue's mean loss, in [1e-6, 0.97]: a bet needs room on both sides. Shape S."""
        return _mean(self.sums)

    @property
    def variance(self) -> Floats:
        """Of one of blue's losses, at least 1e-6. Shape S."""
        return _variance(self.sums)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether there was a call to tell from, before the rollout or in it. Shape S."""
        return np.asarray(self.sums[..., 0] > 0)

    def after(self, columns: Columns) -> tuple[Floats, Floats, BaseRate]:
        """Mean and variance as known *before* each bucket, shapes (B,) + S, and the base rate after all of them."""
        if not len(columns):
            return columns.n_b, columns.n_b, self
        start = np.where(self.seen[..., None], self.sums, self._scaled_to(columns.n_b[0]))
        sums = decayed(start, np.stack((columns.n_b, columns.s_b, columns.q_b), axis=-1), DECAY)
        return _mean(sums[:-1]), _variance(sums[:-1]), BaseRate(sums=sums[-1], seen=np.ones_like(self.seen))

    def _scaled_to(self, calls: Floats) -> Floats:
        """History weighs no more than the window does at this traffic, or it would never be outgrown."""
        share = np.minimum(1.0, WINDOW * calls / np.maximum(self.sums[..., 0], 1.0))
        scaled: Floats = self.sums * share[..., None]
        return scaled


def start_base_rate(history: Summary, runs: tuple[int, ...] = ()) -> BaseRate:
    """The base rate before the first bucket."""
    sums = np.array([history.n, history.s, history.q], dtype=np.float64)
    return BaseRate(sums=np.tile(sums, (*runs, 1)), seen=np.zeros(runs, dtype=np.bool_))


def _mean(sums: Floats) -> Floats:
    mean: Floats = np.clip((sums[..., 1] + PRIOR_MEAN) / (sums[..., 0] + 1), LEAST, MOST)
    return mean


def _variance(sums: Floats) -> Floats:
    mean = (sums[..., 1] + PRIOR_MEAN) / (sums[..., 0] + 1)
    square = (sums[..., 2] + PRIOR_VARIANCE + PRIOR_MEAN**2) / (sums[..., 0] + 1)
    variance: Floats = np.maximum(LEAST_VARIANCE, square - mean * mean)
    return variance
