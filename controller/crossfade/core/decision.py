"""Decision: of one rollout, at one look. Evidence in, decision out; no clock, database or randomness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from crossfade.core.phase import Phase, Verb
from crossfade.core.plan import Breach
from crossfade.core.rollout import Rollout
from crossfade.core.verdict import SAMPLE_RATIO, Judgement, Ruling, Verdict


class Act(StrEnum):
    """What the controller does."""

    HOLD = "hold"
    ADVANCE = "advance"
    PROMOTE = "promote"
    ROLL_BACK = "roll_back"
    PAUSE = "pause"


class Reason(StrEnum):
    """Why. In words and numbers it is `core.sentence`."""

    NOT_RUNNING = "not_running"
    CHECK_FAILED = "check_failed"
    SAMPLE_RATIO = "sample_ratio"
    MISCONFIGURED = "misconfigured"
    NO_TRAFFIC = "no_traffic"
    NO_DATA = "no_data"
    NOT_MATURE = "not_mature"
    TOO_FEW = "too_few"
    BAKING = "baking"
    THROTTLED = "throttled"
    BOTH_DEGRADED = "both_degraded"
    INCONCLUSIVE = "inconclusive"
    APPROVAL = "approval"
    TIME_LIMIT = "time_limit"
    GATE_PASSED = "gate_passed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What decide must know besides the verdicts. Counts are of the step under way.

    `traffic` is the route's calls a second of late; `throttled` the share of green's recent attempts that met
    throttling; `misconfigured` green's recent attempts that met a missing model or a refusal of access since the
    rollout last began to run, out of `attempts`. `waiting` has, by gating metric that has nothing to judge,
    green's calls (or scores) that are in and whose bucket is not sealed yet; only where there are any. Of the whole
    rollout `copies` counts green's copies of calls at a shadow step, and `copies_cost` what they cost in US dollars,
    None while that is not known of any that was answered.
    """

    calls: int = 0
    green_calls: int = 0
    traffic: float = 0.0
    throttled: float = 0.0
    misconfigured: int = 0
    attempts: int = 0
    waiting: Mapping[str, int] = field(default_factory=dict)
    copies: int = 0
    copies_cost: float | None = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do with a rollout, and everything it rests on. `failed` is the check that decided, if one did."""

    act: Act
    reason: Reason
    at: datetime
    rollout: Rollout
    judgement: Judgement
    conditions: Conditions = field(default_factory=Conditions)
    failed: Verdict | None = None
    told: tuple[str, ...] = ()
    """Metrics whose breach is only told, or was accepted."""
    remaining: float = 0.0
    """Seconds of bake time left."""
    time_left: float | None = None
    """Seconds until the plan's time limit, or None without one."""


MOST_MISCONFIGURED = 0.5
LEAST_ATTEMPTS = 5
_VERBS = {
    Act.ADVANCE: Verb.ADVANCE,
    Act.PROMOTE: Verb.PROMOTE,
    Act.ROLL_BACK: Verb.ROLL_BACK,
    Act.PAUSE: Verb.PAUSE,
}


def decide(rollout: Rollout, judgement: Judgement, conditions: Conditions, now: datetime) -> Decision:
    """The decision, in one written order, the gravest first.

    Not running · roll back · (paused: hold) · pause for a wrong split · pause for a breach · pause for configuration ·
    time limit · no traffic · no data · not mature · too few · baking · throttled · both degraded · inconclusive ·
    approval · advance or promote. A paused rollout is still protected: what rolls back rolls back. A wrong split makes
    every comparison doubtful, so it stands before all that rests on one; only a roll back, which does no harm, goes
    before it.
    """

    def decision(act: Act, reason: Reason, failed: Verdict | None = None) -> Decision:
        return Decision(
            act=act,
            reason=reason,
            at=now,
            rollout=rollout,
            judgement=judgement,
            conditions=conditions,
            failed=failed,
            told=tuple(v.check.metric for v in judgement.verdicts if v.ruling is Ruling.FAILED),
            remaining=_bake_left(rollout, now),
            time_left=_time_left(rollout, now),
        )

    if rollout.phase not in (Phase.PROGRESSING, Phase.PAUSED):
        return decision(Act.HOLD, Reason.NOT_RUNNING)
    breach = _breach(judgement, Breach.ROLL_BACK)
    if breach:
        return decision(Act.ROLL_BACK, Reason.CHECK_FAILED, breach)
    if rollout.phase is Phase.PAUSED:
        return decision(Act.HOLD, Reason.NOT_RUNNING)
    if judgement.split_is_wrong and SAMPLE_RATIO not in rollout.accepted:
        return decision(Act.PAUSE, Reason.SAMPLE_RATIO)
    breach = _breach(judgement, Breach.PAUSE, rollout.accepted)
    if breach:
        return decision(Act.PAUSE, Reason.CHECK_FAILED, breach)
    if _is_misconfigured(conditions):
        return decision(Act.PAUSE, Reason.MISCONFIGURED)
    holding = _holding(rollout, judgement, conditions, now)
    if holding and _is_out_of_time(rollout, now):
        return decision(Act.PAUSE, Reason.TIME_LIMIT)
    if holding:
        return decision(Act.HOLD, holding)
    if rollout.plan.is_last(rollout.step):
        return decision(Act.PROMOTE, Reason.GATE_PASSED)
    return decision(Act.ADVANCE, Reason.GATE_PASSED)


