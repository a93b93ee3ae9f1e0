"""Paired: e-values of shadow steps, where green answered a copy of the very call that blue answered.

With d in [-1, 1] the copy's loss less the call's, and a null difference d0, bet lambda on every pair:

    E = prod (1 + lambda (d - d0))

Its mean is at most 1 when the mean of d, given the past, is <= d0 and lambda >= 0, and when it is >= d0 and
lambda <= 0: exactly, whatever the base rate is and however much the calls differ from one another, for nothing is
random but the answers (betting: Waudby-Smith and Ramdas 2024). What is hard for both, or fails for both, is 0 in every
difference: that is why pairs need far fewer calls than two groups of them.

At d0 = 0 and losses of 0 and 1 it is a sequential sign test given how many pairs are discordant (McNemar 1947): `up`
pairs bad on green alone and `down` on blue alone give (1 + lambda)^up (1 - lambda)^down, the likelihood ratio of
P(green bad | discordant) = (1 + lambda) / 2 to 1 / 2, which has mean exactly 1 when the Models are equal and at most 1
when green is better, given the number of discordant pairs: the analogue of `stats.conditional`.

log E of losses between 0 and 1 is bounded below by the larger of the chords of log on both sides of d = 0, which need
`up` and `down` only and are exact for d in {-1, 0, 1}, and of the bound in sums and squares of `stats.balanced`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossfade.stats.balanced import LEAST_FACTOR, MOST_OF_EDGE
from crossfade.stats.base_rate import DECAY
from crossfade.stats.columns import Columns, Floats, widened

IMAGINED = 5.0
"""Pairs' worth of what calls of this base rate would differ by if the two answers had nothing to do with each other."""
LEAST = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Discordance:
    """How much pairs differ, whichever way: it aims the bets and is never evidence. `sums`: S + (3,), decayed sums of
    pairs, of |d| and of d^2."""

    sums: Floats

    def after(self, columns: Columns, a: Floats, variance: Floats) -> tuple[Floats | None, Discordance]:
        """The means of |d| and of d^2 as known *before* each bucket, (B,) + S + (2,), None where none has pairs; and it
        after them all. `a` and `variance` are the base rate's before each.
        """
        if columns.pairs is None:
            return None, self
        n, up, down, q = np.moveaxis(columns.pairs, -1, 0)
        added, decay = np.stack((n, up + down, q), axis=-1), np.where(n > 0, DECAY, 1.0)[..., None]
        sums = np.empty((len(columns) + 1, *self.sums.shape))
        sums[0] = self.sums
        for position in range(len(columns)):
            sums[position + 1] = decay[position] * sums[position] + added[position]
        means = _means(sums[:-1], np.stack((2 * a * (1 - a), 2 * variance), axis=-1))
        return means, Discordance(sums=sums[-1])

    def mean(self, a: Floats) -> Floats:
        """The mean of |d| as known now, at a base rate a. Shape S."""
        return _means(self.sums[..., :2], (2 * a * (1 - a))[..., None])[..., 0]


def _means(sums: Floats, alone: Floats) -> Floats:
    """Of the sums after the first, with `IMAGINED` pairs that differ by `alone`."""
    means: Floats = np.clip((sums[..., 1:] + IMAGINED * alone) / (sums[..., :1] + IMAGINED), LEAST, 1.0)
    return means


def start_discordance(runs: tuple[int, ...] = ()) -> Discordance:
    """Before the first bucket."""
    return Discordance(sums=np.zeros((*runs, 3)))


def is_paired(columns: Columns) -> NDArray[np.bool_]:
    """Which buckets are compared in pairs, (B,) + S."""
    return np.zeros(columns.n_g.shape, dtype=np.bool_) if columns.pairs is None else columns.pairs[..., 0] > 0


def paired_bets(means: Floats, delta: Floats, d: Floats | float, side: int, binary: bool) -> Floats:
    """lambda with the most growth against d, if green's mean loss is blue's + delta. `means`, (B,) + S + (2,), are of
    |d| and d^2; delta: (B,) + S and then one axis or more, which is returned.

    Binary: with shares `up` and `down` of pairs, the root of up A / (1 + lambda A) + down B / (1 + lambda B) +
    (1 - up - down) C / (1 + lambda C) in lambda, A = 1 - d, B = -1 - d, C = -d: a quadratic. Others: by mean and
    variance.
    Side 1 bets on differences above d, -1 on those below; a bet of the wrong sign is none.
    """
    axes = delta.ndim - (means.ndim - 1)
    differ, square = (widened(means[..., k], axes) for k in (0, 1))
    if binary:
        bet = _binary_bet(differ, delta, np.asarray(d, dtype=np.float64))
        most = 1 - LEAST_FACTOR
    else:
        gap = delta - d
        bet = gap / (square + gap * gap)
        most = MOST_OF_EDGE
    edge = most / (1 + d) if side > 0 else most / (1 - d)
    one_sided: Floats = side * np.minimum(np.maximum(0.0, side * bet), edge)
    return one_sided


def _binary_bet(differ: Floats, delta: Floats, d: Floats) -> Floats:
    up, down = differ / 2 + np.maximum(0.0, delta), differ / 2 + np.maximum(0.0, -delta)
    scale = np.maximum(1.0, up + down)
    up, down = up / scale, down / scale
    same = np.maximum(0.0, 1 - up - down)
    constant = up - down - d
    linear = d * (1 + d) * (down + same) - (1 - d * d) * (up + down) - d * (1 - d) * (up + same)
    square = d * (1 - d * d)
    root = np.sqrt(np.maximum(0.0, linear * linear - 4 * constant * square))
    bet: Floats = 2 * constant / np.maximum(root - linear, LEAST)
    return bet


def log_e_paired(columns: Columns, bets: Floats, d: Floats | float, binary: bool) -> Floats:
    """log E of each bucket, of the shape of the bets. Exact for binary losses, else from below; 0 without pairs."""
    assert columns.pairs is not None
    axes = bets.ndim - columns.n_g.ndim
    n, up, down, q = (widened(columns.pairs[..., k], axes) for k in range(4))
    above, below, same = np.log1p(bets * (1 - d)), np.log1p(-bets * (1 + d)), np.log1p(-bets * d)
    chords: Floats = up * above + down * below + np.maximum(0.0, n - up - down) * same
    if binary:
        return chords
    b = np.maximum(1e-4, np.maximum(bets * (1 + d), -bets * (1 - d)))
    c2 = (-np.log1p(-b) - b) / (b * b)
    moved = up - down
    squares: Floats = bets * (moved - n * d) - c2 * bets * bets * np.maximum(0.0, q - 2 * d * moved + n * d * d)
    return np.maximum(chords, squares)


def paired_growth(differ: float, delta: float, d: float) -> float:
    """Nats a pair against ">= d" for losses of 0 and 1, if green's mean loss is blue's + delta. For planning."""
    means, gap = np.array([differ, differ]), np.array([delta])
    bet = float(paired_bets(means, gap, d, -1, True)[0])
    up, down = differ / 2 + max(0.0, delta), differ / 2 + max(0.0, -delta)
    total = max(1.0, up + down)
    up, down = up / total, down / total
    growth = up * np.log1p(bet * (1 - d)) + down * np.log1p(-bet * (1 + d)) + (1 - up - down) * np.log1p(-bet * d)
    return max(0.0, float(growth))
