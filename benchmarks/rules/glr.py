"""GLR stopping: stop when the generalised likelihood ratio shows one variant to be the better."""

from __future__ import annotations

import numpy as np

from benchmarks.rules.calls import Calls
from benchmarks.rules.rule import ALPHA, Ends, Rule, first

LEAST_CALLS = 10
VARIANCE_FLOOR = 1e-12


def decide(calls: Calls) -> Ends:
    """Rolls back when blue is the winner, promotes when green is.

    Source: TensorZero, tensorzero-core/src/experimentation/track_and_stop/check_stopping.rs, after Garivier and
    Kaufmann 2016: a winner once D^2 / (2 (v_g / n_g + v_b / n_b)) > log((1 + log n) / delta), n the calls of both,
    with its defaults: delta 0.05, epsilon 0, at least 10 calls each, variances at least 1e-12. Its track-and-stop
    also moves the weight; here the weight stays, as for every rule.
    """
    total = calls.total
    n = total.n_g + total.n_b
    variance = np.maximum(total.p_g * (1 - total.p_g), VARIANCE_FLOOR) / np.maximum(total.n_g, 1)
    variance = variance + np.maximum(total.p_b * (1 - total.p_b), VARIANCE_FLOOR) / np.maximum(total.n_b, 1)
    ready = np.minimum(total.n_g, total.n_b) >= LEAST_CALLS
    stops = ready & (total.difference**2 / (2 * variance) > np.log((1 + np.log(n)) / ALPHA))
    return Ends(
        rolled_back=first(stops & (total.difference > 0)),
        promoted=first(stops & (total.difference < 0)),
    )


RULE = Rule(name="GLR stopping", promotes="declared the winner", decide=decide)
