"""Needed: how many further calls a gate should take, if green stays as it looks. For planning, never for judging.

Information per call of both variants at green's weight w, for a null difference d: min over u of (1 - w) KL(p_b, u) +
w KL(p_g, u + d) for rates, (p_g - p_b - d)^2 / 2 / (v_g / w + v_b / (1 - w)) for scores. Calls needed = (log(1 /
level) - evidence so far) / information (Wald 1945, the expected sample size of a sequential test).
"""

from __future__ import annotations

from math import ceil

import numpy as np

from crossfade.stats.balanced import binary_bets
from crossfade.stats.mixture import LEAST, MOST

MOST_CALLS = 10**12
WAVER = 0.25
"""Two standard errors of a variance learnt from 128 groups, sqrt(2 / 127)."""


def shrunk(estimate: float, standard_error: float, margin: float) -> float:
    """The estimate drawn towards zero by margin^2 / (margin^2 + se^2): early noise is not a trend."""
    return estimate * margin**2 / (margin**2 + standard_error**2)


def kl(p: float, q: float) -> float:
    """Kullback-Leibler divergence of Bernoulli(p) from Bernoulli(q), in nats; p and q in (0, 1)."""
    return float(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))


def rate_information(p_b: float, p_g: float, d: float, weight: float) -> float:
    """Nats per call of both variants, for losses of 0 and 1; `weight` as a fraction in (0, 1)."""
    a, c = (np.array([min(MOST, max(LEAST, p))]) for p in (p_b, p_g))
    gap = np.array([d])
    # The nearest point is the same for bets on either side.
    u = float(binary_bets(a, c, gap, np.array([weight]), np.array([1 - weight]), 1).u[0])
    return max(0.0, (1 - weight) * kl(float(a[0]), u) + weight * kl(float(c[0]), u + d))


def score_information(gap: float, variance: float, weight: float) -> float:
    """Nats per call, `gap` = p_g - p_b - d, one variance for both variants."""
    return gap**2 / 2 / (variance / weight + variance / (1 - weight))


def calls_needed(
    *,
    p_b: float,
    difference: float,
    variance: float,
    d: float,
    weight: float,
    log_e: float,
    level: float,
    phi: float,
    binary: bool,
    growth: float = 0.0,
) -> int | None:
    """Further calls of both variants until evidence `log_e` reaches `level` = log(1 / beta) against ">= d".

    None where the difference is not below d (the drift is against it), or one variant gets no calls, or all that the
    users can say is too little. `weight` is green's share as a fraction; phi divides the information as it divides the
    evidence. It is at least 1 + `growth` x the calls of the step, as their users return (see `growth_of`).
    """
    if not 0 < weight < 1 or difference >= d:
        return None
    if log_e >= level:
        return 0
    p_g = max(0.0, p_b + difference)
    information = (
        rate_information(p_b, p_g, d, weight) if binary else score_information(p_g - p_b - d, variance, weight)
    )
    if information <= 0:
        return MOST_CALLS
    calls = (level - log_e) * phi / information
    if growth > 0:
        if information <= level * growth:
            return None
        calls = max(calls, level / (information - level * growth) - log_e / (information - log_e * growth))
    return ceil(min(calls, MOST_CALLS))


def growth_of(together: float, calls: int) -> float:
    """By how much phi, as groups of keys show it after so many calls, grows with each further call of the same users.

    What 128 groups waver by when nothing hangs together is left out. 1 / growth is how many independent calls all
    calls of these users can be worth.
    """
    return max(0.0, together - 1 - WAVER) / calls if calls else 0.0
