"""Explanation: the arithmetic of one judgement, bucket by bucket. Every number is the judge's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossfade.core.evidence import Bucket, Pairs, Series, Summary
from crossfade.core.plan import Check, Plan
from crossfade.core.verdict import Judgement, Verdict
from crossfade.stats.carried import Carried, start_carried
from crossfade.stats.columns import Floats
from crossfade.stats.estimate import standard_error
from crossfade.stats.figures import figures
from crossfade.stats.gate import gate_bets, paired_gate_bets
from crossfade.stats.interval import grid
from crossfade.stats.judge import judge_carried
from crossfade.stats.mixture import (
    GATE_WEIGHTS,
    WORSE_MARGINS,
    WORSE_WEIGHTS,
    gate_alternatives,
    log_sum,
    worse_alternatives,
)
from crossfade.stats.paired import is_paired
from crossfade.stats.state import Worked
from crossfade.stats.worse import BLOCKS, CAP, LEAST_RISES, RESTARTS

Numbers = tuple[float, ...]
MOST_LARGEST = 5
LEAST_MOVE = 5e-5
"""Of log E: a smaller one is 0 as it is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateBets:
    """One bucket at its step's gate, one number an alternative: green's mean loss bet on, u, both bets, and log E
    after division by phi and N / (N - 1). `log_mixture` is the process after the bucket, `log_e` what of it counts with
    phi as seen then (`soon`). Both phi are those of the roll-back but for what groups of keys show: in the step alone.
    """

    phi: float
    soon: float

    alternatives: Numbers
    u: Numbers
    lambda_g: Numbers
    lambda_b: Numbers
    log_es: Numbers
    log_mixture: float
    log_e: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketArithmetic:
    """One judged bucket: merged from adjacent ones until there were calls enough. Differences are green's minus blue's.

    `base`, `variance` and `phi` are as known before it, `phi_groups` what of phi groups of keys show. `log_es` has
    log E of each alternative of the roll-back process before cap and phi, `tempered` after both: min(log E /
    phi_groups, cap) / (phi / phi_groups). `log_mixture` is the process after the bucket, `log_blocks` what the blocks
    of a traffic with keys count (None without), `log_e` what of both counts with phi as seen then (`soon`), `gained`
    how much the mixture rose. `weight` and `difference` are the estimate's.
    """

    start: int
    step: int
    blue: Summary
    green: Summary
    base: float
    variance: float
    phi: float
    phi_groups: float
    soon: float
    alternatives: Numbers
    log_es: Numbers
    tempered: Numbers
    log_mixture: float
    log_blocks: float | None
    gained: float
    log_e: float
    rises: int
    weight: float
    difference: float
    gate: GateBets | None
    """None in a bucket of another step: it says nothing at this gate."""
    pairs: Pairs | None = None
    """In a bucket of a shadow step, whose E is prod (1 + lambda (d - d0)) over its pairs: `discordance` then has the
    means of |d| and of d^2 as known before it, and at its gate lambda_g = -lambda_b is the bet, u is 0."""
    discordance: Numbers | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorseTotals:
    """The roll-back process at the end: `log_masses` is the log of weight x e-value of each alternative, and with what
    has not begun (`log_waiting`) they sum to the mixture. It counts as `log_e` = mixture x min(1, phi_used / phi_soon)
    where that is above 0; where calls have keys, as the log of (1 - blocks) x its E + blocks x that of the blocks
    (`log_blocks`). Once at `needed` it stays at its `peak`, which gives `judged`.
    """

    margins: Numbers
    weights: Numbers
    restarts: float
    cap: float
    log_masses: Numbers
    log_waiting: float
    log_mixture: float
    phi_used: float
    phi_soon: float
    blocks: float
    log_blocks: float | None
    log_e: float
    rises: int
    least_rises: int
    peak: float
    judged: float
    needed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GateTotals:
    """The gate's process at the end, of this step's buckets alone. `margin` is the null difference d. It counts as
    `log_e` = mixture x min(1, phi_used / phi_soon) where that is above 0.
    """

    margin: float
    weights: Numbers
    log_masses: Numbers
    log_mixture: float
    phi_used: float
    phi_soon: float
    log_e: float
    needed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimated:
    """The Mantel-Haenszel estimate's sums over all judged buckets, and what they give; None without a bucket."""

    sum_weight: float
    sum_weighted_difference: float
    sum_square_green: float
    sum_square_blue: float
    difference: float | None
    standard_error: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GridPoint:
    """log E of the interval's two processes at one difference, as far as it counts: against "<= d" and ">= d"."""

    difference: float
    log_e_over: float
    log_e_under: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckArithmetic:
    """One check of one judgement. Of its `judged` buckets, `buckets` are the last, all if all were asked for, and
    `largest` those that moved the roll-back evidence most, either way, the most first, and none that did not. `pending`
    is the one of this step that has too few calls yet.
    """

    check: Check
    share: float
    ruling: str
    binary: bool
    history: Summary
    base: float
    phi: float
    judged: int
    buckets: tuple[BucketArithmetic, ...]
    largest: tuple[BucketArithmetic, ...]
    pending: Bucket | None
    worse: WorseTotals
    gate: GateTotals
    estimate: Estimated
    interval: tuple[GridPoint, ...]


