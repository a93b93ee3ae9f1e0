"""Quantile: where a duration's quantile lies, from a histogram, at every look. Shown; nothing is decided by it.

Of n calls K are no longer than x. If a share q of all calls is, then for a = 100 q and b = 100 (1 - q)

    E(K, n) = B(K + a, n - K + b) / B(a, b) / (q^K (1 - q)^(n - K))

is the likelihood ratio of K under a Beta(a, b) mixture of shares against q: it starts at 1, its mean stays 1, and by
Ville's inequality it ever reaches 1 / alpha with probability at most alpha. The interval is every x whose E has not
(beta-binomial mixture: Robbins 1970; Howard, Ramdas, McAuliffe and Sekhon 2021; for quantiles: Howard and Ramdas 2022,
"Sequential estimation of quantiles with applications to A/B testing and best-arm identification", theorem 1). The
prior weighs as much as 100 calls, which makes it narrowest near 1,000 calls.

K is known at the edges of the bins alone, so the interval ends on edges: the lowest and the highest that x can have.
Any distribution is allowed, ties too. A quantile that moves with time is followed late, and then not at level alpha.
Calls that go together are tempered as everywhere: log E is divided by phi, see `stats.overdispersion`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import betaln

from crossfade.core.histogram import bin_edges
from crossfade.stats.columns import Floats

PRIOR_CALLS = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """The ends of an interval in seconds, either None while it is open on that side."""

    low: float | None = None
    high: float | None = None


def between(bins: Mapping[int, int], q: float, *, alpha: float, phi: float = 1.0) -> Between:
    """Where the duration lies that a share q of the calls does not exceed. `bins`: calls by bin of `core.histogram`.

    A low end of None is as good as 0: durations are never less.
    """
    filled = sorted(index for index, count in bins.items() if count)
    below = np.concatenate(([0.0], np.cumsum([float(bins[index]) for index in filled])))
    n = below[-1]
    rejected = log_e(below, n, q) / phi >= math.log(1 / alpha)
    too_low = np.flatnonzero(rejected & (below < q * n))
    too_high = np.flatnonzero(rejected & (below > q * n))
    # below[i] calls lie below the i-th filled bin, and also below every edge down to the bin before it
    low = bin_edges(filled[too_low[-1]])[0] if len(too_low) else 0.0
    high = bin_edges(filled[too_high[0] - 1])[1] if len(too_high) else math.inf
    return Between(low=low or None, high=None if math.isinf(high) else high)


def difference(green: Between, blue: Between) -> Between:
    """Green's quantile less blue's: holds at alpha if each of the two intervals holds at alpha / 2."""
    return Between(
        low=None if blue.high is None else (green.low or 0.0) - blue.high,
        high=None if green.high is None else green.high - (blue.low or 0.0),
    )


def log_e(below: Floats, n: Floats, q: float) -> Floats:
    """log E of the module's docstring for K = `below` of `n` calls; any shapes that broadcast."""
    a, b = PRIOR_CALLS * q, PRIOR_CALLS * (1 - q)
    mixed: Floats = betaln(below + a, n - below + b) - betaln(a, b)
    return mixed - below * math.log(q) - (n - below) * math.log1p(-q)
