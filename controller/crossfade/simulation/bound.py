"""Bound: the fewest calls a rollout could take by the information in them, whatever the test.

A sequential test of level l needs log(1 / l) / information calls on average (Wald 1945). The roll-back has to gather
log(1 / (share x alpha)) against "green is no worse", each gate log(1 / beta) against "green is worse by the gate's
margin or more"; information per call is that of `stats.needed`, at the step's weight. What else a gate asks for (bake
time, a number of buckets and of green's calls) is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log

from crossfade.core.plan import Check, Plan
from crossfade.stats.needed import rate_information, score_information

NEGLIGIBLE = 1e-9
"""Differences of rates as close as this are the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """The true mean losses of one check's metric. `variance` is that of one of blue's losses, or None where every
    loss is 0 or 1.
    """

    blue: float
    green: float
    variance: float | None = None

    @property
    def difference(self) -> float:
        return self.green - self.blue

    def information(self, d: float, weight: float) -> float:
        """Nats per call of both variants against a difference of d; `weight` as a fraction in (0, 1)."""
        if self.variance is None:
            return rate_information(self.blue, self.green, d, weight)
        return score_information(self.difference - d, self.variance, weight)


def bound_calls(plan: Plan, losses: Sequence[Losses]) -> float:
    """Calls of both variants until the rollout could end, `losses` one for each check of the plan.

    For a green worse by a check's margin or more: until that check has log(1 / (share x alpha)) against "no worse".
    The information comes at the weight of the step under way, and a step lasts until its gate could pass by its own
    bound; for ever if green is as much worse as the gate's margin, or more. Else: until every gate has its
    log(1 / beta).
    """
    beyond = [
        (each, share)
        for check, share, each in zip(plan.checks, plan.shares, losses, strict=True)
        if _beyond(check.loss_margin, each)
    ]
    worse = [each for each, _ in beyond]
    missing = [log(1 / (share * plan.alpha)) for _, share in beyond]
    calls = 0.0
    for step, weight in enumerate(step.weight / 100 for step in plan.steps):
        rates = [each.information(0.0, weight) for each in worse]
        stay = max(_until_gate(plan, check, each, step) for check, each in zip(plan.checks, losses, strict=True))
        until = min((left / rate for left, rate in zip(missing, rates, strict=True) if rate > 0), default=inf)
        if until <= stay:
            return calls + until
        missing = [left - stay * rate for left, rate in zip(missing, rates, strict=True)]
        calls += stay
    return calls


def _until_gate(plan: Plan, check: Check, losses: Losses, step: int) -> float:
    """Calls until the check could pass the gate at the end of the step, by information alone."""
    d = check.gate_margin(plan.gate_weight(step))
    if not check.gating:
        return 0.0
    information = 0.0 if _beyond(d, losses) else losses.information(d, plan.steps[step].weight / 100)
    return log(1 / plan.beta) / information if information > 0 else inf


def _beyond(d: float, losses: Losses) -> bool:
    return losses.difference >= d - NEGLIGIBLE