def apply(decision: Decision) -> Rollout:
    """The rollout after the decision; itself, unchanged, on hold."""
    verb = _VERBS.get(decision.act)
    return decision.rollout.moved(verb, decision.at) if verb else decision.rollout


def is_news(decision: Decision, act: str | None, reason: str | None) -> bool:
    """Whether the journal gets it: whatever is done, and the first of holds for the same reason.

    `act` and `reason` are of the last decision, None after a person's act. A paused rollout keeps the one that it was
    paused for.
    """
    if decision.act is not Act.HOLD:
        return True
    return decision.rollout.phase is not Phase.PAUSED and (decision.act, decision.reason) != (act, reason)


def _breach(judgement: Judgement, breach: Breach, accepted: tuple[str, ...] = ()) -> Verdict | None:
    """The failed check that does `breach`, the one with the most evidence if several do."""
    failed = [
        verdict
        for verdict in judgement.verdicts
        if verdict.ruling is Ruling.FAILED
        and verdict.check.on_breach is breach
        and verdict.check.metric not in accepted
    ]
    return max(failed, key=lambda verdict: verdict.log_e_worse, default=None)


def _is_misconfigured(conditions: Conditions) -> bool:
    return conditions.attempts >= LEAST_ATTEMPTS and conditions.misconfigured > MOST_MISCONFIGURED * conditions.attempts


def _holding(rollout: Rollout, judgement: Judgement, conditions: Conditions, now: datetime) -> Reason | None:
    """Why the rollout stays where it is, or None when the gate is open."""
    plan = rollout.plan
    if not conditions.calls:
        return Reason.NO_TRAFFIC
    gating = judgement.gating
    lacking = judgement.lacking
    if not gating or any(not conditions.waiting.get(verdict.check.metric) for verdict in lacking):
        return Reason.NO_DATA
    if lacking:
        return Reason.NOT_MATURE
    if any(
        verdict.ruling is Ruling.NO_DATA
        or verdict.step_buckets < plan.least_buckets
        or verdict.step_green.n < plan.least_green_calls
        for verdict in gating
    ):
        return Reason.TOO_FEW
    if _bake_left(rollout, now) > 0:
        return Reason.BAKING
    if conditions.throttled > plan.most_throttled:
        return Reason.THROTTLED
    if any(verdict.degraded and verdict.ruling is not Ruling.FAILED for verdict in gating):
        return Reason.BOTH_DEGRADED
    if not all(verdict.gate_passed for verdict in gating):
        return Reason.INCONCLUSIVE
    return Reason.APPROVAL if plan.steps[rollout.step].approve else None


def _bake_left(rollout: Rollout, now: datetime) -> float:
    if rollout.step_started_at is None or not rollout.is_live:
        return 0.0
    spent = (now - rollout.step_started_at).total_seconds()
    return max(0.0, rollout.plan.steps[rollout.step].bake - spent)


def _time_left(rollout: Rollout, now: datetime) -> float | None:
    limit = rollout.plan.time_limit
    if limit is None or rollout.resumed_at is None:
        return None
    return limit - (now - rollout.resumed_at).total_seconds()


def _is_out_of_time(rollout: Rollout, now: datetime) -> bool:
    left = _time_left(rollout, now)
    return left is not None and left < 0
