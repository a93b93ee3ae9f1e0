"""Planner: what to expect of a plan at a route's traffic, and what to change where it cannot work.

Steps, times and the smallest margins are computed for a green that is blue's equal (`pace`, `timing`): milliseconds.
The chances to catch a worse one are counted in rollouts played with the real judge (`chance`): a second or two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import exp, isfinite, log

import numpy as np
from scipy.optimize import brentq

from crossfade.core.evidence import Summary
from crossfade.core.plan import Plan
from crossfade.core.sentence import duration
from crossfade.simulation.advice import advice, obstacles
from crossfade.simulation.chance import chances
from crossfade.simulation.forecast import LEAST_POINTS, MOST_POINTS, Forecast, Spread, StepForecast
from crossfade.simulation.timing import Circumstances, StepTimes, step_times
from crossfade.stats.columns import Floats

WITHOUT_LIMIT = 30 * 86_400.0
"""Seconds a plan without a time limit is given to decide."""
MOST_TRAFFIC = 1e6
"""Calls a second: more than any route has."""
FEW = 200
"""Rollouts for a margin to a few parts in a hundred."""
WITHOUT_SHADOW = (
    "How long the shadow step takes is not foreseen, since nobody knows how alike the two Models' answers are: {least}"
    " at least. It is in none of the numbers; all that follows is of the steps after it."
)
BETTER = 0.5
"""Bad answers of a better green, as a share of blue's."""


def plan_ahead(
    plan: Plan,
    history: Mapping[str, Summary],
    *,
    traffic: float,
    scored: Mapping[str, float] | None = None,
    bucket_seconds: float = 10.0,
    settled: float = 0.0,
    quick: bool = False,
) -> Forecast:
    """The forecast of `plan` at `traffic` calls a second.

    For each metric `history` has blue's losses before the rollout and `scored` the share of calls that get a value
    (else all). A bucket is read `settled` seconds after it is sealed. Traffic is as overdispersed as the checks start
    with. `quick` leaves the chances out. The same arguments always give the same forecast. What cannot be told for lack
    of traffic, history or blue calls is a sentence in it.
    """
    if plan.paired:
        found = plan_ahead(
            plan.unshadowed,
            history,
            traffic=traffic,
            scored=scored,
            bucket_seconds=bucket_seconds,
            settled=settled,
            quick=quick,
        )
        first = plan.steps[0]
        lag = max(check.maturity for check in plan.checks if check.gating) + settled
        calls = plan.least_green_calls / (traffic * first.shadow / 100) if traffic > 0 else 0.0
        least = max(first.bake, max(plan.least_buckets * bucket_seconds, calls) + lag)
        shadow = StepForecast(weight=0.0, shadow=first.shadow, least_seconds=least)
        said = WITHOUT_SHADOW.format(least=duration(least))
        return replace(found, steps=(shadow, *found.steps), sentences=(said, *found.sentences))
    circumstances = Circumstances(
        traffic=traffic,
        history=history,
        scored=scored or {},
        bucket_seconds=bucket_seconds,
        settled=settled,
    )
    within = plan.time_limit or WITHOUT_LIMIT
    missing = obstacles(plan, circumstances)
    if missing:
        return _unknown(plan, circumstances, within, missing)
    times = step_times(plan, circumstances)
    better = step_times(plan, replace(circumstances, green=BETTER))
    smallest = {
        check.metric: smallest_margin(plan, check.metric, circumstances, within)
        for check in plan.checks
        if check.gating
    }
    steps = tuple(_step(plan, position, each, traffic) for position, each in enumerate(times))
    seconds = np.sum([each.seconds for each in times], axis=0)
    green = np.sum([each.seconds * step.weight / 100 for each, step in zip(times, plan.steps, strict=True)], axis=0)
    forecast = Forecast(
        traffic=traffic,
        base=_base(plan, history),
        within=within,
        steps=steps,
        seconds=_spread(seconds),
        better_seconds=_spread(np.sum([each.seconds for each in better], axis=0)),
        calls=_spread(seconds * traffic),
        green_calls=_spread(green * traffic),
        smallest=smallest,
        chances=() if quick else chances(plan, circumstances, times),
        sentences=(),
    )
    return replace(forecast, sentences=advice(plan, circumstances, forecast))


def smallest_margin(plan: Plan, metric: str, circumstances: Circumstances, within: float) -> float | None:
    """The smallest margin in points of this check alone at which half of the rollouts are through `within` seconds."""

    def over(log_points: float) -> float:
        checks = tuple(replace(c, margin=exp(log_points)) if c.metric == metric else c for c in plan.checks)
        times = step_times(replace(plan, checks=checks), circumstances, only=metric, runs=FEW)
        median = float(np.median(np.sum([each.seconds for each in times], axis=0)))
        return log(min(median, 1e15) / within)

    low, high = log(LEAST_POINTS), log(MOST_POINTS)
    if over(high) > 0:
        return None
    if over(low) <= 0:
        return LEAST_POINTS
    # The median moves in whole buckets and is known to a few parts in a hundred only: so is the margin.
    return float(f"{exp(brentq(over, low, high, xtol=0.02)):.2g}")


def _base(plan: Plan, history: Mapping[str, Summary]) -> dict[str, float]:
    """Blue's rates, as `base.read_base` takes them."""
    means = [(check, history[check.metric].mean) for check in plan.checks if check.metric in history]
    return {check.metric: 1 - mean if check.is_score else mean for check, mean in means if mean is not None}


def _unknown(plan: Plan, circumstances: Circumstances, within: float, sentences: tuple[str, ...]) -> Forecast:
    return Forecast(
        traffic=circumstances.traffic,
        base=_base(plan, circumstances.history),
        within=within,
        steps=tuple(StepForecast(weight=step.weight) for step in plan.steps),
        seconds=None,
        better_seconds=None,
        calls=None,
        green_calls=None,
        smallest={check.metric: None for check in plan.checks if check.gating},
        chances=(),
        sentences=sentences,
    )


def _step(plan: Plan, position: int, times: StepTimes, traffic: float) -> StepForecast:
    weight = plan.steps[position].weight
    calls = times.seconds * traffic
    return StepForecast(
        weight=weight,
        least_seconds=times.least,
        slowest=times.slowest,
        seconds=_spread(times.seconds),
        calls=_spread(calls),
        green_calls=_spread(calls * weight / 100),
    )


def _spread(values: Floats) -> Spread | None:
    median, p90 = (float(each) for each in np.quantile(values, (0.5, 0.9), method="higher"))
    return Spread(median=median, p90=p90) if isfinite(p90) else None