def explain(
    plan: Plan, series: Sequence[Series], *, step: int, last: int | None = None
) -> tuple[Judgement, tuple[CheckArithmetic, ...]]:
    """What `judge` says of the same, with the arithmetic of every check in the plan's order.

    `last` is how many of each check's buckets are shown, None for all: the totals are of all of them.
    """
    by_metric = {one.metric: one for one in series}
    found = [by_metric.get(check.metric, Series(check.metric)) for check in plan.checks]
    worked = []
    for check, one in zip(plan.checks, found, strict=True):
        start = start_carried(check, check.gate_margin(plan.gate_weight(step)), step, one.history)
        worked.append(start.worked(one.buckets))
    judgement = judge_carried(plan, [carried for _, carried, _ in worked], step=step)
    return judgement, tuple(
        _arithmetic(verdict, share, one, last, *each)
        for verdict, share, one, each in zip(judgement.verdicts, plan.shares, found, worked, strict=True)
    )


def _arithmetic(
    verdict: Verdict,
    share: float,
    series: Series,
    shown: int | None,
    judged: list[Bucket],
    carried: Carried,
    parts: list[Worked],
) -> CheckArithmetic:
    state = carried.state
    last = parts[-1] if parts else None
    tail = range(0 if shown is None else max(0, len(judged) - shown), len(judged))
    moved = np.abs(_gained(parts))
    most = np.argsort(-moved, kind="stable")[:MOST_LARGEST]
    largest = most[moved[most] > LEAST_MOVE].tolist()
    rows = _rows(judged, parts, sorted({*tail, *largest}))
    return CheckArithmetic(
        check=verdict.check,
        share=share,
        ruling=str(verdict.ruling),
        binary=state.binary,
        history=series.history,
        base=float(state.base.mean),
        phi=verdict.overdispersion,
        judged=len(judged),
        buckets=tuple(rows[place] for place in tail),
        largest=tuple(rows[place] for place in largest),
        pending=next((bucket for bucket in carried.pending if bucket.step == state.step), None),
        worse=WorseTotals(
            margins=_numbers(WORSE_MARGINS),
            weights=_numbers(WORSE_WEIGHTS),
            restarts=RESTARTS,
            cap=CAP,
            log_masses=_numbers(state.worse.log_mass),
            log_waiting=float(last.worse.log_waiting[-1]) if last else float(np.log(RESTARTS)),
            log_mixture=float(state.worse.log_mixture),
            phi_used=float(last.worse.used[-1]) if last else 1.0,
            phi_soon=float(last.soon[-1]) if last else 1.0,
            blocks=BLOCKS,
            log_blocks=_block(last.late[-1]) if last and last.late is not None else None,
            log_e=float(state.worse.log_e),
            rises=int(state.worse.rises),
            least_rises=LEAST_RISES,
            peak=float(state.worse.peak),
            judged=verdict.log_e_worse,
            needed=verdict.log_e_worse_needed,
        ),
        gate=GateTotals(
            margin=verdict.gate_margin,
            weights=_numbers(GATE_WEIGHTS),
            log_masses=_numbers(state.gate.log_mass),
            log_mixture=float(log_sum(state.gate.log_mass)),
            phi_used=float(last.gate.used[-1]) if last else 1.0,
            phi_soon=float(last.gate_soon[-1]) if last else 1.0,
            log_e=verdict.log_e_gate,
            needed=verdict.log_e_gate_needed,
        ),
        estimate=_estimated(verdict, carried),
        interval=_grid(carried),
    )


def _estimated(verdict: Verdict, carried: Carried) -> Estimated:
    (found,) = figures(carried.state)
    return Estimated(
        sum_weight=found.stratified[0],
        sum_weighted_difference=found.stratified[1],
        sum_square_green=found.stratified[2],
        sum_square_blue=found.stratified[3],
        difference=verdict.estimate,
        standard_error=standard_error(found.stratified, found.blue, found.green, found.phi),
        lower=verdict.lower,
        upper=verdict.upper,
    )


