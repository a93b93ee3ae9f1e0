"""Expectation: what a rollout will see at today's traffic. Counts only; the planner of powers comes with its issue."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from crossfade.core.plan import Plan
from crossfade.core.sentence import duration
from crossfade.server.store import observations, rollouts, snapshots

WINDOW = timedelta(hours=1)


def expect(connection: Connection, route_id: int, plan: Plan, now: datetime) -> dict[str, Any]:
    """{"traffic": calls a second over the last hour, "text", "steps": [{"weight", "green_calls_per_hour",
    "least_seconds"}]}; `least_seconds` is the shortest a step can last, None without traffic."""
    since = now - WINDOW
    found = observations.traffic(
        connection, rollouts=rollouts.ids_since(connection, route_id, since), route=route_id, since=since.timestamp()
    )
    _, bucket_seconds = snapshots.state(connection)
    seen = max(bucket_seconds, now.timestamp() - found.first) if found.calls else 0.0
    traffic = found.calls / seen if seen else 0.0
    steps = [
        {
            "weight": step.weight,
            "green_calls_per_hour": round(traffic * 3600 * step.weight / 100),
            "least_seconds": _least(plan, step.weight, step.bake, traffic, bucket_seconds),
        }
        for step in plan.steps
    ]
    return {"traffic": traffic, "steps": steps, "text": _text(traffic, steps)}


def _least(plan: Plan, weight: float, bake: float, traffic: float, bucket_seconds: int) -> float | None:
    if traffic <= 0:
        return None
    maturity = max((check.maturity for check in plan.checks if check.gating), default=0.0)
    calls = plan.least_green_calls / (traffic * weight / 100)
    return max(bake, max(calls, plan.least_buckets * bucket_seconds) + bucket_seconds + maturity)


def _text(traffic: float, steps: list[dict[str, Any]]) -> str:
    if traffic <= 0:
        return (
            "No calls of this route were seen in the last hour, so nothing can be said of how long it takes."
            " Without traffic the rollout waits."
        )
    first = steps[0]
    least = sum(step["least_seconds"] for step in steps)
    rate = f"{traffic:.1f} calls a second" if traffic >= 1 else f"{traffic * 60:.1f} calls a minute"
    return (
        f"At {rate}, the first step at {first['weight']:g} % sends green about {first['green_calls_per_hour']:,} calls"
        f" an hour, and the {len(steps)} steps take {duration(least)} at the least. How long the checks take to decide"
        " depends on how the models compare; the rollout's page says how many calls are still needed."
    )
