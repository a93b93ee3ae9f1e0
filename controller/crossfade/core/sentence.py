"""Sentence: a decision in words. The one text that page, CLI, API, journal and notifications show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import assert_never

from crossfade.core.amount import dollars
from crossfade.core.decision import Act, Decision, Reason
from crossfade.core.evidence import Summary
from crossfade.core.metric import DOLLARS, metric_of
from crossfade.core.phase import Phase
from crossfade.core.verdict import SAMPLE_RATIO, Ruling, Split, Verdict


def sentence(decision: Decision) -> str:
    """What is done or awaited, why, and what is missing, in numbers."""
    match decision.act:
        case Act.ROLL_BACK:
            return f"Rolled back from {_weight(decision)}: {_failure(decision)}{_copies(decision)}"
        case Act.PAUSE:
            return f"Paused at {_weight(decision)}: {_pause(decision)}{_copies(decision)}"
        case Act.ADVANCE:
            return f"Advanced from {_weight(decision)} to {_next(decision)}: {_shown(decision)}{_copies(decision)}"
        case Act.PROMOTE:
            return f"Promoted: {decision.rollout.green} now serves {decision.rollout.route}. {_shown(decision)}"
        case Act.HOLD if decision.reason is Reason.NOT_RUNNING:
            return _standing(decision)
        case Act.HOLD:
            return f"Holding at {_weight(decision)}: {_missing(decision)}{_told(decision)}{_copies(decision)}"
        case _:
            assert_never(decision.act)


def verdict_sentence(verdict: Verdict, waiting: int = 0) -> str:
    """What is known of one check, and what is missing for its gate. `waiting`: see `Conditions`, of its metric."""
    check = verdict.check
    match verdict.ruling:
        case Ruling.NO_DATA if verdict.has_both:
            of = metric_of(check.metric).of
            return (
                f"{verdict.step_blue.n:,} {of} of blue and {verdict.step_green.n:,} of green are in: too few yet to"
                f" compare by {check.said}"
            )
        case Ruling.NO_DATA:
            return _lacking([verdict], {check.metric: waiting})
        case Ruling.FAILED:
            odds = _evidence("of this check alone", verdict.log_e_worse, verdict.log_e_worse_needed)
            return f"{_compared(verdict)}; {odds}"
        case Ruling.PASSED:
            change = "a fall" if check.is_score else "a rise"
            return f"{_compared(verdict)}; {change} by {_amount(verdict, verdict.gate_margin)} is ruled out"
        case Ruling.INCONCLUSIVE:
            return f"{_compared(verdict)}; not yet decided"
        case _:
            assert_never(verdict.ruling)


def split_sentence(split: Split) -> str:
    """What green got of the calls that were split by chance, and what its weight says."""
    if not split.calls:
        return "no call was split by chance yet"
    expected = f"{split.expected:,.0f}" if split.expected >= 10 else f"{split.expected:.1f}"
    return f"green got {split.green:,} of {split.calls:,} calls where its weight says {expected} ({p_value(split.p)})"


def p_value(p: float) -> str:
    """An anytime-valid p-value: "p = 0.0004"."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"


def metric_name(metric: str, limit: float | None = None) -> str:
    """A metric as people say it: "error rate", "accuracy", "calls slower than 1.8 s"."""
    return metric_of(metric).said(limit)


def metric_value(metric: str, limit: float | None, mean: float | None) -> str:
    """What a mean loss is in the metric's own unit: "6.10 %", "$0.0123", a dash without calls."""
    known = metric_of(metric)
    if mean is not None and known.limit_unit == DOLLARS and limit is not None:
        return dollars(mean * limit)
    return percent(1 - mean if known.falls and mean is not None else mean)


def metric_count(metric: str, n: int, s: float) -> str:
    """How many calls that mean is of: "61 of 1,000", "850 scored"."""
    known = metric_of(metric)
    return f"{round(s):,} of {n:,}" if known.binary else f"{n:,} scored" if known.falls else f"{n:,} calls"


def metric_difference(metric: str, limit: float | None, difference: float) -> str:
    """The size of a difference of mean losses: "0.5 points", "$0.0004"."""
    if metric_of(metric).limit_unit != DOLLARS:
        return points(difference)
    return f"{points(difference)} of the limit" if limit is None else dollars(abs(difference) * limit)


def harm(metric: str, limit: float | None, more: float) -> str:
    """What green's losses came to beyond blue's: "12.3 more slow calls", "$0.12 less spent"."""
    known = metric_of(metric)
    if known.is_money:
        amount = f"{abs(more):,.1f} times the limit" if limit is None else dollars(abs(more) * limit)
        return f"{amount} {'more' if more >= 0 else 'less'} spent"
    return f"{abs(more):,.1f} {'more' if more >= 0 else 'fewer'} {known.harms}"


