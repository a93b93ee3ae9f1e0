"""z-test: the fixed-sample test of two proportions, taken at every look as if it were the only one."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from benchmarks.rules.calls import MARGIN, Calls
from benchmarks.rules.rule import ALPHA, Ends, Rule, first

CRITICAL = float(norm.ppf(1 - ALPHA / 2))
LEAST_GREEN = 30


def decide(calls: Calls) -> Ends:
    """Rolls back when z > 1.96, promotes when green is significantly below the margin, each at 5 % two-sided.

    Source: any textbook (Fleiss, Levin and Paik 2003, ch. 3). z = (p_g - p_b) / sqrt(p (1 - p) (1 / n_g + 1 / n_b))
    with the pooled rate p; against the margin the variance of each variant by itself. Neither before green has 30
    calls and each variant a bad one.
    """
    total = calls.total
    ready = (total.n_g >= LEAST_GREEN) & total.both_vary
    with np.errstate(divide="ignore", invalid="ignore"):
        worse = total.difference / np.sqrt(total.pooled_variance) > CRITICAL
        within = (total.difference - MARGIN) / np.sqrt(total.variance) < -CRITICAL
    return Ends(rolled_back=first(ready & worse), promoted=first(ready & within))


RULE = Rule(name="z-test at every look", promotes="significantly better than the margin, at any look", decide=decide)
