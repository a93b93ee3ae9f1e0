"""Lines: what the judge has to show in simulation, each with its case and its targets.

Base error rates with a margin of 0.5 points, steps 1, 5, 25 and 50 %, 100 calls a bucket, unless a line says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import log, sqrt

from scipy.stats import binom, norm

from crossfade.core.metric import ERROR_RATE
from crossfade.core.plan import Check, Plan, Step
from crossfade.simulation.simulate import Case, Kind, Result, Users
from crossfade.simulation.traffic import Independent, Late
from crossfade.simulation.truth import Truth

RAMP = (1.0, 5.0, 25.0, 50.0)
CONFIDENCE = 0.99
ALL, NONE = 0.995, 0.005
"""What 1.0 and 0 mean, to the digits they are given with."""

TOLERANCE = 1.15
"""By how much a median may pass its target."""

CAPPED = 25_700 / 23_800
"""What the cap and the overdispersion cost an equal green at 1 %; lines whose target was taken without them get it."""

TWO_BAD_CALLS = 770
"""Calls in which a green at 1 % that fails every fourth call fails twice. The cap of one bucket's evidence asks for as
many more of them: four times 1.5 reach the level, where two failing calls would do without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table. Shares are limits; `median` is a limit on the calls to the decision, tolerance included.

    `long` lines take many calls a run, and are left out of the small form.
    """

    name: str
    case: Case
    rolled_back_most: float | None = None
    rolled_back_least: float | None = None
    promoted_most: float | None = None
    promoted_least: float | None = None
    median: float | None = None
    target: str = ""
    long: bool = False
    open: str = ""
    """Why the line is known not to hold yet; the table then says by how much."""

    def missed(self, result: Result) -> list[str]:
        """What of the targets does not hold: shares beyond a one-sided 99 % binomial allowance, the median beyond
        one of its own Monte-Carlo error.
        """
        n = result.runs
        rolled_back, promoted = round(result.rolled_back.share * n), round(result.promoted.share * n)
        found = [
            *_over("rolled back", rolled_back, n, self.rolled_back_most),
            *_under("rolled back", rolled_back, n, self.rolled_back_least),
            *_over("promoted", promoted, n, self.promoted_most),
            *_under("promoted", promoted, n, self.promoted_least),
        ]
        if self.median is not None:
            median = result.median_calls or result.runs * self.case.most_calls
            if median > self.median + norm.ppf(CONFIDENCE) * median_error(result):
                found.append(f"median of {median:,} calls, over {self.median:,.0f}")
        return found


def median_error(result: Result) -> float:
    """The median's standard error, as if the calls to the decision were spread as a normal variable is."""
    if result.median_calls is None or result.p90_calls is None:
        return 0.0
    decided = max(1.0, result.runs * (1 - result.undecided.share))
    return 1.2533 * (result.p90_calls - result.median_calls) / 1.2816 / sqrt(decided)


def _over(what: str, count: int, runs: int, limit: float | None) -> list[str]:
    if limit is None or count <= binom.ppf(CONFIDENCE, runs, limit):
        return []
    return [f"{what} {count} of {runs}, over {limit:g}"]


def _under(what: str, count: int, runs: int, limit: float | None) -> list[str]:
    if limit is None or count >= binom.ppf(1 - CONFIDENCE, runs, limit):
        return []
    return [f"{what} {count} of {runs}, under {limit:g}"]


def plan(*checks: Check, weights: Iterable[float] = RAMP) -> Plan:
    return Plan(steps=tuple(Step(weight=weight, bake=0) for weight in weights), checks=checks)


ERRORS = Check(metric=ERROR_RATE, margin=0.5)


def errors(blue: float, worse: float, *, weights: Iterable[float] = RAMP, traffic: Kind | None = None) -> Case:
    """The error rate alone; `blue` in percent and `worse` in points."""
    truth = Truth(blue=blue / 100, green=(blue + worse) / 100)
    return Case(
        plan=plan(ERRORS, weights=weights), truths=(truth,), traffic=traffic or Independent(), most_calls=400_000
    )


def losses(check: Check, blue: float, green: float, weight: float) -> Case:
    """One check at one weight."""
    return Case(plan=plan(check, weights=(weight,)), truths=(Truth(blue=blue, green=green),), most_calls=400_000)


def moving(truth: Truth) -> Case:
    return replace(errors(1, 0), truths=(truth,))


SPREAD = 0.8
"""The standard deviation of the log of a latency."""


def slower(times: float) -> float:
    """The share of calls slower than blue's p95 when log-normal latencies are so many times longer."""
    return float(norm.sf(norm.isf(0.05) - log(times) / SPREAD))


ACCURACY = Check(metric="score.accuracy", margin=1)
LATENCY = Check(metric="score.latency", margin=1)
UNDECIDABLE = Check(metric="score.grade", margin=0.1)

