"""Balanced bets: e-values for any null difference d of green's and blue's mean loss in a bucket.

Bet lambda_g on each green call and lambda_b on each blue call with n_g lambda_g + n_b lambda_b = 0:

    E = prod_i (1 + lambda_g (y_i - u - d)) x prod_j (1 + lambda_b (x_j - u))

By 1 + z <= exp(z) its mean is at most exp(n_g lambda_g (theta_g - u - d) + n_b lambda_b (theta_b - u)); as the bets
balance, u cancels and exp(n_g lambda_g (theta_g - theta_b - d)) is left: at most 1 under theta_g - theta_b <= d when
lambda_g >= 0, and under >= d when lambda_g <= 0, for every base rate, known or not. So u, the base rate and the
alternative only aim the bet; being wrong about them costs power, never validity.

Betting: Waudby-Smith and Ramdas (2024). Two samples: Turner, Ly and Gruenwald (2024). The limit: when the calls of one
bucket differ and only their assignment is random, the mean can exceed 1. With the cap of `worse` by at most 1.19 in a
bucket of 4 calls, 1.05 of 10, 1.004 of 100 (found by search over outcomes, not proved); uncapped bold bets exceed it by
more, and dividing log E by N / (N - 1) (`small_bucket`) lessens that without bounding it. So buckets are short, and
error rates are rolled back by the conditional process, which has no such limit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossfade.stats.columns import Columns, Floats, widened

LEAST_FACTOR = 0.001
MOST_OF_EDGE = 0.9
NEWTON_STEPS = 8
EDGE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bets:
    """Per bucket and alternative: u, the null difference d, and the bets; arrays that broadcast to one shape."""

    u: Floats
    d: Floats
    lambda_g: Floats
    lambda_b: Floats


def binary_bets(a: Floats, c: Floats, d: Floats, n_g: Floats, n_b: Floats, side: int) -> Bets:
    """Bets for losses of 0 and 1, with the most growth against the nearest point of the null.

    u = argmin over u of n_b KL(a, u) + n_g KL(c, u + d), by Newton kept inside a bracket; lambda_g = (c - u - d) /
    ((u + d)(1 - u - d)), lambda_b = -n_g lambda_g / n_b, shrunk together so that every factor stays >= 0.001.
    Side 1 bets on differences above d, -1 on those below. All arguments broadcast.
    """
    least, most = np.maximum(0.0, -d) + EDGE, np.minimum(1.0, 1.0 - d) - EDGE
    low = np.clip(np.minimum(a, c - d), least, most)
    high = np.clip(np.maximum(a, c - d), least, most)
    # Start at the pooled mean: it is the answer when d is 0. Weighing by precisions starts far off at 1 % green.
    u = np.clip(a + (c - a - d) * (n_g / (n_g + n_b)), low, high)
    for _ in range(NEWTON_STEPS):
        # The derivative times the variances at u and u + d: the same root and sign, and no poles.
        p = u + d
        v_u, v_p = u * (1 - u), p * (1 - p)
        value = n_b * (u - a) * v_p + n_g * (p - c) * v_u
        rise = n_b * (v_p + (u - a) * (1 - 2 * p)) + n_g * (v_u + (p - c) * (1 - 2 * u))
        low, high = np.where(value < 0, u, low), np.where(value < 0, high, u)
        step = u - value / np.where(rise > 0, rise, np.inf)
        u = np.where((step >= low) & (step <= high) & (rise > 0), step, (low + high) / 2)
    p = u + d
    lambda_g = _one_sided((c - p) / (p * (1 - p)), side)
    return _within(u, d, lambda_g, n_g / n_b, side, 1 - LEAST_FACTOR)


def bounded_bets(a: Floats, variance: Floats, c: Floats, d: Floats, n_g: Floats, n_b: Floats, side: int) -> Bets:
    """Bets for losses anywhere in [0, 1], from means and the variance of one loss.

    With e = c - a - d and precisions i = n / variance: u = a + e i_g / (i_g + i_b), lambda_g = e i_g i_b /
    (i_g + i_b) / n_g, at most 0.9 of the edge. All arguments broadcast.
    """
    share = n_g / (n_g + n_b)
    e = c - a - d
    u = np.clip(a + e * share, np.maximum(0.0, -d), np.minimum(1.0, 1.0 - d))
    lambda_g = _one_sided(e * (n_b / (n_g + n_b)) / variance, side)
    return _within(u, d, lambda_g, n_g / n_b, side, MOST_OF_EDGE)


def _one_sided(lambda_g: Floats, side: int) -> Floats:
    """A bet of the wrong sign would be evidence against the other null: no bet instead."""
    return side * np.maximum(0.0, side * lambda_g)


def _within(u: Floats, d: Floats, lambda_g: Floats, ratio: Floats, side: int, most_lost: float) -> Bets:
    """Both bets shrunk by one factor, which keeps them balanced, until no call loses more than `most_lost`."""
    p = u + d
    per_unit = np.maximum(p, ratio * (1 - u)) if side > 0 else np.maximum(1 - p, ratio * u)
    lambda_g = side * np.minimum(side * lambda_g, most_lost / np.maximum(per_unit, EDGE))
    return Bets(u=u, d=d, lambda_g=lambda_g, lambda_b=-ratio * lambda_g)


def log_e_chord(bets: Bets, n_g: Floats, s_g: Floats, n_b: Floats, s_b: Floats) -> Floats:
    """log E from the sums: exact for losses of 0 and 1, a lower bound for others (log is concave: its chord)."""
    return _chord(bets.lambda_g, bets.u + bets.d, n_g, s_g) + _chord(bets.lambda_b, bets.u, n_b, s_b)


def _chord(bet: Floats, m: Floats, n: Floats, s: Floats) -> Floats:
    total: Floats = s * np.log1p(bet * (1 - m)) + (n - s) * np.log1p(-bet * m)
    return total


def log_e_bounded(bets: Bets, columns: Columns) -> Floats:
    """A lower bound of log E for losses anywhere in [0, 1]: the larger of chord and s-and-q, for each variant.

    s-and-q: log(1 + z) >= z - c2 z^2 for z >= -b, with c2 = (-log(1 - b) - b) / b^2 and b the largest loss of the
    bet (Fan, Grama and Liu 2015; Howard et al. 2021). Bets have the shape (B,) + S and then one axis or more.
    """
    axes = np.ndim(bets.lambda_g) - columns.n_g.ndim
    total: Floats = np.zeros(1)
    for bet, m, n, s, q in (
        (bets.lambda_g, bets.u + bets.d, columns.n_g, columns.s_g, columns.q_g),
        (bets.lambda_b, bets.u, columns.n_b, columns.s_b, columns.q_b),
    ):
        n, s, q = widened(n, axes), widened(s, axes), widened(q, axes)
        total = total + np.maximum(_chord(bet, m, n, s), _s_and_q(bet, m, n, s, q))
    return total


def _s_and_q(bet: Floats, m: Floats, n: Floats, s: Floats, q: Floats) -> Floats:
    b = np.maximum(1e-4, np.maximum(bet * m, -bet * (1 - m)))
    c2 = (-np.log1p(-b) - b) / (b * b)
    total: Floats = bet * (s - n * m) - c2 * bet * bet * np.maximum(0.0, q - 2 * m * s + n * m * m)
    return total


def small_bucket(n_g: Floats, n_b: Floats) -> Floats:
    """N / (N - 1), by which log E is divided: what random assignment of calls that differ can add. Shape of both."""
    n = n_g + n_b
    return n / np.maximum(1.0, n - 1)
