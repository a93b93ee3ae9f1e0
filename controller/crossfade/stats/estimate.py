"""Estimate: the Mantel-Haenszel difference, every bucket compared with itself only.

Sum of w_t (green's mean - blue's mean) over sum of w_t, w_t = n_g n_b / (n_g + n_b) (Mantel and Haenszel 1959;
Greenland and Robins 1985). Pooling across buckets instead would show +0.5 points for two equal models while the weight
ramps and the base rate drifts.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from crossfade.core.evidence import Summary
from crossfade.stats.columns import Columns, Floats, running


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stratified:
    """`sums`: S + (4,), sums over buckets of w, of w times the difference, and of w^2 / n of green and of blue."""

    sums: Floats

    def after(self, columns: Columns) -> Stratified:
        return Stratified(sums=running(self.sums, self.added(columns))[-1])

    @staticmethod
    def added(columns: Columns) -> Floats:
        """What each bucket adds: (B,) + S + (4,)."""
        w = columns.n_g * columns.n_b / (columns.n_g + columns.n_b)
        gap = columns.s_g / columns.n_g - columns.s_b / columns.n_b
        return np.stack((w, w * gap, w * w / columns.n_g, w * w / columns.n_b), axis=-1)


def start_stratified(runs: tuple[int, ...] = ()) -> Stratified:
    """Before the first bucket."""
    return Stratified(sums=np.zeros((*runs, 4)))


def estimate(sums: tuple[float, float, float, float]) -> float | None:
    """Green's mean loss minus blue's, from one rollout's sums, or None without a bucket."""
    weight, difference, _, _ = sums
    return difference / weight if weight else None


def standard_error(sums: tuple[float, float, float, float], blue: Summary, green: Summary, phi: float) -> float | None:
    """Of the estimate, from each variant's overall variance (one imagined loss of 1/2 in each) times phi."""
    weight, _, square_g, square_b = sums
    if not weight:
        return None
    return sqrt(phi * (_variance(green) * square_g + _variance(blue) * square_b)) / weight


def _variance(sums: Summary) -> float:
    n, mean = sums.n + 1, (sums.s + 0.5) / (sums.n + 1)
    return max(0.0, (sums.q + 0.5) / n - mean * mean)
