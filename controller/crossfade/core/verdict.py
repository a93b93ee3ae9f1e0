"""Verdict: what the evidence says of one check, and Judgement: what it says of all of them together."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import exp
from typing import assert_never

from crossfade.core.evidence import EMPTY, Summary
from crossfade.core.plan import Check


class Ruling(StrEnum):
    """Measured bad, shown good, cannot tell yet and nothing to tell from are four things."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    NO_DATA = "no_data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Of one check. Differences are green's mean loss minus blue's, as fractions: positive is worse.

    `blue` and `green` sum the whole rollout, `step_blue` and `step_green` the step under way, which alone counts
    for its gate. `log_e_worse` is the evidence that green is worse at all (it fails the check), `log_e_gate` that
    green is within `gate_margin` (it passes); natural logs. The interval [`lower`, `upper`] holds at every look.
    """

    check: Check
    ruling: Ruling
    blue: Summary = EMPTY
    green: Summary = EMPTY
    step_blue: Summary = EMPTY
    step_green: Summary = EMPTY
    estimate: float | None = None
    lower: float | None = None
    upper: float | None = None
    gate_margin: float
    log_e_worse: float = 0.0
    log_e_worse_needed: float
    log_e_gate: float = 0.0
    log_e_gate_needed: float
    calls_needed: int | None = None
    """Further calls of both variants until the gate should open; None where the drift is against it, or `worth`."""
    worth: int | None = None
    """Where not even all calls of the step's users can open the gate, for they hang together: how many independent
    calls they can be worth."""
    overdispersion: float = 1.0
    degraded: bool = False
    """Whether blue itself is worse of late than it was before."""
    buckets: int = 0
    step_buckets: int = 0

    @property
    def has_both(self) -> bool:
        """Whether the step has sealed calls of both variants, though they may be too few to be judged yet."""
        return bool(self.step_blue.n and self.step_green.n)

    @property
    def gate_passed(self) -> bool:
        """Whether green is shown to be within the gate's margin, on this step's evidence alone."""
        return self.log_e_gate >= self.log_e_gate_needed


SAMPLE_RATIO = "sample_ratio"
"""The name of the check of the split: what a person accepts, and what its evidence is kept under. No metric has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Whether green gets the share of calls that its weight says: of `calls` split by chance `green` were green's, and
    `expected` were to be. `log_e` is the evidence, as high as it ever was, that something is wrong with that.
    """

    calls: int
    green: int
    expected: float
    log_e: float
    log_e_needed: float

    @property
    def alarmed(self) -> bool:
        return self.log_e >= self.log_e_needed

    @property
    def p(self) -> float:
        """An anytime-valid p-value."""
        return min(1.0, exp(-self.log_e))


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Of one rollout at one look: every check's verdict, and the averaged evidence that rolls back.

    `log_e_worse` is the log of the checks' e-values averaged with their shares of alpha; it rolls back at
    `log_e_worse_needed` = log(1 / alpha).
    """

    verdicts: tuple[Verdict, ...]
    log_e_worse: float = 0.0
    log_e_worse_needed: float
    split: Split | None = None

    @property
    def split_is_wrong(self) -> bool:
        """Whether green is shown to get another share of the calls than its weight says."""
        return self.split is not None and self.split.alarmed

    @property
    def gating(self) -> tuple[Verdict, ...]:
        """The verdicts that the gate of a step needs."""
        return tuple(verdict for verdict in self.verdicts if verdict.check.gating)

    @property
    def lacking(self) -> tuple[Verdict, ...]:
        """Those of the gating that have nothing to judge: no sealed calls of the step, or of one variant alone."""
        return tuple(v for v in self.gating if v.ruling is Ruling.NO_DATA and not v.has_both)

    @property
    def worst(self) -> Ruling:
        """The worst ruling of all gating checks, in the order failed, no_data, inconclusive, passed."""
        rulings = [v.ruling for v in self.verdicts if v.check.gating or v.ruling is Ruling.FAILED]
        return max(rulings, key=severity, default=Ruling.NO_DATA)


def severity(ruling: Ruling) -> int:
    """The one order in which many rulings become one: the highest wins."""
    match ruling:
        case Ruling.PASSED:
            return 0
        case Ruling.INCONCLUSIVE:
            return 1
        case Ruling.NO_DATA:
            return 2
        case Ruling.FAILED:
            return 3
        case _:
            assert_never(ruling)
