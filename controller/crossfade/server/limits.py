"""Limits: what latency, first token and cost are held against, fixed from blue's history before a rollout starts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from crossfade.core.histogram import mean_dollars, quantile
from crossfade.core.metric import DOLLARS, Metric, metric_of
from crossfade.core.model import Model
from crossfade.core.plan import Check, Plan
from crossfade.core.reading import Reader
from crossfade.server.store.losses import blue_counts, past
from crossfade.server.store.summed import Past

SHARE = 0.95
"""The quantile of blue's durations that is the limit: one in twenty of blue's own calls is slower."""
CAP = 4.0
"""The limit of a call's cost, in blue's mean costs: a call that costs more counts as if it cost this."""
LEAST_CALLS = 20
"""Of blue's history: from fewer, a 95 % quantile is nothing but the slowest call."""


def fix_limits(connection: Connection, reader: Reader, plan: Plan, route_id: int, now: datetime) -> Plan:
    """The plan with every limit it lacks taken from blue's last day; what cannot be fixed goes to the reader of it."""
    lacking = [check for check in plan.checks if check.limit is None and metric_of(check.metric).limit_unit]
    if not lacking:
        return plan
    before = past(connection, route_id, now)
    return replace(
        plan,
        checks=tuple(
            _fixed(connection, reader, check, f"checks[{position}].limit", before) if check in lacking else check
            for position, check in enumerate(plan.checks)
        ),
    )


def refuse_unpriced(reader: Reader, checks: Iterable[tuple[int, Check]], models: Iterable[Model]) -> None:
    """Problems for those of the (place, check) that look at what calls cost while one of the Models has no price."""
    names = [repr(model.name) for model in models if model.price is None]
    for position, check in checks:
        if names and metric_of(check.metric).limit_unit == DOLLARS:
            missing = " and ".join(names)
            reader.problem(
                f"checks[{position}].metric",
                f"what calls cost is not known while no price is declared for {missing}: declare"
                f" {'its price' if len(names) == 1 else 'their prices'}, or leave this check out",
            )


def _fixed(connection: Connection, reader: Reader, check: Check, path: str, before: Past) -> Check:
    metric = metric_of(check.metric)
    assert metric.table is not None
    bins = {int(key): n for key, n in blue_counts(connection, metric.table, before).items()}
    calls = sum(bins.values())
    give = f"give one in {metric.limit_unit}"
    if calls < LEAST_CALLS:
        has = f"only {calls} recorded {metric.of}" if calls else f"no recorded {metric.of}"
        reader.problem(path, f"blue has {has} in the last day to take a limit from ({LEAST_CALLS} at least); {give}")
        return check
    limit = _limit(metric, bins)
    if not limit:
        reader.problem(path, f"blue's calls cost nothing: declare its price, or {give}")
        return check
    return replace(check, limit=limit)


def _limit(metric: Metric, bins: dict[int, int]) -> float:
    """Three digits, as it will be said; never above what a plan may hold."""
    found = CAP * (mean_dollars(bins) or 0.0) if metric.limit_unit == DOLLARS else quantile(bins, SHARE) or 0.0
    return min(metric.most_limit, float(f"{found:.3g}"))
