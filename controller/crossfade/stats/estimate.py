"""Estimate: the Mantel-Haenszel difference, every bucket compared with itself only.

Sum of w_t (green's mean - blue's mean) over sum of w_t, w_t = n_g n_b / (n_g + n_b) (Mantel and Haenszel 1959;
Greenland and Robins 1985). Pooling across buckets instead would show +0.5 points for two equal models while the weight
ramps and the base rate drifts.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from crossfade.core.evidence import Summary
from crossfade.stats.columns import Columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratified:
    """Sums over buckets: `weight` of w, `difference` of w D, and of w^2 / n for each variant."""

    weight: float = 0.0
    difference: float = 0.0
    square_g: float = 0.0
    square_b: float = 0.0

    def after(self, columns: Columns) -> Stratified:
        w = columns.n_g * columns.n_b / (columns.n_g + columns.n_b)
        gap = columns.s_g / columns.n_g - columns.s_b / columns.n_b
        return Stratified(
            weight=self.weight + float(w.sum()),
            difference=self.difference + float((w * gap).sum()),
            square_g=self.square_g + float((w * w / columns.n_g).sum()),
            square_b=self.square_b + float((w * w / columns.n_b).sum()),
        )

    @property
    def estimate(self) -> float | None:
        """Green's mean loss minus blue's, or None without a bucket."""
        return self.difference / self.weight if self.weight else None

    def standard_error(self, blue: Summary, green: Summary, phi: float) -> float | None:
        """Of the estimate, from each variant's overall variance (one imagined loss of 1/2 in each) times phi."""
        if not self.weight:
            return None
        v_g, v_b = _variance(green), _variance(blue)
        return sqrt(phi * (v_g * self.square_g + v_b * self.square_b)) / self.weight


def _variance(sums: Summary) -> float:
    n, mean = sums.n + 1, (sums.s + 0.5) / (sums.n + 1)
    return max(0.0, (sums.q + 0.5) / n - mean * mean)
