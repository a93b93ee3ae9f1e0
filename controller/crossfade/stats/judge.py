"""Judge: a plan and the evidence on its checks to a judgement. Pure: no clock, no random numbers, no database."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

from crossfade.core.evidence import Series
from crossfade.core.plan import Check, Plan
from crossfade.core.verdict import Judgement, Ruling, Verdict
from crossfade.stats.combine import equal_shares, failing, log_mean_e
from crossfade.stats.interval import interval
from crossfade.stats.needed import calls_needed, shrunk
from crossfade.stats.state import Setting, State, start_state
from crossfade.stats.worse import LEAST_RISES


def judge(plan: Plan, series: Sequence[Series], *, step: int, weight: float | None = None) -> Judgement:
    """What the evidence says of every check at `step`, in the plan's order.

    `series` are matched by metric, their buckets sealed and in time order, everything in losses; a check without
    one has no data. `weight` is green's weight in percent, for the calls still needed; the step's when left out.
    """
    by_metric = {one.metric: one for one in series}
    states = [
        _fold(check, plan.gate_weight(step), by_metric.get(check.metric, Series(check.metric)), step)
        for check in plan.checks
    ]
    return judge_states(plan, states, weight=plan.steps[step].weight if weight is None else weight)


def _fold(check: Check, gate_weight: float, series: Series, step: int) -> State:
    setting = Setting(margin=check.loss_margin, gate_margin=check.gate_margin(gate_weight), step=step)
    return start_state(setting, series.history).after(series.buckets)


def judge_states(plan: Plan, states: Sequence[State], *, weight: float) -> Judgement:
    """The same from states carried forward, one for each check in the plan's order."""
    shares = equal_shares(len(plan.checks))
    log_e = [_stopped(state, log(1 / (share * plan.alpha))) for state, share in zip(states, shares, strict=True)]
    failed = failing(log_e, shares, [state.worse.rises >= LEAST_RISES for state in states], plan.alpha)
    verdicts = tuple(
        _verdict(plan, check, state, share=share, log_e_worse=worse, failed=fails, weight=weight)
        for check, state, share, worse, fails in zip(plan.checks, states, shares, log_e, failed, strict=True)
    )
    return Judgement(
        verdicts=verdicts,
        log_e_worse=log_mean_e(log_e, shares),
        log_e_worse_needed=log(1 / plan.alpha),
    )


def _stopped(state: State, needed: float) -> float:
    """The roll-back evidence; once over its threshold it stays at its peak, so that no look can miss a crossing."""
    return state.worse.peak if state.worse.peak >= needed else state.worse.log_e


def _verdict(
    plan: Plan, check: Check, state: State, *, share: float, log_e_worse: float, failed: bool, weight: float
) -> Verdict:
    worse_needed, gate_needed = log(1 / (share * plan.alpha)), log(1 / plan.beta)
    ruling = _ruling(state, failed=failed, gate_needed=gate_needed)
    lower, upper = interval(
        state.bounds,
        state.setting.margin,
        level_over=worse_needed,
        level_under=gate_needed,
        ruling=ruling,
        gate_margin=state.setting.gate_margin,
    )
    return Verdict(
        check=check,
        ruling=ruling,
        blue=state.blue,
        green=state.green,
        step_blue=state.step_blue,
        step_green=state.step_green,
        estimate=state.stratified.estimate,
        lower=lower,
        upper=upper,
        gate_margin=state.setting.gate_margin,
        log_e_worse=log_e_worse,
        log_e_worse_needed=worse_needed,
        log_e_gate=state.gate.log_e,
        log_e_gate_needed=gate_needed,
        calls_needed=_calls_needed(state, gate_needed, weight),
        overdispersion=state.dispersion.phi,
        buckets=state.buckets,
        step_buckets=state.step_buckets,
    )


def _ruling(state: State, *, failed: bool, gate_needed: float) -> Ruling:
    if failed:
        return Ruling.FAILED
    if not state.step_buckets:
        return Ruling.NO_DATA
    return Ruling.PASSED if state.gate.log_e >= gate_needed else Ruling.INCONCLUSIVE


def _calls_needed(state: State, level: float, weight: float) -> int | None:
    estimate = state.stratified.estimate
    error = state.stratified.standard_error(state.blue, state.green, state.dispersion.phi)
    if estimate is None or error is None:
        if not state.base.n:
            return None
        # Before the first bucket blue's history alone says what it takes, if green is its equal.
        estimate, error = 0.0, 0.0
    return calls_needed(
        p_b=state.base.mean,
        difference=shrunk(estimate, error, state.setting.margin),
        variance=state.base.variance,
        d=state.setting.gate_margin,
        weight=weight / 100,
        log_e=state.gate.log_e,
        level=level,
        phi=state.dispersion.phi,
        binary=state.binary,
    )
