"""Chance: how likely a plan is to catch a green that is worse, and what it costs until then. Played, not derived.

Each check is played by itself, with its share of alpha and with the time the other gates take as bake time; many
buckets are looked at as one, so that a plan is some fifty looks. Both cost a little accuracy, and make it a second's
work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, log

import numpy as np

from crossfade.core.decision import Act
from crossfade.core.evidence import Summary
from crossfade.core.plan import Breach, Check, Plan
from crossfade.simulation.alike import Alike, loss_size
from crossfade.simulation.forecast import Chance
from crossfade.simulation.play import Ended, play
from crossfade.simulation.timing import Circumstances, StepTimes
from crossfade.simulation.truth import Truth
from crossfade.stats.base_rate import start_base_rate
from crossfade.stats.mixture import WORSE_WEIGHTS
from crossfade.stats.needed import rate_information, score_information
from crossfade.stats.worse import RESTARTS

EFFECTS = (1.0, 2.0, 5.0)
"""Points by which green is worse, besides the check's own margin."""
LOOKS = 50
MOST_TIMES = 4.0
"""A rollout that takes so many times as long as the forecast is left undecided."""
RUNS, LEAST_RUNS = 100, 50
"""Rollouts for each effect: shared among the checks, but no fewer than that."""
MOST_HISTORY = 10_000
SEED = 11


def chances(plan: Plan, circumstances: Circumstances, times: Sequence[StepTimes]) -> tuple[Chance, ...]:
    """For each gating check whose breach does something, and each effect, its margin among them, that its rate leaves
    room for.

    `times` is how long each step lasts for an equal green; empty where that is for ever.
    """
    if not all(np.isfinite(np.median(each.seconds)) for each in times):
        return ()
    checks = [check for check in plan.checks if check.gating and check.on_breach is not Breach.TELL]
    runs = max(LEAST_RUNS, RUNS // max(1, len(checks)))
    found = [_chance(plan, check, circumstances, times, points, runs) for check in checks for points in _effects(check)]
    return tuple(chance for chance in found if chance)


def _effects(check: Check) -> list[float]:
    return sorted({check.margin, *EFFECTS})


def _chance(
    plan: Plan, check: Check, circumstances: Circumstances, times: Sequence[StepTimes], points: float, runs: int
) -> Chance | None:
    history = circumstances.history[check.metric]
    base = start_base_rate(history)
    blue = float(base.mean)
    green = blue + points / 100
    if green >= 1:
        return None
    # Calls that hang together by phi tell as much as one in phi that do not, and those are what is played.
    judged, length = circumstances.judged(check) / check.overdispersion, circumstances.bucket_seconds
    whole = sum(float(np.median(each.seconds)) for each in times) * judged
    until = min(whole, _until_caught(plan, times, judged, blue, green, float(base.variance), history))
    calls = max(1, ceil(judged * length), ceil(until / LOOKS))
    bucket_seconds = calls / judged
    ended = play(
        _alone(plan, check, circumstances, times, bucket_seconds),
        [Truth(blue=blue, green=green)],
        Alike(loss_size(history)),
        rng=np.random.default_rng(SEED),
        runs=runs,
        calls=calls,
        most_calls=ceil(MOST_TIMES * whole / calls) * calls,
        bucket_seconds=bucket_seconds,
        history=min(MOST_HISTORY, max(1, history.n)),
    )
    return _counted(plan, check, circumstances, points, ended, judged)


def _until_caught(
    plan: Plan,
    times: Sequence[StepTimes],
    judged: float,
    blue: float,
    green: float,
    variance: float,
    history: Summary,
) -> float:
    """Judged calls after which the evidence against green is to be expected: only to choose how long a look is."""
    # The mixture's heaviest alternative and first start, which is what usually decides, bear this much of its weight.
    needed = log(len(plan.checks) / plan.alpha / (1 - RESTARTS) / WORSE_WEIGHTS.max())
    calls = 0.0
    for step, each in zip(plan.steps, times, strict=True):
        weight = step.weight / 100
        if loss_size(history) == 1:
            information = rate_information(blue, green, 0.0, weight)
        else:
            information = score_information(green - blue, variance, weight)
        here = float(np.median(each.seconds)) * judged
        if information * here >= needed:
            return calls + needed / information
        needed -= information * here
        calls += here
    return calls


def _alone(
    plan: Plan, check: Check, circumstances: Circumstances, times: Sequence[StepTimes], bucket_seconds: float
) -> Plan:
    """The plan as this check alone would see it.

    With one of K checks' evidence the mean of their e-values reaches 1 / alpha when its own reaches K / alpha.
    """
    lag = circumstances.lag(check)
    steps = tuple(
        replace(step, bake=max(0.0, max(seconds for name, seconds in each.parts.items() if name != check.metric) - lag))
        for step, each in zip(plan.steps, times, strict=True)
    )
    return replace(
        plan,
        steps=tuple(replace(step, approve=False) for step in steps),
        checks=(replace(check, on_breach=Breach.ROLL_BACK, overdispersion=1.0),),
        alpha=plan.alpha / len(plan.checks),
        least_buckets=max(1, ceil(plan.least_buckets * circumstances.bucket_seconds / bucket_seconds - 1e-9)),
        time_limit=None,
    )


def _counted(
    plan: Plan, check: Check, circumstances: Circumstances, points: float, ended: Sequence[Ended], judged: float
) -> Chance:
    """Judged calls as calls of the route, and those that green gets while the last bucket matures."""
    per_judged = circumstances.traffic / judged
    lag = circumstances.lag(check) + plan.evaluate_every / 2
    weights = [plan.steps[len(one.steps) - 1].weight / 100 for one in ended]
    green = np.array(
        [one.green_calls * per_judged + lag * circumstances.traffic * w for one, w in zip(ended, weights, strict=True)]
    )
    caught = [one.act is Act.ROLL_BACK for one in ended]
    after = [one.calls / judged + lag for one, was in zip(ended, caught, strict=True) if was]
    promoted = [one.act is Act.PROMOTE for one in ended]
    return Chance(
        metric=check.metric,
        points=points,
        caught=sum(caught) / len(ended),
        promoted=sum(promoted) / len(ended),
        undecided=(len(ended) - sum(caught) - sum(promoted)) / len(ended),
        green_calls=float(np.median(green)),
        seconds=float(np.median(after)) if after else None,
        harm=float(green.mean() * points / 100),
        limit=check.limit,
    )
