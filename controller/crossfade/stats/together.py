"""Together: how calls of one user hang together, learnt from the groups of their keys.

Users who keep their variant and differ from one another shift green's difference in all buckets alike, which no jump
from bucket to bucket shows. The keys of each variant fall into 128 groups by a hash of their own, so that all calls of
one user are in one. With m the mean loss of a bucket's N calls, a call of green that lost y adds (n_b / N) (y - m) to
the score of its group, a call of blue (n_g / N) (y - m): all scores of green less all of blue are what the conditional
test of no difference rests on, s_g - n_g m. Of each variant

    phi = (sum over groups (U_k - e C_k)^2 / (1 - sum (C_k / C)^2) + rest) / nominal

with U_k the scores so far, C_k the sums of their weights, C that of all, and e = (sum of U_k) / C, so that a variant
that is worse as a whole is no overdispersion; `nominal` is the sum of the squares of what single calls added, `rest`
that of calls without a key, which are a group each. What is left between the two sums is products of two calls of one
group, whose mean is 0 when calls have nothing to do with each other. The larger of the two variants' phi counts, and at
least 1: green has few users at first, and blue's say what users are like. It is the variance of a sum of clusters over
that of independent calls (Liang and Zeger 1986; the design effect of Kish 1965), and grows as users return.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossfade.core.split import GROUPS
from crossfade.stats.columns import Columns, Floats, running

ALONE = 1 - 1e-9
"""One group that has all calls of its variant is compared with nothing."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """What each of B buckets adds to a `Together`, of green and of blue: `score` and `calls`, (B,) + S + (2, G), None
    where no call has a key; `nominal` and `keyed`, (B,) + S + (2,)."""

    score: Floats | None
    calls: Floats | None
    nominal: Floats
    keyed: Floats

    def __len__(self) -> int:
        return len(self.nominal)

    def part(self, chosen: slice) -> Scores:
        """The chosen buckets only."""
        return self._each(lambda each: each[chosen])

    def only(self, here: NDArray[np.bool_]) -> Scores:
        """Buckets that are not `here`, (B,) + S, add nothing."""
        counts = here.astype(np.float64)
        return self._each(lambda each: each * counts.reshape(counts.shape + (1,) * (each.ndim - counts.ndim)))

    def _each(self, change: Callable[[Floats], Floats]) -> Scores:
        return Scores(
            score=None if self.score is None else change(self.score),
            calls=None if self.calls is None else change(self.calls),
            nominal=change(self.nominal),
            keyed=change(self.keyed),
        )


def scores_of(columns: Columns) -> Scores:
    n = columns.n_g + columns.n_b
    mean = (columns.s_g + columns.s_b) / n
    weight = np.stack((columns.n_b, columns.n_g), axis=-1) / n[..., None]
    if columns.pairs is not None:  # a user's calls are in both halves of his pairs, and differ between them no more
        weight = np.where(columns.pairs[..., :1] > 0, 0.0, weight)
    sums = np.stack(
        (
            np.stack((columns.n_g, columns.s_g, columns.q_g), axis=-1),
            np.stack((columns.n_b, columns.s_b, columns.q_b), axis=-1),
        ),
        axis=-2,
    )
    nominal = weight**2 * _squares(sums, mean[..., None])
    grouped = columns.groups
    if grouped is None:
        return Scores(score=None, calls=None, nominal=nominal, keyed=np.zeros_like(nominal))
    return Scores(
        score=weight[..., None] * (grouped[..., 1] - mean[..., None, None] * grouped[..., 0]),
        calls=weight[..., None] * grouped[..., 0],
        nominal=nominal,
        keyed=weight**2 * _squares(grouped.sum(axis=-2), mean[..., None]),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Together:
    """Since it began, of green and of blue: `score` and `calls`, S + (2, G), of each group the sum of its scores and of
    their weights; `nominal` and, of calls with a key, `keyed`, S + (2,). G is 0 before the first key, then 128.
    """

    score: Floats
    calls: Floats
    nominal: Floats
    keyed: Floats

    @property
    def phi(self) -> Floats:
        """Shape S, at least 1."""
        return _phi(self.score, self.calls, self.nominal, self.keyed)

    def after(self, added: Scores) -> tuple[Floats, Floats, Together]:
        """phi as known before and after each bucket, (B,) + S each, and all of it after the last."""
        nominal, keyed = running(self.nominal, added.nominal), running(self.keyed, added.keyed)
        if added.score is None or added.calls is None:
            still = (len(nominal), *self.score.shape)
            score, calls = np.broadcast_to(self.score, still), np.broadcast_to(self.calls, still)
        else:
            begun = self.with_groups()
            score, calls = running(begun.score, added.score), running(begun.calls, added.calls)
        phi = _phi(score, calls, nominal, keyed)
        end = Together(score=score[-1], calls=calls[-1], nominal=nominal[-1], keyed=keyed[-1])
        return phi[:-1], phi[1:], end

    def anew(self, moved: NDArray[np.bool_]) -> Together:
        """Begun anew where `moved`, shape S."""
        one, two = moved[..., None], moved[..., None, None]
        return Together(
            score=np.where(two, 0.0, self.score),
            calls=np.where(two, 0.0, self.calls),
            nominal=np.where(one, 0.0, self.nominal),
            keyed=np.where(one, 0.0, self.keyed),
        )

    def with_groups(self) -> Together:
        """With room for all groups."""
        if self.score.shape[-1]:
            return self
        none = np.zeros((*self.nominal.shape, GROUPS))
        return Together(score=none, calls=none, nominal=self.nominal, keyed=self.keyed)


def start_together(runs: tuple[int, ...] = ()) -> Together:
    """Before the first bucket: phi is 1."""
    nothing, no_groups = np.zeros((*runs, 2)), np.zeros((*runs, 2, 0))
    return Together(score=no_groups, calls=no_groups, nominal=nothing, keyed=nothing)


def _squares(sums: Floats, mean: Floats) -> Floats:
    """The sum of (y - mean)^2, from sums of n, s and q along the last axis."""
    squares: Floats = np.maximum(0.0, sums[..., 2] - 2 * mean * sums[..., 1] + sums[..., 0] * mean**2)
    return squares


def _phi(score: Floats, calls: Floats, nominal: Floats, keyed: Floats) -> Floats:
    """(...,) of scores and weights (..., 2, G) and of the sums (..., 2)."""
    if not score.shape[-1]:
        return np.ones(nominal.shape[:-1])
    total = calls.sum(axis=-1)
    some = np.where(total > 0, total, 1.0)[..., None]
    excess = score.sum(axis=-1)[..., None] / some
    share = ((calls / some) ** 2).sum(axis=-1)
    centred = ((score - excess * calls) ** 2).sum(axis=-1)
    several = (total > 0) & (share < ALONE)
    seen = np.where(several, centred / np.where(several, 1 - share, 1.0), keyed)
    counts = nominal > 0
    ratio = np.where(counts, (seen + nominal - keyed) / np.where(counts, nominal, 1.0), 1.0)
    phi: Floats = np.maximum(1.0, ratio.max(axis=-1))
    return phi
