"""Interval: the differences that the evidence has not rejected, valid at every look.

Over a grid of 35 differences d in units of the margin two processes run for each: one against "<= d", with bets on
differences above, one against ">= d", with bets below. The lower end is the largest d rejected as "<= d" at alpha's
share, the upper the smallest rejected as ">= d" at beta: a confidence sequence by inversion (Howard et al. 2021;
Waudby-Smith and Ramdas 2024). They neither restart nor are capped: the interval is of the rollout as a whole.

It never contradicts the verdict: the lower end is above 0 exactly when the check has failed, and the upper not above
the gate's margin when it has passed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossfade.core.verdict import Ruling
from crossfade.stats.balanced import small_bucket
from crossfade.stats.columns import Columns, Floats, running, widened
from crossfade.stats.gate import log_e_balanced
from crossfade.stats.mixture import BOUND_WEIGHTS, bound_alternatives, log_sum
from crossfade.stats.paired import is_paired, log_e_paired, paired_bets

MULTIPLES = (0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 64.0)
WIDEST = 0.95
ABOVE_ZERO = 1e-9
"""The lower end when all that is rejected is "<= 0": the end is open there."""

BLOCK = 128
"""Buckets at a time, so that the arrays stay in the processor's cache."""


def grid(margin: float) -> Floats:
    """The differences asked about, rising: 0 and both signs of the multiples of the margin below 0.95."""
    above = np.array([m * margin for m in MULTIPLES if m * margin < WIDEST])
    return np.concatenate((-above[::-1], np.zeros(1), above))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bounds:
    """log of weight x e-value for each d of the grid and alternative, S + (G, 3).

    `over` is against "<= d", `under` against ">= d".
    """

    over: Floats
    under: Floats

    def after(
        self,
        columns: Columns,
        a: Floats,
        variance: Floats,
        phi: Floats,
        margin: float,
        binary: bool,
        discordance: Floats | None = None,
    ) -> Bounds:
        """With more buckets; a, variance, phi and what aims the bets on pairs as known before each, (B,) + S."""
        d = grid(margin)
        paired = is_paired(columns)[..., None, None]
        tempering = widened(phi * small_bucket(columns.n_g, columns.n_b), 2)
        masses = {1: self.over, -1: self.under}
        for start in range(0, len(columns), BLOCK):
            block = slice(start, start + BLOCK)
            part, here, spread = columns.part(block), a[block], widened(variance[block], 2)
            for side in (1, -1):
                c = bound_alternatives(here, d, margin, side)
                log_e = log_e_balanced(part, widened(here, 2), spread, c, d[:, None], side, binary) / tempering[block]
                if discordance is not None:
                    bets = paired_bets(discordance[block], c - widened(here, 2), d[:, None], side, binary)
                    found = log_e_paired(part, bets, d[:, None], binary) / widened(phi[block], 2)
                    log_e = np.where(paired[block], found, log_e)
                masses[side] = running(masses[side], log_e)[-1]
        return Bounds(over=masses[1], under=masses[-1])


def start_bounds(margin: float, runs: tuple[int, ...] = ()) -> Bounds:
    """Before the first bucket: E = 1 everywhere."""
    start = np.tile(np.log(BOUND_WEIGHTS), (*runs, len(grid(margin)), 1))
    return Bounds(over=start, under=start)


def interval(
    bounds: Bounds,
    margin: float,
    *,
    level_over: float,
    level_under: float,
    ruling: Ruling,
    gate_margin: float,
    trust: float = 1.0,
) -> tuple[float | None, float | None]:
    """(lower, upper), each None while nothing is rejected on its side. Levels are logs of 1 / level; evidence counts
    `trust` times, 0 to 1.

    When green has changed over time both ends can be shown for different times, the wrong way round: the range
    between them is then given, and for a failed check no upper end.
    """
    d = grid(margin)
    failed = ruling is Ruling.FAILED
    over = d[(trust * log_sum(bounds.over) >= level_over) & ((d > 0) if failed else (d <= 0))]
    under = d[trust * log_sum(bounds.under) >= level_under]
    lower = float(over.max()) if len(over) else ABOVE_ZERO if failed else None
    upper = float(under.min()) if len(under) else None
    if ruling is Ruling.PASSED:
        upper = gate_margin if upper is None else min(upper, gate_margin)
    if lower is not None and upper is not None and upper <= lower:
        return (lower, None) if failed else (upper, lower)
    return lower, upper
