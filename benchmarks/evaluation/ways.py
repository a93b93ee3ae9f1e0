"""Ways: how one tick may come to the judgement of one check, each timed on the same buckets, in turn."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from time import process_time

import numpy as np

from crossfade.core.evidence import Bucket, Series, Summary
from crossfade.core.plan import Check, Plan, Step
from crossfade.core.split import GROUPS
from crossfade.core.verdict import Judgement
from crossfade.stats.carried import Carried, as_document, from_document, start_carried
from crossfade.stats.judge import judge, judge_carried

KEYED = "error_rate, each call with a key"
EVIDENCE = {
    "error_rate": Check(metric="error_rate", margin=0.5),
    KEYED: Check(metric="error_rate", margin=0.5),
    "score.accuracy": Check(metric="score.accuracy", margin=1),
}
"""A check of losses of 0 or 1, without keys and with a key on each call, and one of losses between."""
ANEW = "all buckets anew"
TICKS_A_ROUND = 10
CALLS_PER_BUCKET = 100
WEIGHT = 0.25
BAD = 0.02
"""Both variants' mean loss."""


@dataclass(frozen=True, kw_only=True)
class Timed:
    """The median of one way, in milliseconds of the processor and as a share of what all buckets anew take.

    `most` is the target in milliseconds, None without one.
    """

    way: str
    milliseconds: float
    share: float
    most: float | None


def measure(evidence: str, *, buckets: int, rounds: int, seed: int) -> list[Timed]:
    """Every way, on a rollout with so many buckets behind it, when one more is sealed.

    Processor time, as nothing here waits; and all ways in turn: so what else the machine does counts little.
    """
    check = EVIDENCE[evidence]
    drawn = made(np.random.default_rng(seed), buckets + rounds * TICKS_A_ROUND, binary=not check.is_score)
    if evidence == KEYED:
        drawn = [with_keys(np.random.default_rng(seed + bucket.start), bucket) for bucket in drawn]
    past, new = drawn[:buckets], drawn[buckets:]
    ways = ways_of(check, past)
    times: dict[str, list[float]] = {way: [] for way in ways}
    for position, bucket in enumerate(new):
        for way, (evaluate, _) in ways.items():
            if way != ANEW or position % TICKS_A_ROUND == 0:
                begun = process_time()
                evaluate(bucket)
                times[way].append((process_time() - begun) * 1e3)
    anew = median(times[ANEW])
    return [
        Timed(way=way, milliseconds=median(times[way]), share=median(times[way]) / anew, most=most)
        for way, (_, most) in ways.items()
    ]


def ways_of(check: Check, past: list[Bucket]) -> dict[str, tuple[Callable[[Bucket], Judgement], float | None]]:
    """Each way, and how many milliseconds it may take at most."""
    plan = Plan(steps=(Step(weight=WEIGHT * 100),), checks=(check,))
    history = Summary(10_000, 10_000 * BAD, 10_000 * BAD if not check.is_score else 10_000 * BAD / 2)
    fresh = start_carried(check, check.gate_margin(plan.gate_weight(0)), 0, history)
    carried = fresh.after(past)
    bare = Carried(state=replace(carried.state, bounds=None), pending=carried.pending)
    kept = json.dumps(as_document(carried))

    def from_kept(bucket: Bucket) -> Judgement:
        found = from_document(json.loads(kept), fresh).after([bucket])
        json.dumps(as_document(found))
        return judge_carried(plan, [found], step=0)

    return {
        ANEW: (lambda bucket: judge(plan, [Series(check.metric, (*past, bucket), history)], step=0), None),
        "carried, without the interval": (lambda bucket: judge_carried(plan, [bare.after([bucket])], step=0), 2.0),
        "carried": (lambda bucket: judge_carried(plan, [carried.after([bucket])], step=0), 10.0),
        "carried, read from and written to JSON": (from_kept, 10.0),
    }


def with_keys(rng: np.random.Generator, bucket: Bucket) -> Bucket:
    """The same calls, each in one of the groups of keys."""

    def spread(whole: Summary) -> dict[int, Summary]:
        bad, good = (rng.multinomial(k, [1 / GROUPS] * GROUPS) for k in (int(whole.s), int(whole.n - whole.s)))
        counts = zip(range(GROUPS), (bad + good).tolist(), bad.tolist(), strict=True)
        return {group: Summary(n, s, s) for group, n, s in counts if n}

    return replace(bucket, blue_groups=spread(bucket.blue), green_groups=spread(bucket.green))


def made(rng: np.random.Generator, count: int, *, binary: bool) -> list[Bucket]:
    """Buckets of two equal Models: bad calls, or losses spread evenly from 0 to twice their mean."""

    def summary(n: int) -> Summary:
        if binary:
            bad = int(rng.binomial(n, BAD))
            return Summary(n, bad, bad)
        losses = rng.uniform(0, 2 * BAD, n)
        return Summary(n, float(losses.sum()), float((losses * losses).sum()))

    n_g = rng.binomial(CALLS_PER_BUCKET, WEIGHT, count).tolist()
    return [Bucket(10 * t, 0, summary(CALLS_PER_BUCKET - n), summary(n)) for t, n in enumerate(n_g)]
