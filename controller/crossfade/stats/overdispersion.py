"""Overdispersion: how much more the difference jumps from bucket to bucket than independent calls explain.

phi = (20 phi_0 + sum u w (D_t - D_{t-1})^2) / (20 + sum u w (V_t + V_{t-1})), at least 1, with D_t the bucket's
difference of mean losses. The nominal variance V_t = P_t (r_g / n_g + r_b / n_b) takes P_t, the pooled variance of a
loss *inside* the bucket, so that an outage both variants share is no overdispersion; and r, a variant's own variance
over the pooled one (decayed sums, half-life 100 buckets), so that a green that is much worse is none either. w scales
both sums to buckets, u = 2 / (2 + kurtosis) counts a bucket with hardly any errors for what it can tell of a variance.
20 is the start: 20 buckets with phi_0, 1 unless the check says otherwise. A quasi-likelihood dispersion (McCullagh and
Nelder 1989, 4.5).

It divides log E of the *next* buckets: E^(1/phi) has a mean of at most 1 when E has (Jensen), for any phi >= 1 known
before the bucket.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crossfade.stats.base_rate import DECAY
from crossfade.stats.columns import Columns, Floats, decayed, running

PSEUDO_BUCKETS = 20.0
SOON_BUCKETS = 3.0
SHRINK_CALLS = 20.0
"""Green's variance starts as blue's, with the weight of so many calls."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dispersion:
    """`seen` and `nominal`, shape S, are the two sums so far. `green` and `blue`, S + (3,), are decayed sums of n, s
    and q; `last`, S + (4,), is what the next bucket is compared with (difference, pooled variance, 1 / n of green
    and of blue), NaN before the first; `start` is phi_0.
    """

    seen: Floats
    nominal: Floats
    green: Floats
    blue: Floats
    last: Floats
    start: float = 1.0

    @property
    def phi(self) -> Floats:
        """Seen over nominal variance, at least 1. Shape S."""
        return self._ratio(self.seen, self.nominal, PSEUDO_BUCKETS)

    def after(self, columns: Columns) -> tuple[Floats, Floats, Dispersion]:
        """phi as known *before* each bucket, `soon` as known after it, shapes (B,) + S; the dispersion after them all.

        `soon` is phi started with 3 pseudo-buckets of phi_0: noisier, and not fooled by bursts in the first buckets.
        """
        if not len(columns):
            return columns.n_g, columns.n_g, self
        green = decayed(self.green, np.stack((columns.n_g, columns.s_g, columns.q_g), axis=-1), DECAY)
        blue = decayed(self.blue, np.stack((columns.n_b, columns.s_b, columns.q_b), axis=-1), DECAY)
        rows = np.concatenate((self.last[None], _row(columns)))
        added = _pairs(rows, green[1:], blue[1:])
        seen, nominal = running(self.seen, added[0]), running(self.nominal, added[1])
        state = replace(self, seen=seen[-1], nominal=nominal[-1], green=green[-1], blue=blue[-1], last=rows[-1])
        before = self._ratio(seen[:-1], nominal[:-1], PSEUDO_BUCKETS)
        return before, self._ratio(seen[1:], nominal[1:], SOON_BUCKETS), state

    def _ratio(self, seen: Floats, nominal: Floats, buckets: float) -> Floats:
        ratio: Floats = np.maximum(1.0, (buckets * self.start + seen) / (buckets + nominal))
        return ratio


def start_dispersion(runs: tuple[int, ...] = (), phi: float = 1.0) -> Dispersion:
    """Before the first bucket: phi is what is known of this traffic beforehand, at least 1."""
    nothing = np.zeros((*runs, 3))
    return Dispersion(
        seen=np.zeros(runs),
        nominal=np.zeros(runs),
        green=nothing,
        blue=nothing,
        last=np.full((*runs, 4), np.nan),
        start=phi,
    )


def _row(columns: Columns) -> Floats:
    """What the next bucket is compared with, for each bucket: (B,) + S + (4,)."""
    n, s, q = columns.n_g + columns.n_b, columns.s_g + columns.s_b, columns.q_g + columns.q_b
    difference = columns.s_g / columns.n_g - columns.s_b / columns.n_b
    pooled = np.maximum(0.0, q / n - (s / n) ** 2) * n / np.maximum(1.0, n - 1)
    return np.stack((difference, pooled, 1 / columns.n_g, 1 / columns.n_b), axis=-1)


def _pairs(rows: Floats, green: Floats, blue: Floats) -> tuple[Floats, Floats]:
    """What each two successive buckets add to the seen and to the nominal sum: (B,) + S each. rows: (B + 1,) +
    S + (4,); green, blue: (B,) + S + (3,), after the later bucket of the two."""
    gap_a, pooled_a, per_green_a, per_blue_a = np.moveaxis(rows[:-1], -1, 0)
    gap_b, pooled_b, per_green_b, per_blue_b = np.moveaxis(rows[1:], -1, 0)
    sums = green + blue
    pooled = sums[..., 2] / sums[..., 0] - (sums[..., 1] / sums[..., 0]) ** 2
    counts = (pooled > 0) & (pooled_a + pooled_b > 0)  # NaN, before the first bucket, is not above 0
    pooled = np.where(counts, pooled, 1.0)
    own_g = _variance(green + SHRINK_CALLS * sums / sums[..., :1]) / pooled
    own_b = _variance(blue) / pooled
    width = per_green_a + per_blue_a + per_green_b + per_blue_b
    scale = 1 / (np.fmax(np.fmax(pooled, pooled_a), pooled_b) * width)
    nominal = pooled_a * (own_g * per_green_a + own_b * per_blue_a)
    nominal = nominal + pooled_b * (own_g * per_green_b + own_b * per_blue_b)
    kurtosis = np.maximum(0.0, 1 - 6 * pooled) / pooled * width / 2
    weight = scale * 2 / (2 + kurtosis)
    return np.where(counts, weight * (gap_b - gap_a) ** 2, 0.0), np.where(counts, weight * nominal, 0.0)


def _variance(sums: Floats) -> Floats:
    variance: Floats = np.maximum(0.0, sums[..., 2] / sums[..., 0] - (sums[..., 1] / sums[..., 0]) ** 2)
    return variance
