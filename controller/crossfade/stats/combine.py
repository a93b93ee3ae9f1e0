"""Combine: several checks, one alpha.

The mean of the checks' e-values, weighted by their shares of alpha, is an e-value under any dependence between them
(Vovk and Wang 2021): it rolls back at 1 / alpha. A check whose own e-value reaches 1 / (share x alpha) lifts the mean
over 1 / alpha by itself. Shares add up to 1, or to less after an amendment (`core.amendment`). Promotion needs no
correction: every gate must pass (intersection-union, Berger 1982).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np

from crossfade.stats.mixture import log_sum


def log_mean_e(log_e: Sequence[float], shares: Sequence[float]) -> float:
    """log of the sum of share x E; 0 without checks."""
    return float(log_sum(np.array(log_e) + np.log(np.array(shares)))) if log_e else 0.0


def failing(
    log_e: Sequence[float], shares: Sequence[float], confirmed: Sequence[bool], alpha: float
) -> tuple[bool, ...]:
    """Which checks failed: those over log(1 / (share x alpha)) by themselves; or, when only the mean is over
    log(1 / alpha), the largest contributor. A check counts only when `confirmed`: two buckets raised its evidence.
    """
    own = [c and e >= log(1 / (share * alpha)) for e, share, c in zip(log_e, shares, confirmed, strict=True)]
    if any(own) or log_mean_e(log_e, shares) < log(1 / alpha):
        return tuple(own)
    largest = max(range(len(log_e)), key=lambda k: log_e[k] + log(shares[k]))
    return tuple(k == largest and confirmed[k] for k in range(len(log_e)))
