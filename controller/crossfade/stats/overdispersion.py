"""Overdispersion: how much more the difference jumps from bucket to bucket than independent calls explain.

phi = (20 phi_0 + sum w (D_t - D_{t-1})^2) / (20 + sum w (V_t + V_{t-1})), at least 1, with D_t the bucket's difference
of mean losses and V_t its nominal variance, from the losses of the bucket itself about their common mean m:

    V_t = N / (N - 1) (sum over green (y - m)^2 / n_g^2 + sum over blue (y - m)^2 / n_b^2)

When the Models are equal and only the assignment is random, the mean of V_t is exactly the variance of D_t, whatever
the losses are: an outage both variants share is no overdispersion. A single bad call of green raises both sums, so
that what is left between them is how calls hang together in pairs: phi is learnt from few errors. A green that is much
worse raises V_t more than the variance and can only lower phi. w = 1 / (P (1 / n_g + 1 / n_b)), both buckets' added,
scales both sums to buckets; P, the pooled variance of a loss, is the largest of either bucket's and the running one
(decayed sums, half-life 100 buckets), and like m knows no variant. 20 is the start: 20 buckets with phi_0, 1 unless
the check says otherwise. A quasi-likelihood dispersion (McCullagh and Nelder 1989, 4.5).

In a bucket of pairs D_t is the mean of their differences d, V_t = sum of d^2 / n^2, and P the mean of d^2.

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dispersion:
    """`seen` and `nominal`, shape S, are the two sums so far; `sums`, S + (3,), the decayed sums of n, s and q of both
    variants; `last`, S + (4,), is what the next bucket is compared with (difference, its nominal variance, pooled
    variance of a loss, 1 / n_g + 1 / n_b), NaN before the first; `start` is phi_0.
    """

    seen: Floats
    nominal: Floats
    sums: Floats
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
        both = (columns.n_g + columns.n_b, columns.s_g + columns.s_b, columns.q_g + columns.q_b)
        counts, row = np.stack(both, axis=-1), _row(columns, *both)
        if columns.pairs is not None:
            paired = (columns.pairs[..., 0] > 0)[..., None]
            counts, row = (
                np.where(paired, _counts_of(columns.pairs), counts),
                np.where(paired, _row_of(columns.pairs), row),
            )
        sums = decayed(self.sums, counts, DECAY)
        rows = np.concatenate((self.last[None], row))
        added = _pairs(rows, sums[1:])
        seen, nominal = running(self.seen, added[0]), running(self.nominal, added[1])
        state = replace(self, seen=seen[-1], nominal=nominal[-1], sums=sums[-1], last=rows[-1])
        before = self._ratio(seen[:-1], nominal[:-1], PSEUDO_BUCKETS)
        return before, self._ratio(seen[1:], nominal[1:], SOON_BUCKETS), state

    def _ratio(self, seen: Floats, nominal: Floats, buckets: float) -> Floats:
        ratio: Floats = np.maximum(1.0, (buckets * self.start + seen) / (buckets + nominal))
        return ratio


def counted(log_e: Floats, used: Floats, soon: Floats) -> Floats:
    """What of a process counts today: evidence above 0 only as far as phi as seen now, `soon`, would have it, where
    that is above the mean phi `used` on the way. All of one shape. It lowers E only.
    """
    counts: Floats = np.where(log_e > 0, log_e * np.minimum(1.0, used / soon), log_e)
    return counts


def start_dispersion(runs: tuple[int, ...] = (), phi: float = 1.0) -> Dispersion:
    """Before the first bucket: phi is what is known of this traffic beforehand, at least 1."""
    return Dispersion(
        seen=np.zeros(runs),
        nominal=np.zeros(runs),
        sums=np.zeros((*runs, 3)),
        last=np.full((*runs, 4), np.nan),
        start=phi,
    )


def _row(columns: Columns, n: Floats, s: Floats, q: Floats) -> Floats:
    """What the next bucket is compared with, for each bucket of n calls in all: (B,) + S + (4,)."""
    difference = columns.s_g / columns.n_g - columns.s_b / columns.n_b
    mean = s / n
    green = columns.q_g - 2 * mean * columns.s_g + columns.n_g * mean**2
    blue = columns.q_b - 2 * mean * columns.s_b + columns.n_b * mean**2
    nominal = np.maximum(0.0, green / columns.n_g**2 + blue / columns.n_b**2) * n / (n - 1)
    pooled = np.maximum(0.0, q / n - mean**2) * n / (n - 1)
    return np.stack((difference, nominal, pooled, 1 / columns.n_g + 1 / columns.n_b), axis=-1)


def _counts_of(pairs: Floats) -> Floats:
    """What stands for n, s and q in a bucket of pairs, whose pooled variance is the mean of d^2."""
    return np.stack((pairs[..., 0], np.zeros_like(pairs[..., 0]), pairs[..., 3]), axis=-1)


def _row_of(pairs: Floats) -> Floats:
    """As `_row`, of a bucket of pairs: were the Models equal, only the signs of the differences d would be random, and
    sum of d^2 / n^2 is exactly the variance of their mean."""
    n, up, down, q = np.moveaxis(pairs, -1, 0)
    n = np.maximum(n, 1.0)
    return np.stack(((up - down) / n, q / (n * n), q / n, 1 / n), axis=-1)


def _pairs(rows: Floats, sums: Floats) -> tuple[Floats, Floats]:
    """What each two successive buckets add to the seen and to the nominal sum: (B,) + S each. rows: (B + 1,) +
    S + (4,); sums: (B,) + S + (3,), after the later bucket of the two."""
    gap_a, nominal_a, pooled_a, width_a = np.moveaxis(rows[:-1], -1, 0)
    gap_b, nominal_b, pooled_b, width_b = np.moveaxis(rows[1:], -1, 0)
    pooled = sums[..., 2] / sums[..., 0] - (sums[..., 1] / sums[..., 0]) ** 2
    counts = (pooled > 0) & (pooled_a + pooled_b > 0)  # NaN, before the first bucket, is not above 0
    pooled = np.where(counts, pooled, 1.0)
    weight = 1 / (np.fmax(np.fmax(pooled, pooled_a), pooled_b) * (width_a + width_b))
    seen, nominal = weight * (gap_b - gap_a) ** 2, weight * (nominal_a + nominal_b)
    return np.where(counts, seen, 0.0), np.where(counts, nominal, 0.0)
