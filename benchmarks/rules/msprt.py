"""mSPRT: the mixture sequential probability ratio test with a normal prior on the difference."""

from __future__ import annotations

import numpy as np

from benchmarks.rules.calls import MARGIN, Calls, Floats, Totals
from benchmarks.rules.rule import ALPHA, Ends, Rule, first

PRIOR_SD = 0.01
"""Standard deviation of the normal prior: one point, the difference it is to find, which favours the rule."""


def half_width(total: Totals) -> Floats:
    """Of the always-valid two-sided interval round the difference.

    Sources: Johari, Koomen, Pekelis and Walsh, "Peeking at A/B tests" (KDD 2017), the mixture ratio for two Bernoulli
    streams, Lambda = sqrt(V / (V + t)) exp(t D^2 / (2 V (V + t))), rejecting at Lambda >= 1 / alpha; Zhao et al. (arXiv
    1905.10493), which Statsig's documentation ("Frequentist Sequential Testing") names as its method, with V the
    variance of the difference of the two means. Solved for D:

        D^2 = V (V + t) / t (2 log(1 / alpha) + log((V + t) / V))
    """
    v, t = total.variance, PRIOR_SD**2
    with np.errstate(divide="ignore", invalid="ignore"):
        width: Floats = np.sqrt(v * (v + t) / t * (2 * np.log(1 / ALPHA) + np.log((v + t) / v)))
    return width


def decide(calls: Calls) -> Ends:
    """Rolls back when the interval is above 0, promotes when it is below the margin.

    No verdict while a variant has had no bad call: its estimated variance is 0.
    """
    total = calls.total
    width, ready = half_width(total), total.both_vary
    return Ends(
        rolled_back=first(ready & (total.difference - width > 0)),
        promoted=first(ready & (total.difference + width < MARGIN)),
    )


RULE = Rule(name="mSPRT, normal prior", promotes="interval below the margin", decide=decide)
