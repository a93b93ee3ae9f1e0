"""Amendment: a rollout's checks changed while it runs, and what becomes of alpha.

What rolls back is W = sum of share x E over the checks: a test supermartingale that begins at 1 or less, so by Ville's
inequality it reaches 1 / alpha with a probability of at most alpha. An amendment at time t, chosen by anything that is
known and judged by then, spends W_t anew, as a bettor moves money between bets:

    kept       share' = share x c / (c + a)              its E goes on
    restarted  share' = share x min(1, E) x c / (c + a)  a new E begins at 1
    added      share' = sum of share x min(1, E) / (c + a) over the kept and restarted; a new E begins at 1
    removed    its share x E is given up

for c checks kept or restarted and a added. What is kept or restarted comes to at most c / (c + a) of what it was worth,
the a added ones together to at most a / (c + a) of it: W'_t <= W_t whatever is chosen. So W stays a supermartingale
through any number of amendments, and alpha holds for all of them together. E is the judge's own. It is never more than
the martingale that it stands for, but where it has reached its threshold: there W has reached 1 / alpha already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import exp

from crossfade.core.amount import dollars
from crossfade.core.metric import DOLLARS, metric_of
from crossfade.core.plan import Breach, Check, Plan
from crossfade.core.sentence import points
from crossfade.errors import Conflict, Invalid, Problem

AMEND = "amend"
"""The act, as the journal has it."""
LEAST_SHARE = 1e-9
"""Of alpha. A check with less could hardly fail any more: amending again and again has used it up."""


class Fate(StrEnum):
    """What becomes of a check."""

    KEPT = "kept"
    RESTARTED = "restarted"
    ADDED = "added"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Of one check: `before` is None of one that is added, `after` of one that is removed. Shares are of alpha.

    `e` is min(1, E) of its evidence that green is worse: what its share is worth to a check that starts anew.
    """

    fate: Fate
    before: Check | None
    after: Check | None
    share_before: float
    share_after: float
    e: float

    @property
    def metric(self) -> str:
        check = self.after or self.before
        assert check is not None
        return check.metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """The plan after it, and what became of every check: those that were there in the plan's order, then the added."""

    plan: Plan
    changes: tuple[Change, ...]
    differs: bool
    """Whether anything is another than it was; if not, `plan` is the very same."""


def amendment(plan: Plan, wanted: Sequence[Check], log_e: Sequence[float], since: float) -> Amendment:
    """`plan` with the checks `wanted`, whose `since` and `share` are not looked at.

    `log_e` is the judge's log E that green is worse, one for each check of the plan; `since` is now, in seconds since
    1970. A check is the same as long as its metric is; what a breach does and whether it gates may change without
    its evidence starting anew. Raises `Invalid` where no check of the plan is left, `Conflict` where too little of
    alpha is.
    """
    by_metric = {check.metric: check for check in wanted}
    metrics = [check.metric for check in plan.checks]
    left = sum(metric in by_metric for metric in metrics)
    added = [check for check in wanted if check.metric not in metrics]
    if not left:
        raise Invalid(
            [
                Problem(
                    "checks",
                    "has none of the rollout's checks, and only they can give a new one a share of alpha;"
                    " keep one of them (it can be removed afterwards)",
                )
            ]
        )
    stays = left / (left + len(added))
    changes, given = [], 0.0
    for check, share, evidence in zip(plan.checks, plan.shares, log_e, strict=True):
        change = _changed(check, by_metric.get(check.metric), share, evidence, stays, since)
        given += share * change.e if change.after else 0.0
        changes.append(change)
    changes += [_added(check, given / (left + len(added)), since) for check in added]
    if all(change.fate is Fate.KEPT and _is_same(change) for change in changes):
        return Amendment(plan=plan, changes=tuple(changes), differs=False)
    _refuse_used_up(changes)
    checks = tuple(change.after for change in changes if change.after)
    return Amendment(plan=replace(plan, checks=checks), changes=tuple(changes), differs=True)


def _changed(before: Check, wanted: Check | None, share: float, log_e: float, stays: float, since: float) -> Change:
    e = exp(min(0.0, log_e))
    if wanted is None:
        return Change(fate=Fate.REMOVED, before=before, after=None, share_before=share, share_after=0.0, e=e)
    roles = replace(wanted, on_breach=before.on_breach, gating=before.gating)
    kept = replace(roles, since=before.since, share=before.share) == before
    rest = share * stays if kept else share * e * stays
    return Change(
        fate=Fate.KEPT if kept else Fate.RESTARTED,
        before=before,
        after=replace(wanted, since=before.since if kept else since, share=rest),
        share_before=share,
        share_after=rest,
        e=e,
    )


def _added(check: Check, share: float, since: float) -> Change:
    after = replace(check, since=since, share=share)
    return Change(fate=Fate.ADDED, before=None, after=after, share_before=0.0, share_after=share, e=1.0)


def _is_same(change: Change) -> bool:
    return change.before is not None and replace(change.before, share=change.share_after) == change.after


def _refuse_used_up(changes: Sequence[Change]) -> None:
    used_up = [change.metric for change in changes if change.after and change.share_after < LEAST_SHARE]
    if used_up:
        raise Conflict(
            f"{', '.join(used_up)} would have less than a billionth of alpha left: this rollout's checks have been"
            " amended too often; abort it and register it anew"
        )


def amendment_sentence(amended: Amendment) -> str:
    """What became of every check, in words, without a full stop."""
    return "; ".join(_said(change) for change in amended.changes)


def _said(change: Change) -> str:
    before, after = change.before, change.after
    share = f"on {100 * change.share_after:.3g} % of alpha"
    if after is None:
        assert before is not None
        return f"{before.said} is removed, its {100 * change.share_before:.3g} % of alpha with it"
    if before is None:
        return f"{after.said} is added with a margin of {points(after.loss_margin)}, {share}"
    stays = "keeps its evidence" if change.fate is Fate.KEPT else f"starts anew{_thresholds(before, after)}"
    return f"{after.said} {stays}, {share}{_role(before, after)}"


def _thresholds(before: Check, after: Check) -> str:
    """What made it start anew, as far as it can be said."""
    parts = []
    if after.margin != before.margin:
        parts.append(f"a margin of {points(after.loss_margin)} instead of {points(before.loss_margin)}")
    if after.limit != before.limit:
        parts.append(f"a limit of {_limit(after)} instead of {_limit(before)}")
    if after.maturity != before.maturity:
        parts.append(f"a maturity of {after.maturity:g} s instead of {before.maturity:g} s")
    if after.overdispersion != before.overdispersion:
        parts.append(f"an overdispersion of {after.overdispersion:g} instead of {before.overdispersion:g}")
    return f" with {' and '.join(parts)}" if parts else ""


def _limit(check: Check) -> str:
    if check.limit is None:
        return "none"
    return dollars(check.limit) if metric_of(check.metric).limit_unit == DOLLARS else f"{check.limit:g} s"


def _role(before: Check, after: Check) -> str:
    """What it does now that it did not do before."""
    does = {Breach.ROLL_BACK: "rolls back", Breach.PAUSE: "pauses", Breach.TELL: "is only told"}[after.on_breach]
    found = f"; its breach now {does}" if after.on_breach is not before.on_breach else ""
    if after.gating is not before.gating:
        found += "; it gates now" if after.gating else "; it gates no longer"
    return found
