"""Ours: Crossfade's own judge. Its code decides here, not a copy of its formulas.

This module is the only one of the benchmark that touches Crossfade's statistics: `decide` gives the ends of all runs,
`interval_path` what one run's page would have shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np

from benchmarks.rules.calls import BASE, CALLS_PER_LOOK, MARGIN, Calls, Floats
from benchmarks.rules.rule import ALPHA, NEVER, Ends, Rule
from crossfade.core.evidence import Bucket, Summary
from crossfade.core.verdict import Ruling
from crossfade.stats.base_rate import start_base_rate
from crossfade.stats.columns import Columns, merge, to_columns
from crossfade.stats.gate import log_e_gate, start_gate
from crossfade.stats.interval import interval, start_bounds
from crossfade.stats.overdispersion import start_dispersion
from crossfade.stats.worse import log_e_worse, start_worse

BETA = 0.05
HISTORY = Summary(10_000, 10_000 * BASE, 10_000 * BASE)
LEAST_BUCKETS, LEAST_GREEN = 6, 30
BLOCK = 100


def decide(calls: Calls) -> Ends:
    """Both processes at the full margin, as at the last step before promotion: the gate at 0.5 points."""
    ends = [_judge_run(*_buckets(calls, run)) for run in range(calls.runs)]
    rolled_back, promoted = (np.array(each, dtype=float) * CALLS_PER_LOOK for each in zip(*ends, strict=True))
    return Ends(rolled_back=rolled_back, promoted=promoted)


def _buckets(calls: Calls, run: int) -> tuple[Columns, Floats]:
    """The run's buckets as the judge counts them, and the look that each ends with."""
    n_g, s_g, n_b, s_b = (each[run].tolist() for each in (calls.n_g, calls.s_g, calls.n_b, calls.s_b))
    made = [
        Bucket(look, 0, Summary(nb, sb, sb), Summary(ng, sg, sg))
        for look, (ng, sg, nb, sb) in enumerate(zip(n_g, s_g, n_b, s_b, strict=True))
    ]
    judged, filling = merge((), made)
    ends = [bucket.start for bucket in judged[1:]] + [filling[0].start if filling else calls.looks]
    return to_columns(judged), np.array(ends, dtype=float)


def _judge_run(columns: Columns, looks: Floats) -> tuple[float, float]:
    """The looks at which the run is rolled back and passes the gate."""
    base, dispersion, worse, gate = start_base_rate(HISTORY), start_dispersion(), start_worse(), start_gate()
    rolled_back = promoted = NEVER
    for begin in range(0, len(columns), BLOCK):
        block = columns.part(slice(begin, begin + BLOCK))
        a, variance, base = base.after(block)
        phi, soon, dispersion = dispersion.after(block)
        if promoted == NEVER:
            at_gate = log_e_gate(block, a, variance, phi, MARGIN, True)
            along = gate.along(at_gate, np.ones(len(block), dtype=np.bool_), phi, soon)
            counted = np.arange(begin + 1, begin + len(block) + 1)
            enough = (counted >= LEAST_BUCKETS) & (np.cumsum(columns.n_g)[begin : begin + BLOCK] >= LEAST_GREEN)
            passes = enough & (along.log_e >= log(1 / BETA))
            promoted = looks[begin + int(np.argmax(passes))] if passes.any() else NEVER
            gate = along.end
        log_e = log_e_worse(block, a, variance, MARGIN, True)
        after = worse.after(log_e, phi, soon)
        if after.peak >= log(1 / ALPHA):
            for one in range(len(block)):
                here = slice(one, one + 1)
                worse = worse.after(log_e[here], phi[here], soon[here])
                if worse.peak >= log(1 / ALPHA):
                    rolled_back = looks[begin + one]
                    break
            break
        worse = after
    return rolled_back, promoted


@dataclass(frozen=True, kw_only=True, eq=False)
class Path:
    """The interval of one run after each of some looks; ends are nan while nothing is rejected on their side.

    `decision` is what the run came to, in words.
    """

    decision: str
    calls: Floats
    estimate: Floats
    lower: Floats
    upper: Floats


def interval_path(calls: Calls, run: int, *, every: int = 10) -> Path:
    """What the rollout's page would have shown: estimate and interval, every so many looks until a decision."""
    columns, looks = _buckets(calls, run)
    rolled_back, promoted = _judge_run(columns, looks)
    base, dispersion, bounds = start_base_rate(HISTORY), start_dispersion(), start_bounds(MARGIN)
    rows = []
    for begin in range(0, len(columns), every):
        part = columns.part(slice(begin, begin + every))
        a, variance, base = base.after(part)
        phi, _, dispersion = dispersion.after(part)
        bounds = bounds.after(part, a, variance, phi, MARGIN, True)
        look = looks[min(begin + every, len(columns)) - 1]
        decided = look >= min(rolled_back, promoted)
        ruling = Ruling.INCONCLUSIVE
        if decided:
            ruling = Ruling.FAILED if rolled_back <= promoted else Ruling.PASSED
        level = log(1 / ALPHA)
        lower, upper = interval(
            bounds, MARGIN, level_over=level, level_under=log(1 / BETA), ruling=ruling, gate_margin=MARGIN
        )
        seen = columns.part(slice(0, begin + every))
        estimate = seen.s_g.sum() / seen.n_g.sum() - seen.s_b.sum() / seen.n_b.sum()
        rows.append(
            (look * CALLS_PER_LOOK, estimate, np.nan if lower is None else lower, np.nan if upper is None else upper)
        )
        if decided:
            break
    at, estimate, lower, upper = np.array(rows).T
    return Path(decision=_decision(rolled_back, promoted), calls=at, estimate=estimate, lower=lower, upper=upper)


def _decision(rolled_back: float, promoted: float) -> str:
    if rolled_back == promoted == NEVER:
        return "undecided"
    return "rolled back" if rolled_back <= promoted else "promoted"


RULE = Rule(name="Crossfade", promotes="passes the gate at the margin", decide=decide)
