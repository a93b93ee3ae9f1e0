"""Gate: the process that promotes. Is green shown to be within the gate's margin?

Its null is green's mean loss - blue's >= d, the margin over the next step's weight; by balanced bets on alternatives
below d. It starts anew at each step: carried over, it would let pass most greens that are worse by the margin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossfade.stats.balanced import (
    Bets,
    binary_bets,
    bounded_bets,
    log_e_bounded,
    log_e_chord,
    small_bucket,
)
from crossfade.stats.columns import Columns, Floats, running, widened
from crossfade.stats.mixture import GATE_WEIGHTS, gate_alternatives, log_sum
from crossfade.stats.overdispersion import counted
from crossfade.stats.paired import is_paired, log_e_paired, paired_bets


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gate:
    """The process after `buckets` buckets of the step. `log_mass`: S + (3,), the log of weight x e-value of each
    alternative. Of the shape S: `log_e` is what of the mixture counts today, log E against "green is worse by the
    gate's margin or more"; `tempering` the sum of 1 / phi over the buckets.
    """

    log_mass: Floats
    log_e: Floats
    buckets: Floats
    tempering: Floats

    def along(self, log_e: Floats, here: NDArray[np.bool_], phi: Floats, soon: Floats) -> AlongGate:
        """After each of more buckets, of which there is at least one: log e-values (B,) + S + (3,), 0 where the bucket
        is not `here`, at the step; phi before and soon after each, (B,) + S.
        """
        masses = running(self.log_mass, log_e)[1:]
        mixture = log_sum(masses)
        buckets = running(self.buckets, here.astype(np.float64))[1:]
        tempering = running(self.tempering, np.where(here, 1 / phi, 0.0))[1:]
        used = np.where(buckets > 0, buckets / np.where(buckets > 0, tempering, 1.0), 1.0)
        return AlongGate(
            log_mass=masses,
            log_mixture=mixture,
            used=used,
            log_e=counted(mixture, used, soon),
            buckets=buckets,
            tempering=tempering,
        )

    def anew(self, moved: NDArray[np.bool_]) -> Gate:
        """With the processes begun anew where `moved`, shape S."""
        fresh = start_gate(moved.shape)
        return Gate(
            log_mass=np.where(moved[..., None], fresh.log_mass, self.log_mass),
            log_e=np.where(moved, fresh.log_e, self.log_e),
            buckets=np.where(moved, fresh.buckets, self.buckets),
            tempering=np.where(moved, fresh.tempering, self.tempering),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AlongGate:
    """The process after each of B buckets: `log_mass` (B,) + S + (3,), the others (B,) + S and as in `Gate`.
    `log_mixture` is the whole mixture, `used` the mean phi used so far in the step, `log_e` what of the mixture
    counted then.
    """

    log_mass: Floats
    log_mixture: Floats
    used: Floats
    log_e: Floats
    buckets: Floats
    tempering: Floats

    @property
    def end(self) -> Gate:
        """The process after the last bucket."""
        return Gate(
            log_mass=self.log_mass[-1], log_e=self.log_e[-1], buckets=self.buckets[-1], tempering=self.tempering[-1]
        )


def start_gate(runs: tuple[int, ...] = ()) -> Gate:
    """Before the step's first bucket: E = 1."""
    nothing = np.zeros(runs)
    return Gate(log_mass=np.tile(np.log(GATE_WEIGHTS), (*runs, 1)), log_e=nothing, buckets=nothing, tempering=nothing)


def log_e_gate(
    columns: Columns,
    a: Floats,
    variance: Floats,
    phi: Floats,
    d: Floats | float,
    binary: bool,
    discordance: Floats | None = None,
) -> Floats:
    """log E of each bucket and alternative against a difference >= d, divided by phi and N / (N - 1); by phi alone
    where calls are paired, whose e-value needs no more.

    `a`, `variance` and `phi`: (B,) + S, as known before each bucket; d: S. Returns (B,) + S + (3,).
    """
    tempering = (phi * small_bucket(columns.n_g, columns.n_b))[..., None]
    log_e = _log_e(gate_bets(columns, a, variance, d, binary), columns, binary) / tempering
    if discordance is None:
        return log_e
    null = np.asarray(d, dtype=np.float64)[..., None]
    found = log_e_paired(columns, paired_gate_bets(a, discordance, d, binary), null, binary) / phi[..., None]
    return np.where(is_paired(columns)[..., None], found, log_e)


def paired_gate_bets(a: Floats, discordance: Floats, d: Floats | float, binary: bool) -> Floats:
    """The bets on pairs that `log_e_gate` makes: (B,) + S + (3,)."""
    null = np.asarray(d, dtype=np.float64)[..., None]
    return paired_bets(discordance, gate_alternatives(a, d) - a[..., None], null, -1, binary)


def gate_bets(columns: Columns, a: Floats, variance: Floats, d: Floats | float, binary: bool) -> Bets:
    """The bets that `log_e_gate` makes, with as many axes as it returns."""
    null = np.asarray(d, dtype=np.float64)[..., None]
    return _bets(columns, a[..., None], variance[..., None], gate_alternatives(a, d), null, -1, binary)


def log_e_balanced(
    columns: Columns, a: Floats, variance: Floats, c: Floats, d: Floats, side: int, binary: bool
) -> Floats:
    """log E of balanced bets. Exact for binary losses, else from below.

    c: (B,) + S and then one axis (alternatives) or two (a grid of d, alternatives); `a` and `variance` have as many
    axes, the last ones of length 1.
    """
    return _log_e(_bets(columns, a, variance, c, d, side, binary), columns, binary)


def _bets(columns: Columns, a: Floats, variance: Floats, c: Floats, d: Floats, side: int, binary: bool) -> Bets:
    axes = c.ndim - columns.n_g.ndim
    n_g, n_b = widened(columns.n_g, axes), widened(columns.n_b, axes)
    if binary:
        return binary_bets(a, c, d, n_g, n_b, side)
    return bounded_bets(a, variance, c, d, n_g, n_b, side)


def _log_e(bets: Bets, columns: Columns, binary: bool) -> Floats:
    if not binary:
        return log_e_bounded(bets, columns)
    axes = bets.lambda_g.ndim - columns.n_g.ndim
    n_g, n_b, s_g, s_b = (widened(k, axes) for k in (columns.n_g, columns.n_b, columns.s_g, columns.s_b))
    return log_e_chord(bets, n_g, s_g, n_b, s_b)
