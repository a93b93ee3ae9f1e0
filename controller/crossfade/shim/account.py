"""Account: how a whole call counts, by the variant it was assigned to, whatever served it in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crossfade.core.outcome import Charge, Outcome
from crossfade.core.policy import EXCUSED, POLICY


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One attempt: which Model, where, and what became of it."""

    model: str
    region: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """`judged` calls count for the error rate, `error` of them against the assigned variant."""

    outcome: Outcome
    judged: bool
    error: bool


_QUOTA = frozenset(outcome for outcome, row in POLICY.items() if row.charge is Charge.QUOTA)
_ARM = tuple(outcome for outcome, row in POLICY.items() if row.charge is Charge.ARM)
_REGIONS_TO_BLAME = 2


def account(
    assigned: str,
    tried: Sequence[Tried],
    *,
    answered_by: str | None,
    incompatible: bool = False,
    abandoned: bool = False,
    skipped: Outcome | None = None,
) -> Account:
    """How a call assigned to the Model `assigned` counts.

    `answered_by` is the Model whose answer the caller got, None for a busy answer or an error. `skipped` says why
    the assigned Model was not even asked. A class that is charged to the arm counts even if a later attempt
    succeeded; a quota on the way excuses a Model that gave no answer in the end.
    """
    own = [attempt for attempt in tried if attempt.model == assigned]
    charged = _charged_to_arm(own, incompatible)
    if charged is not None:
        return Account(outcome=charged, judged=True, error=True)
    if abandoned:
        return Account(outcome=Outcome.ABANDONED, judged=False, error=False)
    if answered_by == assigned:
        return Account(outcome=Outcome.OK, judged=True, error=False)
    failures = [attempt.outcome for attempt in own if attempt.outcome is not Outcome.OK]
    reason = failures[-1] if failures else skipped or Outcome.UNAVAILABLE
    if excuse := next((outcome for outcome in failures if outcome in _QUOTA), None):
        reason = excuse
    excused = reason in EXCUSED
    return Account(outcome=reason, judged=not excused, error=not excused)


def _charged_to_arm(own: Sequence[Tried], incompatible: bool) -> Outcome | None:
    if incompatible:
        return Outcome.INCOMPATIBLE
    failed = [attempt for attempt in own if attempt.outcome is not Outcome.OK]
    for outcome in _ARM if failed else ():
        if any(attempt.outcome is outcome for attempt in failed):
            return outcome
    cut_in = {attempt.region for attempt in failed if attempt.outcome is Outcome.TRUNCATED}
    return Outcome.TRUNCATED if len(cut_in) >= _REGIONS_TO_BLAME else None
