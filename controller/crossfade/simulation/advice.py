"""Advice: a forecast in sentences: what to expect, what to change where it takes too long, and what was assumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import floor, isfinite, log10

import numpy as np

from crossfade.core.metric import metric_of
from crossfade.core.plan import Check, Plan, Step
from crossfade.core.sentence import duration, metric_name, metric_value, percent
from crossfade.simulation.forecast import LEAST_POINTS, Forecast
from crossfade.simulation.timing import Circumstances, step_times
from crossfade.stats.base_rate import start_base_rate

MONTH = 30 * 86_400.0
WELL_KNOWN = 16.0
"""Bad answers in blue's history: with fewer its rate is off by a quarter or more as often as not."""
WORTHWHILE = 0.9
"""A change is named if it takes at most this share of the time."""
EVEN = 50.0
"""Percent: the weight at which a difference shows soonest."""
ROUND = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5, 10.0)


def obstacles(plan: Plan, circumstances: Circumstances) -> tuple[str, ...]:
    """Why nothing can be said of the plan's times; empty if it can."""
    if not circumstances.traffic > 0:
        return (
            "No calls of this route were seen, so nothing can be said of how long it takes. Without traffic the rollout"
            " waits.",
        )
    found = [
        f"Step {position} gives green {step.weight:g} % of the calls: one Model alone cannot be compared with anything,"
        " so no gate would ever open. Weights lie between 0 and 100."
        for position, step in enumerate(plan.steps, 1)
        if not 0 < step.weight < 100
    ]
    found += [_unknown(check) for check in plan.checks if check.gating and not _is_known(check, circumstances)]
    return tuple(found)


def advice(plan: Plan, circumstances: Circumstances, forecast: Forecast) -> tuple[str, ...]:
    """The sentences of a forecast that has everything but them."""
    gating = [check for check in plan.checks if check.gating]
    found = [_summary(plan, forecast)]
    if forecast.seconds is None or forecast.seconds.median > forecast.within:
        found += _changes(plan, circumstances, forecast)
    found += _smallest(gating, forecast)
    found += [sentence for check in gating if (sentence := _resolution(check, circumstances))]
    found += [sentence for check in gating if (sentence := _rough(check, circumstances))]
    waits = [position for position, step in enumerate(plan.steps, 1) if step.approve]
    if waits:
        named = " and ".join(str(position) for position in waits)
        found.append(f"A person opens the gate of step {named}; the time until they do is not counted.")
    found += [
        f"Calls hang together here: each tells of {metric_name(check.metric)} only"
        f" 1 / {check.overdispersion:.2g} of what it otherwise would."
        for check in gating
        if check.overdispersion > 1
    ]
    return tuple(found)


def calls_a(traffic: float) -> str:
    """Calls a second in the unit people would say it in: "2.5 calls a second", "300 calls a day"."""
    for unit, seconds in (("second", 1), ("minute", 60), ("hour", 3600)):
        if traffic * seconds >= 20 or (unit == "second" and traffic >= 1):
            return f"{_count(traffic * seconds)} calls {'an' if unit == 'hour' else 'a'} {unit}"
    return f"{_count(traffic * 86_400)} calls a day"


def _count(number: float) -> str:
    return f"{number:,.0f}" if number >= 20 else f"{number:.3g}"


def _is_known(check: Check, circumstances: Circumstances) -> bool:
    history = circumstances.history.get(check.metric)
    return history is not None and history.n > 0 and circumstances.judged(check) > 0


def _unknown(check: Check) -> str:
    name = metric_name(check.metric)
    missing = f"no {name} scores of blue's" if check.is_score else "no calls of blue's"
    return (
        f"There are {missing} to plan with, so nothing can be said of how long the check of {name} takes."
        f" Give a base rate for {check.metric}, or let {'scores' if check.is_score else 'calls'} come in first."
    )


def _summary(plan: Plan, forecast: Forecast) -> str:
    at = f"At {calls_a(forecast.traffic)}"
    many = "the step takes" if len(plan.steps) == 1 else f"the {len(plan.steps)} steps take"
    if forecast.seconds is None or forecast.better_seconds is None or forecast.green_calls is None:
        return f"{at}, {many} for ever, even if green is as good as blue: a gate never opens."
    usual, seldom = duration(forecast.seconds.median), duration(forecast.seconds.p90)
    better = duration(forecast.better_seconds.median)
    seldom = f", and nine times in ten no more than {seldom}" if seldom != usual else ""
    equal = f"about {usual} if green is as good as blue{seldom}"
    if better != usual:
        equal = f"about {usual} if it is as good as blue{seldom}"
        equal = f"about {better} if green {_half_as_bad(plan)}, and {equal}"
    return f"{at}, {many} {equal}; green then gets about {forecast.green_calls.median:,.0f} calls."


