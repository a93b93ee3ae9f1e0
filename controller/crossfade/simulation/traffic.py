"""Traffic: made-up calls, bucket by bucket, of many rollouts side by side.

A kind of traffic says how calls hang together; each draws R rollouts' buckets at once from one random generator.
Losses are 0 or 1 unless the kind says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from crossfade.core.split import GROUPS
from crossfade.stats.columns import Floats

Rates = tuple[float, float]
"""Blue's and green's true mean loss in one bucket."""

EDGE = 1e-9
"""How near to 0 and 1 the mean of a Beta distribution may lie."""


class Made(NamedTuple):
    """One bucket of one check, arrays of shape (R,): calls, losses and squared losses, of green and of blue; and of
    calls with a key by its group, (R, 2, 128, 3) as `stats.columns.Columns` has them, None where no call has one."""

    n_g: Floats
    s_g: Floats
    q_g: Floats
    n_b: Floats
    s_b: Floats
    q_b: Floats
    groups: Floats | None = None

    def part(self, runs: NDArray[np.int64]) -> Made:
        """Of these rollouts only."""
        sums = (column[runs] for column in self[:6])
        return Made(*sums)._replace(groups=None if self.groups is None else self.groups[runs])


class Traffic(Protocol):
    """`draw` makes one bucket of `calls` calls for each rollout in `runs` (their numbers) at green's weights, shape
    (R,) in 0..1: for each check its sums, given the true rates. Every check sees the same split. `square` is the mean
    of a squared loss where the mean loss is `rate`.
    """

    def square(self, rate: float) -> float: ...

    def draw(
        self, rng: np.random.Generator, runs: NDArray[np.int64], weights: Floats, calls: int, rates: Sequence[Rates]
    ) -> list[Made]: ...


@dataclass(frozen=True, slots=True)
class Independent:
    """Calls that have nothing to do with each other. In bursts of `size`, calls share variant and fate: `size` is
    then the overdispersion, as a user's retries make it. `keyed`: each burst is of a user who never comes again.
    """

    size: int = 1
    keyed: bool = False

    def square(self, rate: float) -> float:
        return rate

    def draw(
        self,
        rng: np.random.Generator,
        runs: NDArray[np.int64],  # noqa: ARG002
        weights: Floats,
        calls: int,
        rates: Sequence[Rates],
    ) -> list[Made]:
        bursts = calls // self.size
        green = rng.binomial(bursts, weights)
        blue = bursts - green
        made = []
        for p_b, p_g in rates:
            bad_g, bad_b = rng.binomial(green, p_g), rng.binomial(blue, p_b)
            made.append(
                binary(
                    n_g=self.size * green,
                    s_g=self.size * bad_g,
                    n_b=self.size * blue,
                    s_b=self.size * bad_b,
                    groups=self.size * _spread(rng, (green, bad_g), (blue, bad_b)) if self.keyed else None,
                )
            )
        return made


@dataclass(frozen=True, slots=True)
class Graded:
    """Independent calls with losses anywhere in [0, 1]: Beta distributed about the mean, `concentration` = a + b."""

    concentration: float = 4.0

    def square(self, rate: float) -> float:
        return rate * (self.concentration * rate + 1) / (self.concentration + 1)

    def draw(
        self,
        rng: np.random.Generator,
        runs: NDArray[np.int64],  # noqa: ARG002
        weights: Floats,
        calls: int,
        rates: Sequence[Rates],
    ) -> list[Made]:
        green = rng.random((len(weights), calls)) < weights[:, None]
        made = []
        for p_b, p_g in rates:
            p = np.clip(np.where(green, p_g, p_b), EDGE, 1 - EDGE)
            losses = rng.beta(self.concentration * p, self.concentration * (1 - p))
            of_g, of_b = np.where(green, losses, 0.0), np.where(green, 0.0, losses)
            made.append(
                Made(
                    n_g=green.sum(axis=1).astype(np.float64),
                    s_g=of_g.sum(axis=1),
                    q_g=(of_g**2).sum(axis=1),
                    n_b=(~green).sum(axis=1).astype(np.float64),
                    s_b=of_b.sum(axis=1),
                    q_b=(of_b**2).sum(axis=1),
                )
            )
        return made


class Sticky:
    """`users` who keep their variant, call with unlike frequencies, and fail each at a rate of their own.

    A user's rate is Beta distributed about the variant's with `concentration` = a + b; how often one calls is
    log-normal. Which users green gets is drawn once a rollout: the smaller a user's number, the sooner green has it.
    """

    def __init__(
        self, rng: np.random.Generator, runs: int, *, users: int, concentration: float = 2.0, spread: float = 1.0
    ) -> None:
        self._position = rng.random((runs, users))
        often = rng.lognormal(0.0, spread, (runs, users))
        self._often = often / often.sum(axis=1, keepdims=True)
        self._luck = rng.random((runs, users))
        self._group = rng.integers(GROUPS, size=(runs, users))
        self._concentration = concentration

    def square(self, rate: float) -> float:
        return rate

    def draw(
        self, rng: np.random.Generator, runs: NDArray[np.int64], weights: Floats, calls: int, rates: Sequence[Rates]
    ) -> list[Made]:
        from scipy.special import betaincinv

        made_calls = rng.poisson(calls * self._often[runs])
        green = self._position[runs] < weights[:, None]
        # Of each user the place in the table of groups: rollout, variant, group.
        place = (np.arange(len(runs))[:, None] * 2 + ~green) * GROUPS + self._group[runs]
        made = []
        for p_b, p_g in rates:
            p = np.clip(np.where(green, p_g, p_b), EDGE, 1 - EDGE)
            own = betaincinv(self._concentration * p, self._concentration * (1 - p), self._luck[runs])
            bad = rng.binomial(made_calls, np.clip(own, 0.0, 1.0))
            made.append(
                binary(
                    n_g=np.where(green, made_calls, 0).sum(axis=1),
                    s_g=np.where(green, bad, 0).sum(axis=1),
                    n_b=np.where(green, 0, made_calls).sum(axis=1),
                    s_b=np.where(green, 0, bad).sum(axis=1),
                    groups=np.stack([_by_place(place, counts) for counts in (made_calls, bad, bad)], axis=-1),
                )
            )
        return made


@dataclass(frozen=True, slots=True)
class Late:
    """Independent calls whose labels come late, and sooner when they are bad: by the time a bucket is sealed only
    `good` of its good calls and `bad` of its bad calls have a label, of either variant.
    """

    good: float = 0.6
    bad: float = 0.9

    def square(self, rate: float) -> float:
        return rate

    def draw(
        self, rng: np.random.Generator, runs: NDArray[np.int64], weights: Floats, calls: int, rates: Sequence[Rates]
    ) -> list[Made]:
        made = []
        for each in Independent().draw(rng, runs, weights, calls, rates):
            s_g, s_b = (rng.binomial(k.astype(np.int64), self.bad) for k in (each.s_g, each.s_b))
            good_g = rng.binomial((each.n_g - each.s_g).astype(np.int64), self.good)
            good_b = rng.binomial((each.n_b - each.s_b).astype(np.int64), self.good)
            made.append(binary(n_g=s_g + good_g, s_g=s_g, n_b=s_b + good_b, s_b=s_b))
        return made


def binary(
    *,
    n_g: NDArray[np.int64],
    s_g: NDArray[np.int64],
    n_b: NDArray[np.int64],
    s_b: NDArray[np.int64],
    groups: Floats | None = None,
) -> Made:
    """Sums of losses of 0 and 1: the squares are the losses."""
    bad_g, bad_b = s_g.astype(np.float64), s_b.astype(np.float64)
    calls_g, calls_b = n_g.astype(np.float64), n_b.astype(np.float64)
    return Made(n_g=calls_g, s_g=bad_g, q_g=bad_g, n_b=calls_b, s_b=bad_b, q_b=bad_b, groups=groups)


def _spread(rng: np.random.Generator, *variants: tuple[NDArray[np.int64], NDArray[np.int64]]) -> Floats:
    """So many and so many bad of each variant, (R,) each, over the groups by chance: (R, 2, 128, 3)."""
    alike = np.full(GROUPS, 1 / GROUPS)
    tables = []
    for n, s in variants:
        bad = rng.multinomial(s, alike)
        tables.append(np.stack((bad + rng.multinomial(n - s, alike), bad, bad), axis=-1))
    return np.stack(tables, axis=1).astype(np.float64)


def _by_place(place: NDArray[np.int64], counts: NDArray[np.int64]) -> Floats:
    """The users' counts summed in the table of groups: (R, 2, 128)."""
    shape = (len(place), 2, GROUPS)
    summed = np.bincount(place.ravel(), weights=counts.ravel(), minlength=shape[0] * 2 * GROUPS)
    return summed.astype(np.float64).reshape(shape)
