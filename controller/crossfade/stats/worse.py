"""Worse: the process that rolls back. Is green worse than blue at all?

Its null is green's mean loss - blue's <= 0. A product over buckets of e-values is a test martingale, and by Ville's
inequality (1939) it reaches 1 / alpha with a probability of at most alpha, at any number of looks. This one is a
mixture over alternatives and over starts: three quarters of the weight begin at the first bucket, a quarter is spread
over processes that begin at each later one, so that a green that goes bad after a good week is caught soon. The
share of the later starts not begun after k buckets is g(k) = 1 / (1 + log(1 + k / 100)): heavy-tailed, with
g(0) = 1, so that what begins sums to at most that quarter.

One bucket adds at most 1.5 to a log e-value, and a breach needs two buckets that raised it; the capped log e-value is
divided by the overdispersion phi known before the bucket. In the first buckets of correlated calls phi has still to be
learnt, so evidence in favour of a roll-back counts only as far as today's phi would have it: log E is multiplied by
(mean phi used) / (phi as seen now) where that is below 1. All of this lowers E only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crossfade.stats.balanced import bounded_bets, log_e_bounded, small_bucket
from crossfade.stats.columns import Columns, Floats, running
from crossfade.stats.conditional import log_e_conditional, log_odds_ratio
from crossfade.stats.mixture import WORSE_WEIGHTS, log_sum, worse_alternatives
from crossfade.stats.overdispersion import counted
from crossfade.stats.paired import is_paired, log_e_paired, paired_bets

CAP = 1.5
RESTARTS = 0.25
RESTART_SCALE = 100.0
LEAST_RISES = 2
BLOCKS = 0.1
"""The share of `stats.block` in the check's e-value, once there are keys."""


def not_begun(k: Floats) -> Floats:
    """g(k): the share of the later starts that have not begun after k of them."""
    share: Floats = 1 / (1 + np.log1p(k / RESTART_SCALE))
    return share


def tempered(log_e: Floats, phi: Floats, together: Floats) -> Floats:
    """log e-values of buckets, (B,) + S + (5,), capped and divided by phi. `together`, (B,) + S as phi, is what of phi
    groups of keys show: it comes before the cap. Users who return may make it large, and then it takes many buckets to
    say what one would have said of independent calls.
    """
    capped: Floats = np.minimum(log_e / together[..., None], CAP) / (phi / together)[..., None]
    return capped


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Worse:
    """The process after `buckets` buckets. `log_mass`: S + (5,), the log of weight x e-value of each alternative.

    Of the shape S: `log_mixture` is the whole mixture and `log_e` what of it counts today, `rises` how many buckets
    raised it, `peak` the highest value of `log_e` since two did, `tempering` the sum of 1 / phi over buckets.
    """

    log_mass: Floats
    buckets: Floats
    log_mixture: Floats
    log_e: Floats
    rises: Floats
    peak: Floats
    tempering: Floats

    def after(self, log_e: Floats, phi: Floats, soon: Floats) -> Worse:
        """With the log e-values of more buckets without keys, (B,) + S + (5,), before cap and phi, and phi before and
        soon after each, (B,) + S."""
        return self.ended(self.along(tempered(log_e, phi, np.ones_like(phi)), phi, soon)) if len(log_e) else self

    def along(self, log_e: Floats, phi: Floats, soon: Floats) -> Along:
        """After each of more buckets, of which there is at least one: tempered log e-values, (B,) + S + (5,), and phi
        before and soon after each, (B,) + S.
        """
        begun = running(self.buckets, np.ones_like(phi))
        path, masses, waiting = self._path(log_e, begun)
        before = np.concatenate((self.log_mixture[None], path[:-1]))
        tempering = running(self.tempering, 1 / phi)[1:]
        used = begun[1:] / tempering
        counts = counted(path, used, soon)
        rises = running(self.rises, path > before + 1e-12)[1:]
        return Along(
            tempered=log_e,
            log_mass=masses,
            log_waiting=waiting,
            log_before=before,
            log_mixture=path,
            used=used,
            log_e=counts,
            rises=rises,
            peak=_peaks(self.peak, counts, rises),
            tempering=tempering,
        )

    def ended(self, along: Along) -> Worse:
        """The process after the last bucket of `along`, which began with this one."""
        return Worse(
            log_mass=along.log_mass[-1],
            buckets=self.buckets + len(along.log_e),
            log_mixture=along.log_mixture[-1],
            log_e=along.log_e[-1],
            rises=along.rises[-1],
            peak=along.peak[-1],
            tempering=along.tempering[-1],
        )

    def _path(self, log_e: Floats, begun: Floats) -> tuple[Floats, Floats, Floats]:
        """After each bucket: the mixture, (B,) + S, the masses, and the log of what has not begun. begun: (B + 1,) + S.

        M_t = (M_{t-1} + w omega_t) e_t, with omega_t what begins at bucket t: solved as e^{L_t} times a running sum.
        """
        begun = begun[:-1]
        left = np.where(begun > 0, not_begun(begun), 1.0)
        begins = np.where(begun > 0, not_begun(np.maximum(0.0, begun - 1)) - left, 0.0)
        with np.errstate(divide="ignore"):
            log_begins = np.log(RESTARTS * begins)[..., None] + np.log(WORSE_WEIGHTS)
        sums = np.cumsum(log_e, axis=0)
        before = np.concatenate((np.zeros_like(sums[:1]), sums[:-1]))
        begins_and_before = np.concatenate((self.log_mass[None], log_begins - before))
        masses = np.logaddexp.accumulate(begins_and_before, axis=0)[1:] + sums
        waiting = np.log(RESTARTS * left)
        return log_sum(np.concatenate((masses, waiting[..., None]), axis=-1)), masses, waiting


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Along:
    """The process after each of B buckets: `tempered` (log e-values capped and divided by phi) and `log_mass` are
    (B,) + S + (5,), the others (B,) + S and as in `Worse`; `log_waiting` is the log of the weight of the starts to
    come, `log_before` the mixture before the bucket, `used` the mean phi used so far, `log_e` what counted then.
    """

    tempered: Floats
    log_mass: Floats
    log_waiting: Floats
    log_before: Floats
    log_mixture: Floats
    used: Floats
    log_e: Floats
    rises: Floats
    peak: Floats
    tempering: Floats

    def beside(self, late: Floats, peak: Floats) -> Along:
        """With what the blocks count after each bucket, (B,) + S, -inf where there are none; `peak` is that of before,
        shape S.
        """
        both = np.logaddexp(np.log(1 - BLOCKS) + self.log_e, np.log(BLOCKS) + late)
        counts = np.where(late > -np.inf, both, self.log_e)
        return replace(self, log_e=counts, peak=_peaks(peak, counts, self.rises))


