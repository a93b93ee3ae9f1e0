"""Checks: each check of a plan as the last look left it, or as it awaits its first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from typing import Any

from crossfade.core.phase import Phase
from crossfade.core.plan import Check
from crossfade.core.rollout import Rollout
from crossfade.core.verdict import Ruling, Verdict
from crossfade.server.figures import verdict_figures

Figures = Mapping[str, Any]


def tiles(rollout: Rollout, looked: Sequence[Figures]) -> tuple[dict[str, Any], ...]:
    """One dict a check of the plan as it is now: `server.figures.verdict_figures`, and `awaits_look`.

    `looked` are those of the last look, none before the first. An amendment since then has removed some of them
    and begun others; of one that goes on it may have changed what its breach does and its share of alpha.
    """
    by_check = {(figures["metric"], figures.get("since")): figures for figures in looked}
    checks = zip(rollout.plan.checks, rollout.plan.shares, strict=True)
    return tuple(_tile(rollout, check, share, by_check.get(check.identity), bool(looked)) for check, share in checks)


def are_of(rollout: Rollout, looked: Sequence[Figures]) -> bool:
    """Whether the last look was at the very checks that the plan has now."""
    seen = {(figures["metric"], figures.get("since")) for figures in looked}
    return seen == {check.identity for check in rollout.plan.checks}


def _tile(rollout: Rollout, check: Check, share: float, figures: Figures | None, looked: bool) -> dict[str, Any]:
    plan = rollout.plan
    needed = log(1 / (share * plan.alpha))
    if figures is not None:
        now = {"on_breach": str(check.on_breach), "gating": check.gating, "log_e_worse_needed": needed}
        return {**figures, **now, "awaits_look": False}
    verdict = Verdict(
        check=check,
        ruling=Ruling.NO_DATA,
        gate_margin=check.gate_margin(plan.gate_weight(rollout.step)),
        log_e_worse_needed=needed,
        log_e_gate_needed=log(1 / plan.beta),
        overdispersion=check.overdispersion,
    )
    return verdict_figures(verdict) | {"sentence": _awaited(rollout, looked), "awaits_look": True}


def _awaited(rollout: Rollout, looked: bool) -> str:
    """Why a check was not looked at yet."""
    if looked and rollout.ended_at is not None:
        return "the checks were amended, and the rollout ended before this one's first look"
    if looked:
        return "the checks were amended, and this one awaits its first look"
    if rollout.ended_at is not None:
        return "the rollout ended before its first look"
    return "not started yet" if rollout.phase is Phase.PENDING else "awaits its first look"
