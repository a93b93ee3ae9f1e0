"""Resplit: recorded calls of one Model, split anew into two variants that are therefore equal, many times side by side.

A call without a key goes to green by chance, as in production, with what it lost. Calls with a key go by the group of
their key, which keeps one variant through the whole replay and is green the sooner the lower its position: so what one
user's calls have in common stays together, and raising the weight only ever adds users to green. Positions are spread
evenly over the groups, as those of many users are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crossfade.core.split import GROUPS
from crossfade.simulation.recording import Recording, Tape
from crossfade.simulation.traffic import Made
from crossfade.stats.columns import Floats


class Resplit:
    """`runs` replays of `window` buckets each. They begin at different times of a longer recording."""

    def __init__(
        self, recording: Recording, metrics: Sequence[str], *, rng: np.random.Generator, runs: int, window: int
    ) -> None:
        self._tapes = [recording.tapes[metric] for metric in metrics]
        self._rng = rng
        self._begin = rng.integers(recording.buckets - window + 1, size=runs)
        self._position = _positions(rng, runs, recording.families)
        self._groups = recording.groups

    def draw(self, position: int, runs: NDArray[np.int64], weights: Floats) -> list[Made]:
        """The bucket at this position of each of the replays, at green's weights, (R,) in 0..1: each metric's sums."""
        at = self._begin[runs] + position
        green = (self._position[runs] < weights[:, None]).astype(np.float64)
        return [self._split(tape, at, green, weights) for tape in self._tapes]

    def _split(self, tape: Tape, at: NDArray[np.int64], green: Floats, weights: Floats) -> Made:
        count = tape.count[at]
        of_g = self._rng.binomial(count, weights[:, None])
        of_b = count - of_g
        (n_g, n_b), (s_g, s_b) = _by_key(tape.n, at, green), _by_key(tape.s, at, green)
        q_g, q_b = (s_g, s_b) if tape.q is tape.s else _by_key(tape.q, at, green)
        loss, square = tape.loss, tape.loss**2
        return Made(
            n_g=of_g.sum(axis=1) + n_g,
            s_g=of_g @ loss + s_g,
            q_g=of_g @ square + q_g,
            n_b=of_b.sum(axis=1) + n_b,
            s_b=of_b @ loss + s_b,
            q_b=of_b @ square + q_b,
            groups=self._grouped(tape, at, green) if tape.by_key and len(self._groups) else None,
        )

    def _grouped(self, tape: Tape, at: NDArray[np.int64], green: Floats) -> Floats:
        """(R, 2, 128, 3), of green and of blue. Groups of several families share their places."""
        sums = np.stack([each[at] for each in (tape.n, tape.s, tape.q)], axis=-1)
        table = np.zeros((len(at), 2, GROUPS, 3))
        for side, share in enumerate((green, 1 - green)):
            for column, group in enumerate(self._groups.tolist()):
                table[:, side, group] += sums[:, column] * share[:, column, None]
        return table


def _by_key(sums: Floats, at: NDArray[np.int64], green: Floats) -> tuple[Floats, Floats]:
    """Green's part and blue's, (R,) each. `green`, (R, G), is 1 where a group is green's and else 0."""
    here = sums[at]
    return np.einsum("rg,rg->r", here, green), np.einsum("rg,rg->r", here, 1 - green)


def _positions(rng: np.random.Generator, runs: int, families: NDArray[np.int64]) -> Floats:
    """Where each group lies in [0, 1) in each run, (R, G): in each family spread evenly, in a random order."""
    position = rng.random((runs, len(families)))
    for family in np.unique(families):
        members = np.flatnonzero(families == family)
        order = position[:, members].argsort(axis=1).argsort(axis=1)
        position[:, members] = (order + rng.random((runs, 1))) / len(members)
    return position
