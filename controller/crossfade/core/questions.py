"""Questions: the order in which a decision was come to, with the numbers each question was answered from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from crossfade.core.decision import Act, Conditions, Decision, Reason, decide
from crossfade.core.phase import Phase
from crossfade.core.plan import Breach
from crossfade.core.sentence import duration, metric_name, percent, points
from crossfade.core.verdict import SAMPLE_RATIO, Ruling, Split, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`numbers` say what the answer rests on; `stopped` is true of the last one asked, which decided."""

    question: str
    numbers: str
    answer: str
    stopped: bool


class _Asked(NamedTuple):
    """A question in `decide`: where it stops, and the answer with which it goes on."""

    stops_at: str
    question: str
    numbers: str
    goes_on: str


_PAUSED, _PAUSE_BREACH, _OPEN = "paused", "pause_breach", "open"


def questions(decision: Decision) -> tuple[Question, ...]:
    """What `decide` asked, in its order, up to the question that decided."""
    stop = _stop(decision)
    found = []
    for asked in (*_first(decision), *_holding(decision), _last(decision)):
        stopped = asked.stops_at == stop
        answer = {"yes": "no", "no": "yes"}.get(asked.goes_on, asked.goes_on) if stopped else asked.goes_on
        found.append(Question(question=asked.question, numbers=asked.numbers, answer=answer, stopped=stopped))
        if stopped:
            break
    return tuple(found)


def _stop(decision: Decision) -> str:
    match decision.act, decision.reason:
        case (Act.HOLD, Reason.NOT_RUNNING) if decision.rollout.phase is Phase.PAUSED:
            return _PAUSED
        case (Act.PAUSE, Reason.CHECK_FAILED):
            return _PAUSE_BREACH
        case (Act.ADVANCE | Act.PROMOTE, _):
            return _OPEN
        case (_, reason):
            return reason


def _first(decision: Decision) -> list[_Asked]:
    rollout, judgement, conditions = decision.rollout, decision.judgement, decision.conditions
    worse = _each(judgement.verdicts, lambda v: _of(v.log_e_worse, v.log_e_worse_needed))
    together = _of(judgement.log_e_worse, judgement.log_e_worse_needed)
    pausing = tuple(v for v in judgement.verdicts if v.check.on_breach is Breach.PAUSE)
    attempts = f"{conditions.misconfigured:,} of {conditions.attempts:,} recent attempts"
    return [
        _Asked(Reason.NOT_RUNNING, "Is it running or paused?", f"it is {rollout.phase.said}", "yes"),
        _Asked(Reason.CHECK_FAILED, "Has a check failed that rolls back?", f"{worse}; all together {together}", "no"),
        _Asked(_PAUSED, "Is it paused?", f"it is {rollout.phase.said}", "no"),
        _Asked(
            Reason.SAMPLE_RATIO,
            "Does a wrong split of the calls ask for a person?",
            _share(judgement.split, accepted=SAMPLE_RATIO in rollout.accepted),
            "no",
        ),
        _Asked(
            _PAUSE_BREACH,
            "Has a check failed that asks for a person?",
            _each(pausing, lambda v: _failed(v, rollout.accepted)) if pausing else "no check does",
            "no",
        ),
        _Asked(Reason.MISCONFIGURED, "Do most of green's attempts find no Model or no access?", attempts, "no"),
    ]


