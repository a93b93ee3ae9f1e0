"""Alike: made-up traffic whose losses are like those recorded of a route."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossfade.core.evidence import Summary
from crossfade.simulation.traffic import Made, Rates
from crossfade.stats.columns import Floats


@dataclass(frozen=True, slots=True)
class Alike:
    """Independent calls whose losses are 0 or `size`: with the right size they have the mean and the variance of any
    losses in [0, 1]. With a size of 1 they are binary.
    """

    size: float = 1.0

    def square(self, rate: float) -> float:
        return rate * max(self.size, rate)

    def draw(
        self,
        rng: np.random.Generator,
        runs: NDArray[np.int64],  # noqa: ARG002
        weights: Floats,
        calls: int,
        rates: Sequence[Rates],
    ) -> list[Made]:
        green = rng.binomial(calls, weights)
        return [Made(*self._drawn(rng, green, p_g), *self._drawn(rng, calls - green, p_b)) for p_b, p_g in rates]

    def _drawn(self, rng: np.random.Generator, n: NDArray[np.int64], rate: float) -> tuple[Floats, Floats, Floats]:
        """Calls, losses and squared losses. A mean above the size needs larger losses."""
        size = max(self.size, rate)
        lost = rng.binomial(n, rate / size if rate > 0 else 0.0).astype(np.float64)
        return n.astype(np.float64), size * lost, size * size * lost


def loss_size(history: Summary) -> float:
    """What a loss is where it is not 0, if all are alike: the mean square over the mean, in (0, 1]."""
    return min(1.0, history.q / history.s) if history.q > 0 else 1.0
