"""Base rate: blue's mean loss as it stands before each bucket. It aims the bets; it is never evidence.

An exponentially weighted mean over sealed buckets with a half-life of 100 buckets, weighted by calls, started from
blue's history before the rollout.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crossfade.core.evidence import Summary
from crossfade.stats.columns import Columns, Floats

HALF_LIFE = 100
DECAY: float = 0.5 ** (1 / HALF_LIFE)
WINDOW = 1 / (1 - DECAY)
"""The buckets an exponentially weighted sum is worth, about 145; history counts for at most that many."""

PRIOR_MEAN = 0.05
PRIOR_VARIANCE = 0.05
"""What one imagined call says, so that nothing is known to be impossible before it was seen."""

LEAST, MOST = 1e-6, 0.97
LEAST_VARIANCE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseRate:
    """Decayed sums of blue's calls `n`, losses `s` and squared losses `q`; or the history while none was seen."""

    n: float
    s: float
    q: float
    seen: bool = False

    @property
    def mean(self) -> float:
        """Blue's mean loss, in [1e-6, 0.97]: a bet needs room on both sides."""
        return min(MOST, max(LEAST, (self.s + PRIOR_MEAN) / (self.n + 1)))

    @property
    def variance(self) -> float:
        """Of one of blue's losses, at least 1e-6."""
        mean = (self.s + PRIOR_MEAN) / (self.n + 1)
        square = (self.q + PRIOR_VARIANCE + PRIOR_MEAN**2) / (self.n + 1)
        return max(LEAST_VARIANCE, square - mean * mean)

    def after(self, columns: Columns) -> tuple[Floats, Floats, BaseRate]:
        """Mean and variance as known *before* each bucket, shapes (B,), and the base rate after all of them."""
        means, variances = np.empty(len(columns)), np.empty(len(columns))
        now = self
        rows = zip(columns.n_b.tolist(), columns.s_b.tolist(), columns.q_b.tolist(), strict=True)
        for position, (n, s, q) in enumerate(rows):
            if not now.seen:
                now = now._scaled_to(n)
            means[position], variances[position] = now.mean, now.variance
            now = BaseRate(n=DECAY * now.n + n, s=DECAY * now.s + s, q=DECAY * now.q + q, seen=True)
        return means, variances, now

    def _scaled_to(self, calls: float) -> BaseRate:
        """History weighs no more than the window does at this traffic, or it would never be outgrown."""
        share = min(1.0, WINDOW * calls / self.n) if self.n else 0.0
        return replace(self, n=share * self.n, s=share * self.s, q=share * self.q, seen=True)


def start_base_rate(history: Summary) -> BaseRate:
    """The base rate before the first bucket."""
    return BaseRate(n=history.n, s=history.s, q=history.q)