def _grid(carried: Carried) -> tuple[GridPoint, ...]:
    state = carried.state
    if state.bounds is None:
        return ()
    (found,) = figures(state)
    over, under = (found.trust * log_sum(masses) for masses in (state.bounds.over, state.bounds.under))
    columns = (grid(state.margin), over, under)
    return tuple(GridPoint(difference=d, log_e_over=over, log_e_under=under) for d, over, under in _zipped(columns))


def _gained(parts: Sequence[Worked]) -> Floats:
    """How much each judged bucket raised the mixture."""
    rises = [np.diff(part.worse.log_mixture, prepend=part.before.worse.log_mixture) for part in parts]
    return np.concatenate(rises) if rises else np.zeros(0)


def _rows(judged: Sequence[Bucket], parts: Sequence[Worked], places: Sequence[int]) -> dict[int, BucketArithmetic]:
    """The arithmetic of the buckets at these places, which rise."""
    found: dict[int, BucketArithmetic] = {}
    begin = 0
    for part in parts:
        end = begin + len(part.columns)
        here = np.array([place - begin for place in places if begin <= place < end], dtype=np.int64)
        for place, row in zip((here + begin).tolist(), _of_part(part, here), strict=True):
            bucket = judged[place]
            found[place] = BucketArithmetic(
                start=bucket.start, step=bucket.step, blue=bucket.blue, green=bucket.green, pairs=bucket.pairs, **row
            )
        begin = end
    return found


def _of_part(part: Worked, here: NDArray[np.int64]) -> list[dict[str, Any]]:
    """The fields of the arithmetic of the buckets `here`, besides the buckets themselves."""
    columns, along = part.columns.part(here), part.worse
    estimated = part.before.stratified.added(columns)
    table = {
        "base": part.a[here],
        "variance": part.variance[here],
        "phi": part.phi[here],
        "phi_groups": part.together[here],
        "soon": part.soon[here],
        "alternatives": worse_alternatives(part.a[here], part.before.margin),
        "log_es": part.log_e_worse[here],
        "tempered": along.tempered[here],
        "log_mixture": along.log_mixture[here],
        "log_blocks": _blocks(part)[here],
        "gained": _gained([part])[here],
        "log_e": along.log_e[here],
        "rises": along.rises[here].astype(np.int64),
        "weight": estimated[:, 0],
        "difference": estimated[:, 1] / estimated[:, 0],
        "discordance": _discordance(part)[here],
    }
    rows = zip(_zipped(tuple(table.values())), _gates(part, here), strict=True)
    return [dict(zip(table, row, strict=True)) | {"gate": gate} for row, gate in rows]


def _discordance(part: Worked) -> NDArray[np.object_]:
    found = np.full(len(part.columns), None, dtype=object)
    if part.discordance is not None:
        for place in np.flatnonzero(is_paired(part.columns)):
            found[place] = _numbers(part.discordance[place])
    return found


def _blocks(part: Worked) -> NDArray[np.object_]:
    late = part.late if part.late is not None else np.full(len(part.columns), -np.inf)
    return np.array([_block(each) for each in late], dtype=object)


def _block(log_e: float) -> float | None:
    return float(log_e) if log_e > -np.inf else None


def _gates(part: Worked, here: NDArray[np.int64]) -> list[GateBets | None]:
    before, columns, a = part.before, part.columns.part(here), part.a[here]
    bets = gate_bets(columns, a, part.variance[here], before.gate_margin, before.binary)
    if part.discordance is not None:
        paired = is_paired(columns)[..., None]
        bet = paired_gate_bets(a, part.discordance[here], before.gate_margin, before.binary)
        bets = replace(
            bets,
            u=np.where(paired, 0.0, bets.u),
            lambda_g=np.where(paired, bet, bets.lambda_g),
            lambda_b=np.where(paired, -bet, bets.lambda_b),
        )
    table = (
        part.gate_phi[here],
        part.gate_soon[here],
        gate_alternatives(a, before.gate_margin),
        bets.u,
        bets.lambda_g,
        bets.lambda_b,
        part.log_e_gate[here],
        part.gate.log_mixture[here],
        part.gate.log_e[here],
    )
    names = ("phi", "soon", "alternatives", "u", "lambda_g", "lambda_b", "log_es", "log_mixture", "log_e")
    rows = [GateBets(**dict(zip(names, row, strict=True))) for row in _zipped(table)]
    return [row if asked else None for row, asked in zip(rows, columns.step == before.step, strict=True)]


def _zipped(columns: Sequence[NDArray[Any]]) -> list[tuple[Any, ...]]:
    """The rows of arrays whose first axis is the same, as plain numbers and tuples of them."""
    plain = [[tuple(k) if isinstance(k, list) else k for k in column.tolist()] for column in columns]
    return list(zip(*plain, strict=True))


def _numbers(values: NDArray[Any]) -> Numbers:
    return tuple(float(value) for value in values)
