"""Group sequential: a fixed number of looks planned beforehand, which share out alpha."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.stats import norm

from benchmarks.rules.calls import LOOKS, MARGIN, Calls, Floats
from benchmarks.rules.rule import ALPHA, NEVER, Ends, Rule, first

PLANNED = 20
GRID = 1_601
WIDEST = 40.0
"""Of the score, whose variance at the last look is the number of looks: nine standard deviations at 20."""


def spent(t: Floats, alpha: float) -> Floats:
    """Of alpha by information time t: 2 - 2 Phi(Phi^-1(1 - alpha / 2) / sqrt(t)) (Lan and DeMets 1983)."""
    with np.errstate(divide="ignore"):
        share: Floats = 2 * norm.sf(norm.ppf(1 - alpha / 2) / np.sqrt(t))
    return share


@cache
def bounds(planned: int = PLANNED, alpha: float = ALPHA) -> tuple[float, ...]:
    """One-sided critical values of z at the planned looks, equal steps of information.

    By the recursion of Armitage, McPherson and Rowe (1969): the density of the score among the runs that have not
    crossed is carried from look to look, and each critical value spends what its look may.
    """
    each = np.diff(spent(np.arange(planned + 1) / planned, alpha))
    grid, step = np.linspace(-WIDEST, WIDEST, GRID, retstep=True)
    increment = norm.pdf(grid[:, None] - grid[None, :]) * step
    density = norm.pdf(grid)
    critical: list[float] = []
    for look, may in enumerate(each.tolist(), start=1):
        # Trapezia from the far end; density above is what the look would spend at each grid point.
        above = np.append(np.cumsum(((density[1:] + density[:-1]) / 2)[::-1])[::-1] * step, 0.0)
        edge = float(np.interp(-may, -above, grid))
        critical.append(edge / np.sqrt(look))
        # The cell that the edge cuts counts by the part of it below the edge.
        density = increment @ (density * np.clip((edge - grid) / step + 0.5, 0.0, 1.0))
    return tuple(critical)


def decide(calls: Calls) -> Ends:
    """Rolls back when z reaches the bound of a planned look, promotes when z against the margin reaches it below.

    Sources: Lan and DeMets 1983 with O'Brien and Fleming's shape; Jennison and Turnbull 2000, ch. 7; recommended where
    looks can be planned by Spotify's engineers ("Choosing a Sequential Testing Framework", 2023). One-sided 5 % for
    either question, 20 looks 5,000 calls apart; between them nothing can be decided. z as in the z-test here: pooled
    variance against equality, each variant's own against the margin.
    """
    total = calls.total
    each = LOOKS // PLANNED
    critical = np.full(calls.looks, NEVER)
    planned = np.arange(each - 1, calls.looks, each)[:PLANNED]
    critical[planned] = bounds()[: len(planned)]
    with np.errstate(divide="ignore", invalid="ignore"):
        worse = total.difference / np.sqrt(total.pooled_variance) >= critical
        within = (MARGIN - total.difference) / np.sqrt(total.variance) >= critical
    ready = total.both_vary
    return Ends(rolled_back=first(ready & worse), promoted=first(ready & within))


RULE = Rule(
    name=f"group sequential, {PLANNED} looks", promotes="significantly better than the margin, at a look", decide=decide
)