def held_to(metric: str, limit: float | None, margin: float, on_breach: str, gating: bool) -> str:
    """What a check asks, its margin in points: "margin 2 points; a breach rolls back"."""
    allowed = metric_difference(metric, limit, margin / 100)
    if metric_of(metric).limit_unit == DOLLARS and limit is not None:
        allowed += f", {points(margin / 100)} of the limit {dollars(limit)}"
    breach = {"roll_back": "rolls back", "pause": "pauses", "tell": "is told"}.get(on_breach, "")
    return f"margin {allowed}; a breach {breach}{'' if gating else '; does not gate'}"


def points(difference: float) -> str:
    """A difference of rates as percentage points: 0.005 is "0.5 points"."""
    value = abs(difference) * 100
    digits = 0 if value >= 10 and value == round(value) else 1 if value >= 1 else 2
    text = f"{value:.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{text} point{'' if text == '1' else 's'}"


def calls_and_copies(calls: int, copies: int) -> str:
    """What a variant got: "1 call", "31 calls and 164 copies", at a shadow step "164 copies"."""
    parts = [_counted(calls, "call", "calls")] if calls or not copies else []
    return " and ".join([*parts, _counted(copies, "copy", "copies")] if copies else parts)


def _counted(n: int, one: str, more: str) -> str:
    return f"{n:,} {one if n == 1 else more}"


def percent(rate: float | None, digits: int = 2) -> str:
    """A rate in percent, or a dash without one."""
    return "-" if rate is None else f"{rate * 100:.{digits}f} %"


def duration(seconds: float) -> str:
    """A time span to the nearest of what is said, off by a twentieth at most: "3 h 20 min"."""
    if seconds < 120:
        return f"{max(1, math.ceil(seconds))} s"
    tens = round(seconds / 10)
    if tens < 60:
        minutes, tens = divmod(tens, 6)
        return f"{minutes} min {10 * tens} s" if tens else f"{minutes} min"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 600:
        hours, minutes = divmod(minutes, 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    hours = round(seconds / 3600)
    if hours < 48:
        return f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} days {hours} h" if hours and days < 10 else f"{days + (hours >= 12)} days"


def _weight(decision: Decision) -> str:
    return standing(decision.rollout.weight, decision.rollout.shadow)


def standing(weight: float, shadow: float) -> str:
    """Where a step stands: "5 %", "a shadow of 10 %"."""
    return f"a shadow of {shadow:g} %" if shadow else f"{weight:g} %"


def _copies(decision: Decision) -> str:
    """What the shadow step under way has cost."""
    conditions = decision.conditions
    if not decision.rollout.shadow or not conditions.copies:
        return ""
    one = conditions.copies == 1
    cost = ""
    if conditions.copies_cost is None:
        cost = "; what they cost is not known"
    elif conditions.copies_cost:
        cost = f" and {'has' if one else 'have'} cost {dollars(conditions.copies_cost)}"
    return f" {conditions.copies:,} {'copy' if one else 'copies'} of calls went to green{cost}."


def copies_cost(cost: float | None, priced: int, answered: int) -> str:
    """What copies came to: "$1.25", with of how many it is known where not of all that were answered; "no price"."""
    if cost is None:
        return "no price" if answered else dollars(0)
    return f"{dollars(cost)}{f' (known of {priced:,})' if priced < answered else ''}"


def _next(decision: Decision) -> str:
    return f"{decision.rollout.plan.gate_weight(decision.rollout.step):g} %"


def _standing(decision: Decision) -> str:
    rollout = decision.rollout
    match rollout.phase:
        case Phase.PENDING:
            return "Pending: registered, not started; green gets no calls."
        case Phase.PAUSED:
            return (
                f"Paused at {_weight(decision)}: it neither advances nor promotes until a person resumes it;"
                " a breach still rolls it back."
            )
        case Phase.PROMOTED:
            return f"Promoted: {rollout.green} serves {rollout.route}."
        case Phase.ROLLED_BACK:
            return f"Rolled back: {rollout.blue} serves {rollout.route}."
        case Phase.ABORTED:
            return f"Aborted by a person: {rollout.blue} serves {rollout.route}."
        case Phase.SUPERSEDED:
            return f"Superseded: {rollout.green} served {rollout.route} until a later promotion."
        case Phase.PROGRESSING:
            return f"Running at {_weight(decision)}."
        case _:
            assert_never(rollout.phase)