LINES: tuple[Line, ...] = (
    Line(
        name="0.1 %, no change",
        case=errors(0.1, 0),
        rolled_back_most=0.02,
        promoted_least=0.97,
        median=TOLERANCE * 10_200,
        target="rolled back <= .02, promoted >= .97, 10,200 calls (p90 13,600)",
    ),
    Line(
        name="0.1 %, +0.5",
        case=errors(0.1, 0.5),
        rolled_back_least=0.97,
        promoted_most=0.03,
        median=TOLERANCE * 12_600,
        target="rolled back >= .97, promoted <= .03, 12,600 calls, 1,064 of green, harm 8",
    ),
    Line(
        name="1 %, -0.2",
        case=errors(1, -0.2),
        rolled_back_most=0.01,
        promoted_least=0.99,
        median=TOLERANCE * 17_100,
        target="rolled back <= .01, promoted >= .99, 17,100 calls (p90 24,400)",
    ),
    Line(
        name="1 %, no change",
        case=errors(1, 0),
        rolled_back_most=0.04,
        promoted_least=0.96,
        median=TOLERANCE * 25_700,
        target="rolled back <= .04, promoted >= .96, 25,700 calls (p90 38,350)",
    ),
    Line(
        name="1 %, +0.5",
        case=errors(1, 0.5),
        rolled_back_least=0.96,
        promoted_most=0.04,
        median=TOLERANCE * 31_200,
        target="rolled back >= .96, promoted <= .04, 31,200 calls, 4,898 of green, harm 35",
        long=True,
    ),
    Line(
        name="1 %, +1",
        case=errors(1, 1),
        rolled_back_least=ALL,
        promoted_most=NONE,
        median=TOLERANCE * 19_500,
        target="rolled back 1.0, promoted 0, 19,500 calls, 1,119 of green, harm 15",
    ),
    Line(
        name="1 %, +4",
        case=errors(1, 4),
        rolled_back_least=ALL,
        promoted_most=NONE,
        median=TOLERANCE * 8_500,
        target="rolled back 1.0, promoted 0, 8,500 calls, 115 of green, harm 5",
    ),
    Line(
        name="1 %, +25",
        case=errors(1, 25),
        rolled_back_least=ALL,
        promoted_most=NONE,
        median=TOLERANCE * 1_100 + TWO_BAD_CALLS,
        target="rolled back 1.0, promoted 0, 1,100 calls (without the cap), 11 of green, harm 3",
    ),
    Line(
        name="10 %, no change",
        case=replace(errors(10, 0), most_calls=600_000),
        rolled_back_most=0.04,
        promoted_least=0.96,
        median=TOLERANCE * 153_600,
        target="rolled back <= .04, promoted >= .96, 153,600 calls (p90 265,440)",
        long=True,
    ),
    Line(
        name="10 %, +1",
        case=errors(10, 1),
        rolled_back_least=ALL,
        promoted_most=NONE,
        median=TOLERANCE * 99_200,
        target="rolled back 1.0, promoted 0, 99,200 calls, 8,187 of green, harm 101",
        long=True,
    ),
    Line(
        name="1 to 3 %, linear over 200,000 calls, no change",
        case=moving(Truth(blue=0.01, green=0.01, drift=0.03, drift_calls=200_000)),
        rolled_back_most=0.04,
        promoted_least=0.96,
        median=TOLERANCE * CAPPED * 25_000,
        target="rolled back <= .04, promoted >= .96, 25,000 calls (without cap and overdispersion)",
    ),
    Line(
        name="1 to 3 %, a sine of 50,000 calls, no change",
        case=moving(Truth(blue=0.01, green=0.01, drift=0.03, swing=True)),
        rolled_back_most=0.04,
        promoted_least=0.96,
        median=TOLERANCE * CAPPED * 36_000,
        target="rolled back <= .04, promoted >= .96, 36,000 calls (without cap and overdispersion)",
        long=True,
    ),
    Line(
        name="1 %, +1, weight 10 %",
        case=errors(1, 1, weights=(10,)),
        rolled_back_least=ALL,
        median=12_500,
        target="rolled back 1.0, within 12,500 calls",
    ),
    Line(
        name="1 %, +1, weight 50 %",
        case=errors(1, 1, weights=(50,)),
        rolled_back_least=ALL,
        median=4_500,
        target="rolled back 1.0, within 4,500 calls",
    ),
    Line(
        name="accuracy 0.85, no change, margin 1, weight 50 %",
        case=losses(ACCURACY, 0.15, 0.15, 50),
        rolled_back_most=0.05,
        promoted_least=0.95,
        target="rolled back <= .05, promoted >= .95",
        long=True,
    ),
    Line(
        name="accuracy 0.85, -2, margin 1, weight 50 %",
        case=losses(ACCURACY, 0.15, 0.17, 50),
        rolled_back_least=0.95,
        median=11_000,
        target="rolled back within 11,000 calls",
    ),
    Line(
        name="accuracy 0.85, -5, margin 1, weight 50 %",
        case=losses(ACCURACY, 0.15, 0.20, 50),
        rolled_back_least=0.95,
        median=2_000,
        target="rolled back within 2,000 calls",
    ),
    Line(
        name="latency over blue's p95, no change, margin 1, weight 10 %",
        case=losses(LATENCY, 0.05, 0.05, 10),
        rolled_back_most=0.05,
        target="rolled back <= .05",
        long=True,
    ),
    Line(
        name="latency over blue's p95, 1.2 times slower",
        case=losses(LATENCY, 0.05, slower(1.2), 10),
        rolled_back_least=0.95,
        median=9_500,
        target="rolled back within 9,500 calls",
    ),
    Line(
        name="latency over blue's p95, 1.5 times slower",
        case=losses(LATENCY, 0.05, slower(1.5), 10),
        rolled_back_least=0.95,
        median=2_000,
        target="rolled back within 2,000 calls",
    ),
    *(
        Line(
            name=f"calls in groups of {size}, 1 %, no change, {where}",
            case=replace(errors(1, 0, weights=weights, traffic=Independent(size, keyed=True)), most_calls=most),
            rolled_back_most=0.03,
            target="rolled back <= .03",
            long=True,
        )
        for size in (2, 4)
        for where, weights, most in (
            ("ramp", RAMP, 60_000),
            ("weight 10 %", (10,), 20_000),
            ("weight 50 %", (50,), 20_000),
        )
    ),
    *(
        Line(
            name=f"calls in groups of {size}, by a metric that is not recorded by key, weight 50 %",
            case=replace(errors(1, 0, weights=(50,), traffic=Independent(size)), most_calls=20_000),
            rolled_back_most=0.03,
            target="rolled back <= .03",
            long=True,
            open="without keys overdispersion is learnt too slowly in the first buckets; calibration measures it",
        )
        for size in (2, 4)
    ),
    Line(
        name="calls in groups of 4, 1 %, +1, weight 10 %",
        case=errors(1, 1, weights=(10,), traffic=Independent(4, keyed=True)),
        rolled_back_least=ALL,
        median=4 * 1.5 * 9_550,
        target="rolled back within 1.5 times as many independent calls, four times those of the line above",
        long=True,
    ),
    *(
        Line(
            name=f"200 users who differ and return, 1 %, {what}, {where}",
            case=replace(errors(1, worse, weights=weights, traffic=Users(count=200)), most_calls=20_000),
            rolled_back_most=0.03 if worse == 0 else 0.05,
            promoted_most=0.05 if worse else None,
            target="rolled back <= .03" if worse == 0 else "promoted <= .05",
            long=True,
        )
        for worse, what in ((0, "no change"), (0.5, "+0.5"))
        for where, weights in (("ramp", RAMP), ("weight 50 %", (50,)))
    ),
    *(
        Line(
            name=f"calls in groups of {size}, started with phi {size}, 1 %, no change, weight 50 %",
            case=Case(
                plan=plan(replace(ERRORS, overdispersion=float(size)), weights=(50,)),
                truths=(Truth(blue=0.01, green=0.01),),
                traffic=Independent(size),
                most_calls=20_000,
            ),
            rolled_back_most=0.03,
            target="rolled back <= .03",
        )
        for size in (2, 4)
    ),
    Line(
        name="labels late and sooner when bad, 1 %, no change",
        case=errors(1, 0, traffic=Late()),
        rolled_back_most=0.05,
        target="rolled back <= .05",
    ),
    Line(
        name="four checks, 1 % each, no change",
        case=Case(
            plan=plan(*(Check(metric=metric, margin=0.5) for metric in (ERROR_RATE, "score.a", "score.b", "score.c"))),
            truths=(Truth(blue=0.01, green=0.01),) * 4,
            most_calls=400_000,
        ),
        rolled_back_most=0.05,
        target="rolled back <= .05",
        long=True,
    ),
    Line(
        name="+4 after 50,000 good calls, a second check undecidable, weight 10 %",
        case=Case(
            plan=plan(ERRORS, UNDECIDABLE, weights=(10,)),
            truths=(Truth(blue=0.01, green=0.01, turns_at=50_000, turn=0.04), Truth(blue=0.15, green=0.15)),
            most_calls=100_000,
        ),
        rolled_back_least=ALL,
        median=55_000,
        target="rolled back within 5,000 calls of the turn",
        long=True,
    ),
    Line(
        name="half of all calls fail for ten buckets, 1 %, no change",
        case=moving(Truth(blue=0.01, green=0.01, outage=(5_000, 6_000))),
        rolled_back_most=0.05,
        target="rolled back <= .05",
    ),
)
