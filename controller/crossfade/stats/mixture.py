"""Mixture: which alternatives are bet on, and with what weights. Fixed beforehand: a weighted mean of e-values is one.

Alternatives are green's mean loss `c`, given blue's `a`, a null difference `d` and the check's margin.
"""

from __future__ import annotations

import numpy as np

from crossfade.stats.columns import Floats

MOST = 0.98
LEAST = 1e-6

WORSE_MARGINS = np.array([1.0, 2.0, 4.0, 8.0, 32.0])
WORSE_WEIGHTS = np.array([0.15, 0.45, 0.20, 0.10, 0.10])
GATE_WEIGHTS = np.array([0.60, 0.25, 0.15])
BOUND_MARGINS = np.array([1.0, 4.0, 16.0])
BOUND_WEIGHTS = np.array([0.40, 0.35, 0.25])


def worse_alternatives(a: Floats, margin: float) -> Floats:
    """Green worse: c = a + margin x (1, 2, 4, 8, 32), at most 0.98. a: any shape; returns that + (5,)."""
    return np.minimum(MOST, a[..., None] + margin * WORSE_MARGINS)


def gate_alternatives(a: Floats, d: Floats | float) -> Floats:
    """Green within the gate's margin d: equal, half the margin, errors halved. a: any shape; returns that + (3,)."""
    return np.minimum(MOST, np.stack([a, a + d / 2, a / 2], axis=-1))


def bound_alternatives(a: Floats, d: Floats, margin: float, side: int) -> Floats:
    """Green off d by margin x (1, 4, 16), above (side 1) or below (side -1). a: any shape, d: (G,); a's + (G, 3)."""
    c = a[..., None, None] + d[:, None] + side * margin * BOUND_MARGINS
    return np.clip(c, LEAST, MOST)


def log_sum(values: Floats) -> Floats:
    """log of the sum of exp over the last axis, safe for any finite values."""
    peak = values.max(axis=-1, keepdims=True)
    total: Floats = np.log(np.exp(values - peak).sum(axis=-1)) + peak[..., 0]
    return total
