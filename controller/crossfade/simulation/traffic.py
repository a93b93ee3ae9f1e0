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

from crossfade.stats.columns import Floats

Rates = tuple[float, float]
"""Blue's and green's true mean loss in one bucket."""

EDGE = 1e-9
"""How near to 0 and 1 the mean of a Beta distribution may lie."""


class Made(NamedTuple):
    """One bucket of one check, arrays of shape (R,): calls, losses and squared losses, of green and of blue."""

    n_g: Floats
    s_g: Floats
    q_g: Floats
    n_b: Floats
    s_b: Floats
    q_b: Floats


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
    """Calls that have nothing to do with each other. In groups of `size`, calls share variant and fate: `size` is
    then the overdispersion, as bursts and a user's retries make it.
    """

    size: int = 1

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
        groups = calls // self.size
        green = rng.binomial(groups, weights)
        blue = groups - green
        return [
            binary(
                n_g=self.size * green,
                s_g=self.size * rng.binomial(green, p_g),
                n_b=self.size * blue,
                s_b=self.size * rng.binomial(blue, p_b),
            )
            for p_b, p_g in rates
        ]


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
        self._concentration = concentration

    def square(self, rate: float) -> float:
        return rate

    def draw(
        self, rng: np.random.Generator, runs: NDArray[np.int64], weights: Floats, calls: int, rates: Sequence[Rates]
    ) -> list[Made]:
        from scipy.special import betaincinv

        made_calls = rng.poisson(calls * self._often[runs])
        green = self._position[runs] < weights[:, None]
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


def binary(*, n_g: NDArray[np.int64], s_g: NDArray[np.int64], n_b: NDArray[np.int64], s_b: NDArray[np.int64]) -> Made:
    """Sums of losses of 0 and 1: the squares are the losses."""
    bad_g, bad_b = s_g.astype(np.float64), s_b.astype(np.float64)
    return Made(n_g=n_g.astype(np.float64), s_g=bad_g, q_g=bad_g, n_b=n_b.astype(np.float64), s_b=bad_b, q_b=bad_b)
