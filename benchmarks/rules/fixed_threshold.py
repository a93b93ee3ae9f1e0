"""Fixed threshold: a success rate that green must keep in each interval, and how many failures are too many."""

from __future__ import annotations

import numpy as np

from benchmarks.rules.calls import Calls
from benchmarks.rules.rule import Ends, Rule, first_minute, survived

LEAST_SUCCESS = 0.99
TOO_MANY = 5


def decide(calls: Calls) -> Ends:
    """Rolls back at the fifth minute in which green's success rate is below 99 %; blue is not looked at.

    Sources: Flagger, docs/gitbook/usage/how-it-works.md and metrics.md (`interval: 1m`, `request-success-rate` with
    `thresholdRange.min: 99`; rolled back once failed checks reach `threshold`; the count is not reset by a success);
    Argo Rollouts, docs/features/analysis.md (`successCondition`, `failureLimit`, `interval`): the same rule. The
    threshold is where blue stands, as both documents' examples and habits have it; a minute is 600 calls here.
    """
    minutes = calls.per_minute()
    success = 1 - minutes.s_g / np.maximum(minutes.n_g, 1)
    failures = np.cumsum((success < LEAST_SUCCESS) & (minutes.n_g > 0), axis=1)
    rolled_back = first_minute(failures >= TOO_MANY)
    return Ends(rolled_back=rolled_back, promoted=survived(rolled_back, calls))


RULE = Rule(name="fixed threshold, 99 %", promotes="not rolled back by the end", decide=decide)
