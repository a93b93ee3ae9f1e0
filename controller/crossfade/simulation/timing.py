"""Timing: how long each step of a plan lasts, in many rollouts drawn side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, log

import numpy as np

from crossfade.core.evidence import Summary
from crossfade.core.plan import Check, Plan
from crossfade.simulation.pace import calls_to_pass, merged
from crossfade.stats.columns import Floats

RUNS = 500
SEED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What a plan meets: `traffic` in calls a second; for each metric blue's `history` and the share of calls that get
    a value, 1 where `scored` has none. A bucket is read `settled` seconds after it is sealed. Green has
    `green` times blue's bad answers, at most 1: its equal, or better.
    """

    traffic: float
    history: Mapping[str, Summary]
    scored: Mapping[str, float]
    bucket_seconds: float = 10.0
    settled: float = 0.0
    green: float = 1.0

    def judged(self, check: Check) -> float:
        """Calls a second that this check judges."""
        return self.traffic * self.scored.get(check.metric, 1.0)

    def lag(self, check: Check) -> float:
        """Seconds from a bucket's end until it is read."""
        return check.maturity + self.settled


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes:
    """Seconds one step lasts in each of many rollouts; infinite where a gate never opens. `parts` has what it would
    last for each of the gating checks by itself, and by the bake time: the step lasts as long as the longest.
    """

    seconds: Floats
    parts: dict[str, float]
    least: float
    """Seconds that bake time, fewest buckets and fewest green calls ask for."""

    @property
    def slowest(self) -> str:
        return max(self.parts, key=lambda name: self.parts[name])


def step_times(
    plan: Plan, circumstances: Circumstances, *, only: str | None = None, runs: int = RUNS
) -> list[StepTimes]:
    """Of each step of the plan, by the check `only` if one is named. Every gating check has traffic and history."""
    rng = np.random.default_rng(SEED)
    checks = [check for check in plan.checks if check.gating and only in (None, check.metric)]
    found = []
    for position, step in enumerate(plan.steps):
        by_check = {check.metric: _gate_seconds(plan, check, position, circumstances, rng, runs) for check in checks}
        least = max(step.bake, *(_least_seconds(plan, check, position, circumstances) for check in checks))
        bake = np.full(runs, step.bake)
        slowest = np.maximum.reduce([bake, *by_check.values()])
        parts = {"bake": step.bake} | {name: float(np.median(each)) for name, each in by_check.items()}
        # A look comes once every so often, on average half of that after the gate would open.
        found.append(StepTimes(seconds=slowest + plan.evaluate_every / 2, parts=parts, least=least))
    return found


def _gate_seconds(
    plan: Plan, check: Check, position: int, circumstances: Circumstances, rng: np.random.Generator, runs: int
) -> Floats:
    """Seconds from the step's start until a check opens its gate: evidence, and the fewest buckets and green calls."""
    weight = plan.steps[position].weight / 100
    length, judged = circumstances.bucket_seconds, circumstances.judged(check)
    per_bucket = judged * length
    calls = calls_to_pass(
        circumstances.history[check.metric],
        d=check.gate_margin(plan.gate_weight(position)),
        weight=weight,
        calls=per_bucket,
        level=log(1 / plan.beta),
        phi=check.overdispersion,
        green=circumstances.green,
        rng=rng,
        runs=runs,
    )
    calls = np.maximum(calls, plan.least_buckets * merged(per_bucket, weight))
    # Green calls come one by one: the time until so many have is Gamma distributed.
    calls = np.maximum(calls, rng.standard_gamma(plan.least_green_calls, runs) / weight)
    seconds: Floats = np.ceil(calls / per_bucket - 1e-9) * length + circumstances.lag(check)
    return seconds


def _least_seconds(plan: Plan, check: Check, position: int, circumstances: Circumstances) -> float:
    weight = plan.steps[position].weight / 100
    length, judged = circumstances.bucket_seconds, circumstances.judged(check)
    calls = max(plan.least_buckets * merged(judged * length, weight), plan.least_green_calls / weight)
    return ceil(calls / (judged * length) - 1e-9) * length + circumstances.lag(check)
