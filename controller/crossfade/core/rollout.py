"""Rollout: one change of a route's Model, as a value. Every move makes a new one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from crossfade.core.phase import LIVE, Phase, Verb, move
from crossfade.core.plan import Plan
from crossfade.core.verdict import SAMPLE_RATIO
from crossfade.errors import Conflict


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """`step` indexes `plan.steps`. `accepted` names the checks whose breach a person has accepted by resuming,
    `sample_ratio` among them where it was a wrong split.

    `version` counts the saved changes: an act that was decided on an older one is refused.
    """

    id: int
    route: str
    blue: str
    green: str
    plan: Plan
    salt: str
    created_at: datetime
    phase: Phase = Phase.PENDING
    step: int = 0
    started_at: datetime | None = None
    step_started_at: datetime | None = None
    resumed_at: datetime | None = None
    """When it last began to run by itself: its start, or the last resume."""
    ended_at: datetime | None = None
    accepted: tuple[str, ...] = ()
    version: int = 1

    @property
    def is_live(self) -> bool:
        return self.phase in LIVE

    @property
    def began(self) -> datetime:
        """Its start, or its registration while it has none: blue's history ends there."""
        return self.started_at or self.created_at

    @property
    def weight(self) -> float:
        """Green's share in percent: the step's while running or paused, 100 once promoted, otherwise 0."""
        match self.phase:
            case Phase.PROGRESSING | Phase.PAUSED:
                return self.plan.steps[self.step].weight
            case Phase.PROMOTED | Phase.SUPERSEDED:
                return 100.0
            case _:
                return 0.0

    @property
    def shadow(self) -> float:
        """The percent of blue's calls that green gets a copy of: the step's while running or paused."""
        return self.plan.steps[self.step].shadow if self.phase in (Phase.PROGRESSING, Phase.PAUSED) else 0.0

    def moved(self, verb: Verb, now: datetime, *, accepted: Iterable[str] = ()) -> Rollout:
        """The rollout after `verb`; raises `Conflict` if the phase or the step does not allow it.

        `accepted` adds to the accepted checks, on resume.
        """
        phase = move(self.phase, verb)
        after = replace(self, phase=phase, version=self.version + 1)
        match verb:
            case Verb.START:
                return replace(after, started_at=now, step_started_at=now, resumed_at=now)
            case Verb.RESUME:
                return replace(after, resumed_at=now, accepted=tuple(sorted({*self.accepted, *accepted})))
            case Verb.ADVANCE if self.plan.is_last(self.step):
                raise Conflict(
                    f"step {self.step + 1} of {len(self.plan.steps)} is the last; promote is what comes after it"
                )
            case Verb.ADVANCE:
                return replace(after, step=self.step + 1, step_started_at=now, resumed_at=now)
            case Verb.PROMOTE | Verb.ABORT | Verb.ROLL_BACK | Verb.UNDO:
                return replace(after, ended_at=now)
            case _:
                return after

    def amended(self, plan: Plan) -> Rollout:
        """The rollout under a plan with other checks; raises `Conflict` unless it is running or paused.

        A breach that a person accepted stays accepted for as long as its check's evidence goes on, and so does a wrong
        split.
        """
        if self.phase not in (Phase.PROGRESSING, Phase.PAUSED):
            raise Conflict(
                f"the rollout is {self.phase.said}; its checks can be amended only while it is progressing or paused"
            )
        before = {check.identity for check in self.plan.checks}
        kept = {check.metric for check in plan.checks if check.identity in before}
        if plan.split_maturity == self.plan.split_maturity:
            kept.add(SAMPLE_RATIO)
        accepted = tuple(metric for metric in self.accepted if metric in kept)
        return replace(self, plan=plan, accepted=accepted, version=self.version + 1)