def _half_as_bad(plan: Plan) -> str:
    """What a better green is, by the plan's checks."""
    metrics = [metric_of(check.metric) for check in plan.checks]
    harms = " and ".join(dict.fromkeys(metric.harms for metric in metrics if not metric.is_money))
    if not harms:
        return "costs half as much"
    return f"has half as many {harms}{' at half the cost' if any(metric.is_money for metric in metrics) else ''}"


def _changes(plan: Plan, circumstances: Circumstances, forecast: Forecast) -> list[str]:
    """What takes too long, and what another margin, fewer steps or more weight would take."""
    check = max((c for c in plan.checks if c.gating), key=lambda c: _median(plan, circumstances, c.metric))
    name, now = metric_name(check.metric), _median(plan, circumstances, check.metric)
    limit = "its time limit is" if plan.time_limit else "a plan without a time limit is given"
    sentence = (
        f"That is too long: {limit} {duration(forecast.within)}. At {calls_a(circumstances.traffic)} a margin of"
        f" {_margin(check.margin)} on {name} takes {_about(now)}"
    )
    smallest = forecast.smallest.get(check.metric)
    wider = _round_up(smallest) if smallest and smallest > check.margin else None
    if wider:
        other = replace(plan, checks=tuple(replace(c, margin=wider) if c is check else c for c in plan.checks))
        sentence += f"; a margin of {_margin(wider)} would take {_about(_median(other, circumstances, check.metric))}"
    found = [f"{sentence}."]
    last = plan.steps[-1]
    half = replace(last, weight=EVEN)
    others: dict[str, tuple[Step, ...]] = {}
    if len(plan.steps) > 1:
        others[f"its last step alone, {last.weight:g} %"] = (last,)
    if last.weight < EVEN:
        others[f"{EVEN:g} % instead of {last.weight:g} % in its last step"] = (*plan.steps[:-1], half)
        others[f"a further step at {EVEN:g} %"] = (*plan.steps, half)
    whole = _median(plan, circumstances)
    times = {how: _median(replace(plan, steps=steps), circumstances) for how, steps in others.items()}
    helping = [f"with {how}, {_about(time)}" for how, time in times.items() if time <= WORTHWHILE * whole]
    if helping:
        found.append(
            f"Other steps would take: {'; '.join(helping)}. The sooner green's weight rises, the more calls meet a bad"
            " one before it is caught."
        )
    return found


def _smallest(checks: Sequence[Check], forecast: Forecast) -> list[str]:
    within = duration(forecast.within)
    decided, found = [], []
    for check in checks:
        smallest, name = forecast.smallest[check.metric], metric_name(check.metric)
        if smallest is None:
            found.append(f"No margin on {name} can be decided in {within} by these steps.")
        else:
            decided.append(f"{_margin(smallest)}{' or less' if smallest <= LEAST_POINTS else ''} on {name}")
    if decided:
        found.append(f"In {within} these steps can decide margins down to {' and '.join(decided)}.")
    return found


def _resolution(check: Check, circumstances: Circumstances) -> str | None:
    calls = circumstances.judged(check) * MONTH
    if check.loss_margin * calls >= 1:
        return None
    kind = "scored calls" if check.is_score else "calls"
    known = metric_of(check.metric)
    least = "one call at its limit" if known.is_money else f"one {known.harms.removesuffix('s')}"
    return (
        f"A margin of {_margin(check.margin)} on {metric_name(check.metric)} is finer than the data: it is less"
        f" than {least} among the {calls:,.0f} {kind} of a month. No test can show it; widen the margin."
    )


def _rough(check: Check, circumstances: Circumstances) -> str | None:
    """That blue's own rate is hardly known, where so."""
    history = circumstances.history[check.metric]
    if history.s >= WELL_KNOWN:
        return None
    name, rate = metric_name(check.metric), float(start_base_rate(history).mean)
    if metric_of(check.metric).is_money:
        return (
            f"Blue's {name} is hardly known from {history.n:,} {metric_of(check.metric).of}:"
            f" {metric_value(check.metric, check.limit, rate)} is assumed, and the times are as rough as that."
        )
    harms = metric_of(check.metric).harms
    bad = f"no {harms.removesuffix('s')}" if history.s <= 0 else f"only {history.s:.3g} {harms}"
    return (
        f"Blue's {name} is hardly known: {bad} in {history.n:,} {'scored ' if check.is_score else ''}calls."
        f" {percent(rate, 3)} {harms} are assumed, and the times are as rough as that."
    )


def _median(plan: Plan, circumstances: Circumstances, only: str | None = None) -> float:
    times = step_times(plan, circumstances, only=only)
    return float(np.median(np.sum([each.seconds for each in times], axis=0)))


def _about(seconds: float) -> str:
    return f"about {duration(seconds)}" if isfinite(seconds) else "for ever"


def _margin(value: float) -> str:
    """A margin in full; `points` would round it as it does what was measured."""
    return f"{value:g} point{'' if value == 1 else 's'}"


def _round_up(margin: float) -> float:
    """The next margin a person would write."""
    scale = 10.0 ** floor(log10(margin))
    return next(scale * each for each in ROUND if scale * each >= margin)