def _failure(decision: Decision) -> str:
    verdict = decision.failed
    if verdict is None:
        return "a check failed."
    judgement = decision.judgement
    whose = "of this check alone" if decision.rollout.plan.shares == (1.0,) else "of all checks together"
    odds = _evidence(whose, judgement.log_e_worse, judgement.log_e_worse_needed)
    return f"{_compared(verdict)}; {odds}.{_told(decision)}"


def _pause(decision: Decision) -> str:
    match decision.reason:
        case Reason.CHECK_FAILED:
            return f"{_failure(decision)} Its breach asks for a person."
        case Reason.SAMPLE_RATIO if (split := decision.judgement.split) is not None:
            return (
                f"{split_sentence(split)}: calls are not split by chance, or those of one variant are not all counted,"
                f" and then no comparison of the two can be trusted. {_WHAT_TO_CHECK}"
            )
        case Reason.MISCONFIGURED:
            conditions = decision.conditions
            return (
                f"{conditions.misconfigured:,} of green's last {conditions.attempts:,} attempts found no such model or"
                f" no access. Mend {decision.rollout.green}'s targets, then resume."
            )
        case Reason.TIME_LIMIT:
            limit = duration(decision.rollout.plan.time_limit or 0)
            return f"not decided within {limit}. A person may resume, promote or abort. {_open_checks(decision)}"
        case _:
            return f"{decision.reason}."


def _missing(decision: Decision) -> str:
    plan, conditions = decision.rollout.plan, decision.conditions
    gating = decision.judgement.gating
    match decision.reason:
        case Reason.NO_TRAFFIC:
            return "no traffic has reached this step yet. That is not a failure; the rollout waits."
        case Reason.NO_DATA | Reason.NOT_MATURE:
            return f"{_lacking(decision.judgement.lacking, conditions.waiting) or 'no check has data'}."
        case Reason.TOO_FEW:
            return f"too few calls to judge this step: {_too_few(decision)}."
        case Reason.BAKING:
            ready = all(verdict.gate_passed for verdict in gating)
            state = f"the gate to {_next(decision)} is open" if ready else _open_checks(decision).rstrip(".")
            return f"{duration(decision.remaining)} of bake time left; {state}."
        case Reason.THROTTLED:
            return (
                f"{percent(conditions.throttled, 1)} of green's recent attempts were throttled, above"
                f" {percent(plan.most_throttled, 1)}. That is the account's quota, not green's quality: the ramp waits."
            )
        case Reason.BOTH_DEGRADED:
            worse = [v for v in gating if v.degraded]
            return (
                f"blue itself is worse of late than it was ({', '.join(v.check.said for v in worse)}), and green is not"
                " worse than blue: something ails both. The comparison goes on; nothing is advanced meanwhile."
            )
        case Reason.INCONCLUSIVE:
            return _open_checks(decision)
        case Reason.APPROVAL:
            return f"every check passed; a person opens the gate to {_next(decision)} (advance or promote)."
        case _:
            return f"{decision.reason}."


def _lacking(verdicts: Iterable[Verdict], waiting: Mapping[str, int]) -> str:
    """What is missing for these checks. What several of them miss is said once, with their names."""
    maturing: dict[float, dict[str, list[str]]] = {}
    missing: dict[tuple[str, str, str], list[str]] = {}  # by the words before, between and after the names
    for verdict in verdicts:
        check, of = verdict.check, metric_of(verdict.check.metric).of
        if number := waiting.get(check.metric, 0):
            what = f"{check.score_name} score" if check.is_score else "call"
            green = f"{number:,} green {what}{'s' * (number > 1)}"
            names = maturing.setdefault(check.maturity, {}).setdefault(green, [])
            names += [] if check.is_score else [check.said]
        elif check.is_score and not verdict.green.n:
            missing.setdefault(("no ", " or ", " scores of green are in yet"), []).append(str(check.score_name))
        else:
            before = f"no {of} of both variants are in yet to compare by "
            missing.setdefault((before, " and ", ""), []).append(check.said)
    parts = []
    for maturity, found in maturing.items():
        green = listed([f"{what} ({listed(names)})" if names else what for what, names in found.items()])
        parts.append(f"waiting for {green} to mature: judged {duration(maturity)} after the end of a bucket")
    parts += [f"{before}{listed(names, between)}{after}" for (before, between, after), names in missing.items()]
    return "; ".join(parts)


def listed(names: Sequence[str], last: str = " and ") -> str:
    """The names as a list in words: "a, b and c"."""
    return last.join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _too_few(decision: Decision) -> str:
    plan = decision.rollout.plan
    gating = decision.judgement.gating
    green = min(verdict.step_green.n for verdict in gating)
    buckets = min(verdict.step_buckets for verdict in gating)
    parts = []
    if green < plan.least_green_calls:
        parts.append(f"{green:,} of {plan.least_green_calls:,} green calls")
    if buckets < plan.least_buckets:
        parts.append(f"{buckets} of {plan.least_buckets} time buckets")
    return ", ".join(parts)


