"""Coverage: how often the interval of a check leaves the truth out, at any of its looks."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np

from crossfade.core.evidence import Summary
from crossfade.simulation.traffic import Independent, Made, Rates
from crossfade.stats.columns import Columns, Floats
from crossfade.stats.interval import grid
from crossfade.stats.mixture import log_sum
from crossfade.stats.state import start_state

MARGIN = 0.005
LEVEL = 0.05
BUCKET = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """Of `runs`, those whose lower end was above the truth at some look, and whose upper end was below it."""

    runs: int
    by_lower: int
    by_upper: int


def missed(*, blue: float, green: float, weight: float, runs: int, calls: int, seed: int = 1) -> Missed:
    """A look at every bucket of 100 calls. Rates and weight are fractions; a difference on the grid is the hardest.

    The interval gives way to the verdict, so that two processes, each at its own level, can put an end beyond the
    truth: at a difference of 0 the lower one, at a difference of the margin the upper one.
    """
    rng = np.random.default_rng(seed)
    state = start_state(
        margin=MARGIN,
        gate_margin=MARGIN,
        step=0,
        history=Summary(10_000, 10_000 * blue, 10_000 * blue),
        runs=(runs,),
    )
    d, truth = grid(MARGIN), green - blue
    above, below = d >= truth - 1e-9, d <= truth + 1e-9
    lower, upper = np.zeros((2, runs), dtype=bool)
    step = np.zeros((1, runs), dtype=np.int64)
    for _ in range(calls // BUCKET):
        made = _drawn(rng, runs, weight, (blue, green))
        state = state.after(Columns(step=step, **{name: sums[None] for name, sums in made.items()}))
        assert state.bounds is not None
        lower |= (log_sum(state.bounds.over)[:, above] >= log(1 / LEVEL)).any(axis=1)
        lower |= (truth <= 0) & (state.worse.peak >= log(1 / LEVEL))
        upper |= (log_sum(state.bounds.under)[:, below] >= log(1 / LEVEL)).any(axis=1)
        upper |= (truth >= MARGIN - 1e-9) & (state.gate.log_e >= log(1 / LEVEL))
    return Missed(runs=runs, by_lower=int(lower.sum()), by_upper=int(upper.sum()))


def _drawn(rng: np.random.Generator, runs: int, weight: float, rates: Rates) -> dict[str, Floats]:
    """One bucket of each run in which both variants have calls; drawn again where one had none."""
    left, sums = np.arange(runs), {name: np.zeros(runs) for name in Made._fields if name != "groups"}
    while len(left):
        made = Independent().draw(rng, left, np.full(len(left), weight), BUCKET, [rates])[0]
        for name in sums:
            sums[name][left] = getattr(made, name)
        left = left[(made.n_g == 0) | (made.n_b == 0)]
    return sums
