"""Judge: a plan and the evidence on its checks to a judgement. Pure: no clock, no random numbers, no database."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log

from crossfade.core.evidence import Series
from crossfade.core.plan import Check, Plan, Step
from crossfade.core.verdict import Judgement, Ruling, Verdict
from crossfade.stats.carried import Carried, start_carried
from crossfade.stats.combine import failing, log_mean_e
from crossfade.stats.estimate import estimate, standard_error
from crossfade.stats.figures import Figures, figures
from crossfade.stats.interval import interval
from crossfade.stats.needed import MOST_CALLS, calls_needed, growth_of, shrunk
from crossfade.stats.paired import paired_growth
from crossfade.stats.worse import LEAST_RISES


def judge(plan: Plan, series: Sequence[Series], *, step: int) -> Judgement:
    """What the evidence says of every check at `step`, in the plan's order.

    `series` are matched by metric, their buckets sealed and in time order, everything in losses; a check without
    one has no data.
    """
    by_metric = {one.metric: one for one in series}
    return judge_carried(
        plan, [_folded(plan, check, by_metric.get(check.metric), step) for check in plan.checks], step=step
    )


def _folded(plan: Plan, check: Check, series: Series | None, step: int) -> Carried:
    series = series or Series(check.metric)
    return start_carried(check, check.gate_margin(plan.gate_weight(step)), step, series.history).after(series.buckets)


def judge_carried(plan: Plan, carried: Sequence[Carried], *, step: int) -> Judgement:
    """The same from what was carried forward to `step`, one for each check in the plan's order."""
    return judge_figures(plan, [figures(each.state)[0] for each in carried], step=step)


def judge_figures(plan: Plan, found: Sequence[Figures], *, step: int, forecast: bool = True) -> Judgement:
    """The same from plain numbers, one for each check in the plan's order.

    Without `forecast` the calls still needed are left out: people read them, no decision does.
    """
    shares = plan.shares
    log_e = [_stopped(one, log(1 / (share * plan.alpha))) for one, share in zip(found, shares, strict=True)]
    failed = failing(log_e, shares, [one.rises >= LEAST_RISES for one in found], plan.alpha)
    here = plan.steps[step] if forecast else None
    verdicts = tuple(
        _verdict(plan, check, one, share=share, log_e_worse=worse, failed=fails, here=here)
        for check, one, share, worse, fails in zip(plan.checks, found, shares, log_e, failed, strict=True)
    )
    return Judgement(
        verdicts=verdicts,
        log_e_worse=log_mean_e(log_e, shares),
        log_e_worse_needed=log(1 / plan.alpha),
    )


def _stopped(found: Figures, needed: float) -> float:
    """The roll-back evidence; once over its threshold it stays at its peak, so that no look can miss a crossing."""
    return found.peak if found.peak >= needed else found.log_e_worse


def _verdict(
    plan: Plan, check: Check, found: Figures, *, share: float, log_e_worse: float, failed: bool, here: Step | None
) -> Verdict:
    worse_needed, gate_needed = log(1 / (share * plan.alpha)), log(1 / plan.beta)
    ruling = _ruling(found, failed=failed, gate_needed=gate_needed)
    lower, upper = (
        (None, None)
        if found.bounds is None
        else interval(
            found.bounds,
            found.margin,
            level_over=worse_needed,
            level_under=gate_needed,
            ruling=ruling,
            gate_margin=found.gate_margin,
            trust=found.trust,
        )
    )
    needed, worth = (None, None) if here is None else _calls_needed(found, gate_needed, here)
    return Verdict(
        check=check,
        ruling=ruling,
        blue=found.blue,
        green=found.green,
        step_blue=found.step_blue,
        step_green=found.step_green,
        estimate=estimate(found.stratified),
        lower=lower,
        upper=upper,
        gate_margin=found.gate_margin,
        log_e_worse=log_e_worse,
        log_e_worse_needed=worse_needed,
        log_e_gate=found.log_e_gate,
        log_e_gate_needed=gate_needed,
        calls_needed=needed,
        worth=worth,
        overdispersion=found.phi,
        degraded=found.log_e_degraded >= log(1 / plan.alpha),
        buckets=found.buckets,
        step_buckets=found.step_buckets,
    )


def _ruling(found: Figures, *, failed: bool, gate_needed: float) -> Ruling:
    if failed:
        return Ruling.FAILED
    if not found.step_buckets:
        return Ruling.NO_DATA
    return Ruling.PASSED if found.log_e_gate >= gate_needed else Ruling.INCONCLUSIVE


def _calls_needed(found: Figures, level: float, here: Step) -> tuple[int | None, int | None]:
    """(`Verdict.calls_needed`, `Verdict.worth`)."""
    difference = estimate(found.stratified)
    error = standard_error(found.stratified, found.blue, found.green, found.phi)
    if difference is None or error is None:
        if not found.base_known:
            return None, None
        # Before the first bucket blue's history alone says what it takes, if green is its equal.
        difference, error = 0.0, 0.0
    likely = shrunk(difference, error, found.margin)
    if here.shadow:
        return pairs_needed(found, likely, level, here.shadow / 100), None
    growth = growth_of(found.step_together, found.step_blue.n + found.step_green.n)
    calls = calls_needed(
        p_b=found.base_mean,
        difference=likely,
        variance=found.base_variance,
        d=found.gate_margin,
        weight=here.weight / 100,
        log_e=found.log_e_gate,
        level=level,
        phi=found.phi,
        binary=found.binary,
        growth=growth,
    )
    return calls, round(1 / growth) if calls is None and growth > 0 and likely < found.gate_margin else None


def pairs_needed(found: Figures, difference: float, level: float, share: float) -> int | None:
    """Further calls of the route, of which a `share` is copied, until the pairs should open the gate; None as in
    `stats.needed.calls_needed`."""
    if difference >= found.gate_margin:
        return None
    if found.log_e_gate >= level:
        return 0
    growth = paired_growth(found.discordance, difference, found.gate_margin) / found.phi
    return MOST_CALLS if growth <= 0 else ceil(min(MOST_CALLS, (level - found.log_e_gate) / growth / share))
