"""Mann-Whitney: the rank test of two series of one value a minute, as Kayenta's judge takes it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from benchmarks.rules.calls import Calls, Floats
from benchmarks.rules.rule import Ends, Rule, first_minute, survived

CONFIDENCE = 0.98
TOLERANCE = 0.25
CRITICAL = float(norm.ppf(1 - (1 - CONFIDENCE) / 2))
AT_ONCE = 64
"""Runs whose pairs are laid out at a time: bounds memory."""


def decide(calls: Calls) -> Ends:
    """Rolls back when the judge calls green's error rate High; asked every minute about all minutes so far.

    Source: Kayenta, kayenta-judge, NetflixACAJudge.scala and MannWhitneyClassifier.scala with its defaults (98 %
    confidence, tolerance 0.25, direction increase, outliers kept): High when the lower end of the Mann-Whitney
    interval of the shift is above 0.25 times the Hodges-Lehmann estimate; the interval is that of R's wilcox.test
    (normal approximation, continuity and tie corrected), in MannWhitney.scala. The metric fails the canary.

    The series: for each minute of 600 calls one value per variant, bad calls over calls. How many calls a minute has
    matters: with 300 most of green's values are 0 and the rule sees next to nothing. The lower end is above b
    exactly where the statistic at shift b exceeds the normal quantile, as it falls when b rises.
    """
    minutes = calls.per_minute()
    x = minutes.s_g / np.maximum(minutes.n_g, 1)
    y = minutes.s_b / np.maximum(minutes.n_b, 1)
    high = np.zeros(x.shape, dtype=bool)
    pairs = np.zeros(len(x))
    alive = np.arange(len(x))
    for t in range(x.shape[1]):
        pairs += _above(x[:, t, None], y[:, : t + 1]) + _above(x[:, :t], y[:, t, None])
        seen = slice(0, t + 1)
        # The tolerance only raises the bar: most runs are settled without laying out all pairs.
        possible = alive[_statistic(pairs[alive], x[alive, seen], y[alive, seen]) > CRITICAL]
        for part in np.array_split(possible, max(1, len(possible) // AT_ONCE)):
            high[part, t] = _is_high(x[part, seen], y[part, seen])
        alive = alive[~high[alive, t]]
    rolled_back = first_minute(high)
    return Ends(rolled_back=rolled_back, promoted=survived(rolled_back, calls))


def _above(x: Floats, y: Floats) -> Floats:
    """Pairs in which x is above y, ties by halves; summed over the last axis."""
    count: Floats = (x > y).sum(axis=-1) + 0.5 * (x == y).sum(axis=-1)
    return count


def _is_high(x: Floats, y: Floats) -> NDArray[np.bool_]:
    """x and y: (runs, minutes)."""
    shift = np.median((x[:, :, None] - y[:, None, :]).reshape(len(x), -1), axis=1) if len(x) else np.zeros(0)
    moved = x - TOLERANCE * np.abs(shift)[:, None]
    pairs = _above(moved[:, :, None], y[:, None, :]).sum(axis=1)
    return _statistic(pairs, moved, y) > CRITICAL


def _statistic(pairs: Floats, x: Floats, y: Floats) -> Floats:
    """(U - m n / 2 - correction) / sigma with ties; -infinite where all values are tied. pairs: (runs,)."""
    m, n = x.shape[1], y.shape[1]
    ranked = np.sort(np.concatenate((x, y), axis=1), axis=1)
    variance = m * n / 12 * (m + n + 1 - _ties(ranked) / ((m + n) * (m + n - 1)))
    off = pairs - m * n / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic: Floats = np.where(variance > 0, (off - 0.5 * np.sign(off)) / np.sqrt(variance), -np.inf)
    return statistic


def _ties(ranked: Floats) -> Floats:
    """Sum of k^3 - k over groups of k equal values in each sorted row; shape (runs,)."""
    if not len(ranked):
        return np.zeros(0)
    begins = np.ones(ranked.shape, dtype=bool)
    begins[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    starts = np.flatnonzero(begins)
    size = np.diff(np.append(starts, ranked.size)).astype(float)
    total = np.bincount(starts // ranked.shape[1], weights=size**3 - size, minlength=len(ranked))
    return total.astype(float)


RULE = Rule(name="Mann-Whitney each minute", promotes="not rolled back by the end", decide=decide)
