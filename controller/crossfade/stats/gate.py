"""Gate: the process that promotes. Is green shown to be within the gate's margin?

Its null is green's mean loss - blue's >= d, the margin over the next step's weight; by balanced bets on alternatives
below d. It starts anew at each step: carried over, it would let pass most greens that are worse by the margin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossfade.stats.balanced import (
    binary_bets,
    bounded_bets,
    log_e_bounded,
    log_e_chord,
    small_bucket,
)
from crossfade.stats.columns import Columns, Floats
from crossfade.stats.mixture import GATE_WEIGHTS, gate_alternatives, log_sum


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gate:
    """`log_mass`: (3,), the log of weight x e-value of each alternative."""

    log_mass: Floats

    @property
    def log_e(self) -> float:
        """log E against "green is worse by the gate's margin or more"."""
        return float(log_sum(self.log_mass))

    def after(self, log_e: Floats) -> Gate:
        """With the log e-values of more buckets of the step, (B, 3)."""
        return Gate(log_mass=self.log_mass + log_e.sum(axis=0))


def start_gate() -> Gate:
    """Before the step's first bucket: E = 1."""
    return Gate(log_mass=np.log(GATE_WEIGHTS))


def log_e_gate(columns: Columns, a: Floats, variance: Floats, phi: Floats, d: float, binary: bool) -> Floats:
    """log E of each bucket and alternative against a difference >= d, divided by phi and N / (N - 1): (B, 3)."""
    c = gate_alternatives(a, d)
    tempering = (phi * small_bucket(columns.n_g, columns.n_b))[:, None]
    return log_e_balanced(columns, a[:, None], variance[:, None], c, np.full(1, d), -1, binary) / tempering


def log_e_balanced(
    columns: Columns, a: Floats, variance: Floats, c: Floats, d: Floats, side: int, binary: bool
) -> Floats:
    """log E of balanced bets; `a` and `variance` (B, 1..), c (B, ..., K). Exact for binary losses, else from below."""
    shape = (-1,) + (1,) * (c.ndim - 1)
    n_g, n_b = columns.n_g.reshape(shape), columns.n_b.reshape(shape)
    if binary:
        bets = binary_bets(a, c, d, n_g, n_b, side)
        return log_e_chord(bets, n_g, columns.s_g.reshape(shape), n_b, columns.s_b.reshape(shape))
    return log_e_bounded(bounded_bets(a, variance, c, d, n_g, n_b, side), columns)