def _open_checks(decision: Decision) -> str:
    """The gating checks that are not passed yet, each with the calls and the time still needed."""
    parts = []
    for verdict in decision.judgement.gating:
        if verdict.gate_passed:
            continue
        name, margin = verdict.check.said, _amount(verdict, verdict.gate_margin)
        harm = f"{'a fall' if verdict.check.is_score else 'a rise'} of {name} by {margin}"
        if verdict.worth is not None:
            parts.append(
                f"{_compared(verdict)}; but calls of one user hang together, and all of this step's users are worth"
                f" about {verdict.worth:,} independent calls, too few to rule out {harm}: it takes more users, so more"
                " weight, or a wider margin"
            )
            continue
        if verdict.calls_needed is None:
            parts.append(f"{_compared(verdict)}, against passing, so no time can be given to rule out {harm}")
            continue
        scored = "scored " if verdict.check.is_score else ""
        eta = ""
        if decision.conditions.traffic > 0:
            seconds = verdict.calls_needed / decision.conditions.traffic
            eta = f", about {duration(seconds)} at today's traffic"
            if decision.time_left is not None and 0 <= decision.time_left < seconds:
                eta += f": that cannot be decided at this margin within the {duration(decision.time_left)} left"
        parts.append(f"about {verdict.calls_needed:,} more {scored}calls to rule out {harm}{eta}")
    return f"{'; '.join(parts)}." if parts else f"the gate to {_next(decision)} is open."


def _shown(decision: Decision) -> str:
    parts = [
        f"{_compared(verdict, step=True)}, within {_amount(verdict, verdict.gate_margin)}"
        for verdict in decision.judgement.gating
    ]
    shown = "; ".join(parts)
    if decision.act is Act.PROMOTE:  # there it begins a sentence of its own
        shown = shown[:1].upper() + shown[1:]
    return f"{shown}.{_told(decision)}"


_WHAT_TO_CHECK = (
    "Look for answers so slow that their calls come in after the seal (the error rate's maturity) and for services"
    " that lose what they counted. Once it is mended, abort and register anew; to resume is to accept it."
)


def _told(decision: Decision) -> str:
    """What is wrong besides, and does not act: it was accepted, is only to be told, or something graver acts."""
    others = [m for m in decision.told if decision.failed is None or m != decision.failed.check.metric]
    said = {check.metric: check.said for check in decision.rollout.plan.checks}
    names = ", ".join(said.get(metric, metric_name(metric)) for metric in others)
    return (f" Also worse: {names}." if names else "") + _told_split(decision)


def _told_split(decision: Decision) -> str:
    split = decision.judgement.split
    if split is None or not split.alarmed:
        return ""
    accepted = ", which a person has accepted" if SAMPLE_RATIO in decision.rollout.accepted else ""
    return f" The split is not as it should be: {split_sentence(split)}{accepted}."


def _compared(verdict: Verdict, *, step: bool = False) -> str:
    """Both variants' values with their counts, and the difference as it is said of this metric."""
    blue, green = (verdict.step_blue, verdict.step_green) if step else (verdict.blue, verdict.green)
    name = verdict.check.said
    return f"{name} {_value(verdict, green)} on green against {_value(verdict, blue)} on blue{_change(verdict)}"


def _value(verdict: Verdict, summary: Summary) -> str:
    mean, check = summary.mean, verdict.check
    if mean is None:
        return "unknown (no calls)"
    return f"{metric_value(check.metric, check.limit, mean)} ({metric_count(check.metric, summary.n, summary.s)})"


def _change(verdict: Verdict) -> str:
    if verdict.estimate is None:
        return ""
    if abs(verdict.estimate) < 5e-5:
        return ", no difference"
    return f", {'worse' if verdict.estimate > 0 else 'better'} by {_amount(verdict, verdict.estimate)}"


def _amount(verdict: Verdict, difference: float) -> str:
    return metric_difference(verdict.check.metric, verdict.check.limit, difference)


def _evidence(whose: str, log_e: float, needed: float) -> str:
    """Of one check and of all together other odds are asked, and both may stand on one page: so it says whose."""
    return f"the evidence {whose} that green is worse is {_odds(log_e)} to 1, and {_odds(needed)} to 1 was asked"


def _odds(log_e: float) -> str:
    if log_e > math.log(1e6):
        return f"10^{log_e / math.log(10):.0f}"
    return f"{math.exp(log_e):,.0f}"
