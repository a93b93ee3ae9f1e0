"""Rollout: everything its page shows, from the same decision that acted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from crossfade.server.views.journal import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class StepView:
    """One step of the rail. `state` is done, current or to_come; the weight is percent, times are seconds."""

    weight: float
    bake: float
    approve: bool
    state: str
    spent_seconds: float | None = None
    left_seconds: float | None = None
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantView:
    """What became of the calls assigned to one variant, over the whole rollout.

    `outcomes` counts calls, `attempts` counts attempts, by class. `latency` and `first_token` map p50, p90 and p99 to
    seconds or None. `cost_per_call` is US dollars over the calls with a known cost, or None.
    """

    variant: str
    model: str
    calls: int
    judged: int
    errors: int
    busy: int
    raised: int
    retries: int
    failovers: int
    scores: int
    outcomes: dict[str, int]
    attempts: dict[str, int]
    latency: dict[str, float | None]
    first_token: dict[str, float | None]
    tokens_in: int
    tokens_out: int
    cost_sum: float
    cost_per_call: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerbView:
    """A verb a person may do, or why not now (`refusal`, empty when allowed)."""

    verb: str
    allowed: bool
    refusal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutView:
    """`tiles` holds one dict a check, see `server.figures.verdict_figures`; empty before the first evaluation.

    `weight` is green's share wanted, `observed_weight` the share of the calls of the step under way, in percent or
    None without calls. `act` and `reason` are of the last decision, `sentence` says what happens next and why.
    """

    id: int
    route: str
    blue: str
    green: str
    phase: str
    version: int
    plan: dict[str, Any]
    plan_hash: str
    step: int
    steps: tuple[StepView, ...]
    weight: float
    observed_weight: float | None
    step_calls: int
    step_green_calls: int
    traffic: float
    sentence: str
    act: str | None
    reason: str | None
    worst: str | None
    log_e_worse: float | None
    log_e_worse_needed: float | None
    tiles: tuple[dict[str, Any], ...]
    conditions: dict[str, Any]
    blue_calls: VariantView
    green_calls: VariantView
    journal: tuple[Entry, ...]
    """The last twenty entries, newest first."""
    verbs: tuple[VerbView, ...]
    needs_person: bool
    created_at: datetime
    started_at: datetime | None
    step_started_at: datetime | None
    ended_at: datetime | None
    evaluated_at: datetime | None
    next_evaluation: datetime | None

    def to_dict(self) -> dict[str, Any]:
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSummary:
    """A rollout in a list."""

    id: int
    route: str
    blue: str
    green: str
    phase: str
    version: int
    step: int
    steps: int
    weight: float
    sentence: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    def to_dict(self) -> dict[str, Any]:
        raise NotImplementedError


def rollout(engine: Engine, rollout_id: int, *, now: datetime) -> RolloutView:
    """Raises `NotFound`."""
    raise NotImplementedError


def rollouts(
    engine: Engine, *, route: str | None = None, phase: str | None = None, most: int = 200
) -> list[RolloutSummary]:
    """Newest first. `phase` may also be `live`. Raises `Invalid` for an unknown phase, `NotFound` for the route."""
    raise NotImplementedError
