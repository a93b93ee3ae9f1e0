"""Confidence sequence: asymptotic, one-sided, as GrowthBook's Safe Rollouts watch a guardrail metric."""

from __future__ import annotations

import numpy as np

from benchmarks.rules.calls import MARGIN, Calls, Floats, Totals
from benchmarks.rules.rule import ALPHA, Ends, Rule, first

TUNED_FOR = 5_000
"""Calls of both variants at which the bound is tightest; GrowthBook's default."""


def half_width(total: Totals) -> Floats:
    """Distance of the one-sided bound from the estimate, valid at every look as calls grow.

    Sources: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic
    confidence sequences" (Annals of Statistics 52, 2024; the one-sided form is in its appendix); GrowthBook,
    docs/docs/statistics/sequential.mdx (N the calls of both variants, N* = 5,000) and docs/docs/features/
    safe-rollouts.mdx (guardrails are tested one-sided). With se the standard error of the difference:

        se sqrt(N) sqrt(2 (N rho^2 + 1) / (N rho)^2 log(1 + sqrt(N rho^2 + 1) / (2 alpha)))
        rho^2 = (-2 log(2 alpha) + log(-2 log(2 alpha) + 1)) / N*
    """
    n = total.n_g + total.n_b
    tuning = -2 * np.log(2 * ALPHA)
    scaled = n * (tuning + np.log(tuning + 1)) / TUNED_FOR + 1
    width: Floats = np.sqrt(2 * total.variance * scaled / (scaled - 1) * np.log1p(np.sqrt(scaled) / (2 * ALPHA)))
    return width


def decide(calls: Calls) -> Ends:
    """Rolls back when the bound from below is above 0, promotes when the one from above is below the margin.

    No verdict while a variant has had no bad call: gbstats gives none for a variance of 0 either.
    """
    total = calls.total
    width, ready = half_width(total), total.both_vary
    return Ends(
        rolled_back=first(ready & (total.difference - width > 0)),
        promoted=first(ready & (total.difference + width < MARGIN)),
    )


RULE = Rule(name="asymptotic confidence sequence", promotes="bound below the margin", decide=decide)
