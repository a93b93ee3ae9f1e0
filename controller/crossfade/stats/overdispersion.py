"""Overdispersion: how much more the difference jumps from bucket to bucket than independent calls explain.

phi = (20 + sum u w (D_t - D_{t-1})^2) / (20 + sum u w (V_t + V_{t-1})), at least 1, with D_t the bucket's difference of
mean losses. The nominal variance V_t = P_t (r_g / n_g + r_b / n_b) takes P_t, the pooled variance of a loss *inside*
the bucket, so that an outage both variants share is no overdispersion; and r, a variant's own variance over the pooled
one (decayed sums, half-life 100 buckets), so that a green that is much worse is none either. w scales both sums to
buckets, u = 2 / (2 + kurtosis) counts a bucket with hardly any errors for what it can tell of a variance. 20 is the
start: 20 buckets with phi = 1. A quasi-likelihood dispersion (McCullagh and Nelder 1989, 4.5).

It divides log E of the *next* buckets: E^(1/phi) has a mean of at most 1 when E has (Jensen), for any phi >= 1 known
before the bucket.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossfade.stats.base_rate import DECAY
from crossfade.stats.columns import Columns, Floats

PSEUDO_BUCKETS = 20.0
SOON_BUCKETS = 3.0
SHRINK_CALLS = 20.0
"""Green's variance starts as blue's, with the weight of so many calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Decayed sums of one variant."""

    n: float = 0.0
    s: float = 0.0
    q: float = 0.0

    def after(self, n: float, s: float, q: float) -> Sums:
        return Sums(n=DECAY * self.n + n, s=DECAY * self.s + s, q=DECAY * self.q + q)


@dataclass(frozen=True, slots=True, kw_only=True)
class Last:
    """What the next bucket is compared with."""

    difference: float
    pooled: float
    per_green: float
    per_blue: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispersion:
    """The two sums so far, and what the next pair needs."""

    seen: float = 0.0
    nominal: float = 0.0
    green: Sums = Sums()
    blue: Sums = Sums()
    last: Last | None = None

    @property
    def phi(self) -> float:
        """Seen over nominal variance, at least 1."""
        return self._ratio(PSEUDO_BUCKETS)

    @property
    def soon(self) -> float:
        """The same started with 3 pseudo-buckets: noisier, and not fooled by a burst in the first buckets."""
        return self._ratio(SOON_BUCKETS)

    def _ratio(self, start: float) -> float:
        return max(1.0, (start + self.seen) / (start + self.nominal))

    def after(self, columns: Columns) -> tuple[Floats, Floats, Dispersion]:
        """phi as known *before* each bucket, `soon` as known after it, shapes (B,); the dispersion after them all."""
        before, soon = np.empty(len(columns)), np.empty(len(columns))
        now = self
        table = (columns.n_g, columns.s_g, columns.q_g, columns.n_b, columns.s_b, columns.q_b)
        for position, row in enumerate(zip(*(column.tolist() for column in table), strict=True)):
            before[position] = now.phi
            now = now._after_one(*row)
            soon[position] = now.soon
        return before, soon, now

    def _after_one(self, n_g: float, s_g: float, q_g: float, n_b: float, s_b: float, q_b: float) -> Dispersion:
        n, s, q = n_g + n_b, s_g + s_b, q_g + q_b
        last = Last(
            difference=s_g / n_g - s_b / n_b,
            pooled=max(0.0, q / n - (s / n) ** 2) * n / max(1.0, n - 1),
            per_green=1 / n_g,
            per_blue=1 / n_b,
        )
        green, blue = self.green.after(n_g, s_g, q_g), self.blue.after(n_b, s_b, q_b)
        seen, nominal = self._pair(self.last, last, green, blue) if self.last else (0.0, 0.0)
        return Dispersion(seen=self.seen + seen, nominal=self.nominal + nominal, green=green, blue=blue, last=last)

    @staticmethod
    def _pair(a: Last, b: Last, green: Sums, blue: Sums) -> tuple[float, float]:
        """What two successive buckets add to the seen and to the nominal sum."""
        n, s, q = green.n + blue.n, green.s + blue.s, green.q + blue.q
        pooled = q / n - (s / n) ** 2
        if pooled <= 0.0 or a.pooled + b.pooled <= 0.0:
            return 0.0, 0.0
        shrink_n, shrink_s, shrink_q = (SHRINK_CALLS * each / n for each in (n, s, q))
        own_g = _variance(green.n + shrink_n, green.s + shrink_s, green.q + shrink_q) / pooled
        own_b = _variance(blue.n, blue.s, blue.q) / pooled
        width = a.per_green + a.per_blue + b.per_green + b.per_blue
        scale = 1 / (max(pooled, a.pooled, b.pooled) * width)
        nominal = a.pooled * (own_g * a.per_green + own_b * a.per_blue)
        nominal += b.pooled * (own_g * b.per_green + own_b * b.per_blue)
        kurtosis = max(0.0, 1 - 6 * pooled) / pooled * width / 2
        weight = scale * 2 / (2 + kurtosis)
        return weight * (b.difference - a.difference) ** 2, weight * nominal


def _variance(n: float, s: float, q: float) -> float:
    return max(0.0, q / n - (s / n) ** 2)