def _holding(decision: Decision) -> list[_Asked]:
    """What holds a rollout; held for too long, the question of time comes after the one that held."""
    rollout, plan, conditions = decision.rollout, decision.rollout.plan, decision.conditions
    gating, step = decision.judgement.gating, decision.rollout.plan.steps[decision.rollout.step]
    calls = f"{conditions.calls:,} calls, {conditions.green_calls:,} of them on green"
    left = f"{duration(decision.remaining)} of {duration(step.bake)} left" if decision.remaining else "none is left"
    throttled = f"{percent(conditions.throttled, 1)} of its recent attempts; at most {percent(plan.most_throttled, 1)}"
    gates = _each(gating, lambda v: f"within {points(v.gate_margin)} {_of(v.log_e_gate, v.log_e_gate_needed)}")
    held = [
        _Asked(Reason.NO_TRAFFIC, "Has this step had calls?", calls, "yes"),
        _Asked(
            Reason.NO_DATA, "Is anything in for every gating check?", _each(gating, partial(_in, conditions)), "yes"
        ),
        _Asked(Reason.NOT_MATURE, "Is some of it mature, of both variants?", _each(gating, _mature), "yes"),
        _Asked(
            Reason.TOO_FEW,
            "Are there enough buckets and green calls?",
            f"{_each(gating, _counts)}; at least {plan.least_buckets:,} and {plan.least_green_calls:,}",
            "yes",
        ),
        _Asked(Reason.BAKING, "Is the bake time over?", left, "yes"),
        _Asked(Reason.THROTTLED, "Is green throttled?", throttled, "no"),
        _Asked(Reason.BOTH_DEGRADED, "Is blue itself worse than it was?", _each(gating, _degraded), "no"),
        _Asked(Reason.INCONCLUSIVE, "Has every gating check passed its gate?", gates, "yes"),
        _Asked(Reason.APPROVAL, "Does a person open this gate?", "yes" if step.approve else "no", "no"),
    ]
    if decision.reason is not Reason.TIME_LIMIT:
        return held
    patient = replace(rollout, plan=replace(plan, time_limit=None))
    held_by = decide(patient, decision.judgement, conditions, decision.at).reason
    place = next(place for place, asked in enumerate(held) if asked.stops_at == held_by)
    limit = f"{duration(plan.time_limit or 0)}; it is held by the question before"
    held[place] = held[place]._replace(goes_on="yes" if held[place].goes_on == "no" else "no")
    return [*held[: place + 1], _Asked(Reason.TIME_LIMIT, "Has it been held beyond the time limit?", limit, "no")]


def _last(decision: Decision) -> _Asked:
    plan, step = decision.rollout.plan, decision.rollout.step
    after = "promotion" if plan.is_last(step) else f"advance to {plan.gate_weight(step):g} %"
    return _Asked(_OPEN, "What comes after this step?", f"step {step + 1} of {len(plan.steps)} is passed", after)


def _each(verdicts: tuple[Verdict, ...], say: Callable[[Verdict], str]) -> str:
    return "; ".join(f"{metric_name(v.check.metric)}: {say(v)}" for v in verdicts) or "no check gates"


def _of(log_e: float, needed: float) -> str:
    return f"log E {log_e:z.3f} of {needed:.3f}"


def _mature(verdict: Verdict) -> str:
    return f"{verdict.step_blue.n:,} calls of blue and {verdict.step_green.n:,} of green in this step"


def _in(conditions: Conditions, verdict: Verdict) -> str:
    waiting = conditions.waiting.get(verdict.check.metric, 0)
    return _mature(verdict) if verdict.has_both else f"{waiting:,} of green's wait to be judged"


def _counts(verdict: Verdict) -> str:
    return f"{verdict.step_buckets:,} buckets, {verdict.step_green.n:,} green calls"


def _degraded(verdict: Verdict) -> str:
    return "worse of late" if verdict.degraded else "as it was"


def _failed(verdict: Verdict, accepted: tuple[str, ...]) -> str:
    failed = "failed" if verdict.ruling is Ruling.FAILED else "not failed"
    return f"{failed}, accepted by a person" if verdict.check.metric in accepted else failed


def _share(split: Split | None, *, accepted: bool) -> str:
    if split is None or not split.calls:
        return "no call was split by chance yet"
    text = (
        f"green got {split.green:,} of {split.calls:,} calls, {split.expected:,.1f} expected:"
        f" {_of(split.log_e, split.log_e_needed)}"
    )
    return f"{text}, accepted by a person" if split.alarmed and accepted else text
