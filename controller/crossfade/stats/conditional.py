"""Conditional: the roll-back e-value of binary losses, given how many calls of the bucket went bad in all.

With m bad calls among N = n_g + n_b and green's calls chosen at random, green's bad calls X are hypergeometric(N, m,
n_g) when the Models are equal: whatever the base rate is, however it moves inside the bucket and however much the
calls differ. For an odds ratio psi > 1,

    E = psi^x / E0[psi^X],    E0 over the hypergeometric,

has mean exactly 1 when they are equal. When green is better X is stochastically smaller, and psi^x rises in x, so the
mean is at most 1. It is the likelihood ratio of Fisher's noncentral hypergeometric to the central one; over buckets a
sequential Cochran-Mantel-Haenszel test (Cochran 1954; Mantel and Haenszel 1959; e-values: Turner, Ly and Gruenwald
2024, here conditional). Nothing is estimated that it depends on, and nothing is clipped.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from crossfade.stats.columns import Columns, Floats

MOST_TERMS = 200_000
"""Support points summed at a time: bounds memory, not exactness."""


def log_odds_ratio(a: Floats, c: Floats) -> Floats:
    """log psi = logit(c) - logit(a). a: any shape, c: that + (K,), which is returned."""
    logit_a = np.log(a) - np.log1p(-a)
    log_psi: Floats = np.log(c) - np.log1p(-c) - logit_a[..., None]
    return log_psi


def log_e_conditional(columns: Columns, log_psi: Floats) -> Floats:
    """log E of each bucket and alternative, exact by enumeration. log_psi: (B,) + S + (K,), which is returned.

    Exactly 0 where the total decides: no bad calls, only bad calls, or a variant without calls.
    """
    shape = log_psi.shape
    log_psi = log_psi.reshape(-1, shape[-1])
    n_g, n_b, x, s_b = (np.rint(k).ravel() for k in (columns.n_g, columns.n_b, columns.s_g, columns.s_b))
    m = x + s_b
    low, high = np.maximum(0.0, m - n_b), np.minimum(m, n_g)
    out = np.zeros_like(log_psi)
    open_ = np.flatnonzero(high > low)
    for rows in _batches(open_, (high - low + 1)[open_]):
        out[rows] = _enumerate(n_g[rows], n_b[rows], x[rows], m[rows], low[rows], high[rows], log_psi[rows])
    return out.reshape(shape)


def _batches(rows: NDArray[np.intp], sizes: Floats) -> list[NDArray[np.intp]]:
    if not len(rows):
        return []
    batch = (np.cumsum(sizes) // MOST_TERMS).astype(np.intp)
    return np.split(rows, np.flatnonzero(np.diff(batch)) + 1)


def _enumerate(n_g: Floats, n_b: Floats, x: Floats, m: Floats, low: Floats, high: Floats, log_psi: Floats) -> Floats:
    """log sum_j h(j) - log sum_j h(j) psi^(j - x), over the support j = low..high of each row."""
    sizes = (high - low + 1).astype(np.intp)
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    row = np.repeat(np.arange(len(sizes)), sizes)
    j = np.arange(sizes.sum()) - starts[row] + low[row]
    # The factorials of n_g, n_b, m and N are the same for every j: they cancel.
    log_h = -(gammaln(j + 1) + gammaln(m[row] - j + 1) + gammaln(n_g[row] - j + 1) + gammaln(n_b[row] - m[row] + j + 1))
    tilted = log_h + (j - x[row]) * log_psi.T[:, row]
    return (_log_sum_rows(log_h[None, :], starts, row) - _log_sum_rows(tilted, starts, row)).T


def _log_sum_rows(values: Floats, starts: NDArray[np.intp], row: NDArray[np.intp]) -> Floats:
    peak = np.maximum.reduceat(values, starts, axis=1)
    total: Floats = np.log(np.add.reduceat(np.exp(values - peak[:, row]), starts, axis=1)) + peak
    return total