def _peaks(before: Floats, log_e: Floats, rises: Floats) -> Floats:
    """The highest of `log_e`, (B,) + S, after each bucket, of those after the second that raised it."""
    confirmed = np.where(rises >= LEAST_RISES, log_e, 0.0)
    peaks: Floats = np.maximum.accumulate(np.concatenate((before[None], confirmed)))[1:]
    return peaks


def start_worse(runs: tuple[int, ...] = ()) -> Worse:
    """Before the first bucket: E = 1."""
    nothing = np.zeros(runs)
    return Worse(
        log_mass=np.tile(np.log((1 - RESTARTS) * WORSE_WEIGHTS), (*runs, 1)),
        buckets=nothing,
        log_mixture=nothing,
        log_e=nothing,
        rises=nothing,
        peak=nothing,
        tempering=nothing,
    )


def log_e_worse(
    columns: Columns, a: Floats, variance: Floats, margin: float, binary: bool, discordance: Floats | None = None
) -> Floats:
    """log E of each bucket and alternative against "green is no worse": (B,) + S + (5,).

    Binary losses by the conditional process; a bucket among them with other losses says nothing. Others by balanced
    bets at d = 0, divided by N / (N - 1). Buckets of pairs by bets on their differences, aimed by `discordance`
    (B,) + S + (2,).
    """
    log_e = _log_e_apart(columns, a, variance, margin, binary)
    if discordance is None:
        return log_e
    delta = worse_alternatives(a, margin) - a[..., None]
    found = log_e_paired(columns, paired_bets(discordance, delta, 0.0, 1, binary), 0.0, binary)
    if binary:
        found = np.where(columns.is_binary[..., None], found, 0.0)
    return np.where(is_paired(columns)[..., None], found, log_e)


def _log_e_apart(columns: Columns, a: Floats, variance: Floats, margin: float, binary: bool) -> Floats:
    c = worse_alternatives(a, margin)
    if binary:
        log_e = log_e_conditional(columns, log_odds_ratio(a, c))
        return np.where(columns.is_binary[..., None], log_e, 0.0)
    n_g, n_b = columns.n_g[..., None], columns.n_b[..., None]
    bets = bounded_bets(a[..., None], variance[..., None], c, np.zeros(1), n_g, n_b, 1)
    return log_e_bounded(bets, columns) / small_bucket(n_g, n_b)
