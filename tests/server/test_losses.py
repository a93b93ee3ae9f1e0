"""Every metric's sums out of a real Postgres, against sums computed by hand from the rows that were sent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from plane import Plane
from sqlalchemy import Row as Found

from crossfade.core.evidence import Summary
from crossfade.core.histogram import bin_dollars, cost_bin, duration_bin
from crossfade.core.metric import NAMES
from crossfade.core.observation import Row
from crossfade.core.plan import Check
from crossfade.core.rollout import Rollout
from crossfade.server.gather import evidence
from crossfade.server.store import rollouts
from crossfade.server.store.losses import Span, group_sums, history, losses, past

LENGTH, MATURITY = 10, 20
FAST, AT_LIMIT, SLOW = duration_bin(0.2), duration_bin(1.8), duration_bin(3.0)
CHEAP, DEAR, BEYOND = cost_bin(0.004), cost_bin(0.02), cost_bin(0.5)
LIMITS = {"latency": 1.8, "first_token": 1.8, "cost": 0.04}
CHECKS = [Check(metric=name, margin=2, maturity=MATURITY, limit=LIMITS.get(name)) for name in NAMES]

# What a row's tables come to, one call after the other.
BY_HAND: dict[str, Callable[[Row], list[float]]] = {
    "error_rate": lambda row: [1.0] * row.errors + [0.0] * (row.judged - row.errors),
    "latency": lambda row: spread(row.latency, lambda index: float(index > AT_LIMIT)),
    "first_token": lambda row: spread(row.first_token, lambda index: float(index > AT_LIMIT)),
    "cost": lambda row: spread(row.costs, lambda index: min(1.0, bin_dollars(index) / 0.04)),
    "truncated_output": lambda row: stops(row, "max_tokens", "model_context_window_exceeded"),
    "refusal": lambda row: stops(row, "refusal"),
    "safety_stop": lambda row: stops(row, "guardrail_intervened", "content_filtered"),
}


def spread(table: Any, loss: Callable[[Any], float]) -> list[float]:
    return [loss(key) for key, count in table.items() for _ in range(count)]


def stops(row: Row, *counted: str) -> list[float]:
    return spread(row.stops, lambda reason: float(reason in counted))


def some_rows(plane: Plane, rollout: Rollout) -> list[Row]:
    """Two buckets, both variants, two places served, and a row without any table."""
    place: dict[str, Any] = {"rollout": rollout.id}
    tables: dict[str, Any] = {
        "latency": {FAST: 6, AT_LIMIT: 1, SLOW: 2},
        "first_token": {FAST: 2, SLOW: 1},
        "cost_n": 9,
        "costs": {CHEAP: 5, DEAR: 3, BEYOND: 1},
        "stops": {"end_turn": 4, "max_tokens": 2, "model_context_window_exceeded": 1, "refusal": 1, "other": 1},
    }
    filtered = {"stops": {"guardrail_intervened": 1, "content_filtered": 2, "tool_use": 1}, "latency": {SLOW: 4}}
    return [
        plane.row("blue", 10, 1, ago=20, **place, **tables),
        plane.row("green", 10, 3, ago=20, **place, **tables | {"latency": {SLOW: 9}}),
        plane.row("green", 4, ago=20, **place, **filtered, model="spare"),
        plane.row("blue", 5, ago=10, **place, latency={FAST: 5}, cost_n=5, costs={0: 5}, stops={"stop_sequence": 5}),
        plane.row("green", 3, 3, ago=10, **place),
    ]


def by_hand(metric: str, rows: list[Row]) -> dict[tuple[int, str], tuple[int, float, float]]:
    found: dict[tuple[int, str], list[float]] = defaultdict(list)
    for row in rows:
        found[row.bucket, str(row.variant)] += BY_HAND[metric](row)
    return {
        place: (len(values), sum(values), sum(value * value for value in values))
        for place, values in found.items()
        if values
    }


def read(plane: Plane, rollout: Rollout, check: Check, *, after: int = 0) -> list[Found[Any]]:
    with plane.engine.connect() as connection:
        return list(losses(connection, check, span(plane, rollout, after=after)))


def span(plane: Plane, rollout: Rollout, *, after: int = 0) -> Span:
    return Span(
        rollout=rollout.id,
        route=1,
        after=after,
        sealed=int(plane.now.timestamp()),
        seal=LENGTH + MATURITY,
        length=LENGTH,
    )


def sums(found: list[Found[Any]]) -> dict[tuple[int, str], tuple[int, float, float]]:
    return {(row.bucket, row.variant): (row.n, pytest.approx(row.s), pytest.approx(row.q)) for row in found}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.metric)
def test_the_sums_of_a_metric_are_those_computed_by_hand(plane: Plane, check: Check) -> None:
    rollout = plane.register()
    plane.later(60)
    rows = some_rows(plane, rollout)
    plane.observe(*rows[:2])
    plane.observe(*rows[2:])
    found = read(plane, rollout, check)
    assert sums(found) == by_hand(check.metric, rows)
    assert {row.step for row in found} == {0}
    assert [row.bucket for row in found] == sorted(row.bucket for row in found)
    for row in found:
        Summary(row.n, row.s, row.q)  # possible sums
    first = min(row.bucket for row in rows)
    assert {row.bucket for row in read(plane, rollout, check, after=first)} <= {first + LENGTH}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.metric)
def test_what_arrives_after_the_seal_is_not_in_the_sums(plane: Plane, check: Check) -> None:
    rollout = plane.register()
    plane.later(60)
    rows = some_rows(plane, rollout)
    plane.observe(*rows)
    plane.later(60)
    plane.observe(*(replace(row, bucket=row.bucket - 60) for row in some_rows(plane, rollout)))
    assert sums(read(plane, rollout, check)) == by_hand(check.metric, rows)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.metric)
def test_blues_history_is_the_same_sums_before_the_start(plane: Plane, check: Check) -> None:
    tables: dict[str, Any] = {
        "latency": {FAST: 6, SLOW: 2},
        "first_token": {SLOW: 1},
        "cost_n": 8,
        "costs": {CHEAP: 5, DEAR: 3},
        "stops": {"end_turn": 4, "max_tokens": 2, "refusal": 1, "content_filtered": 1},
    }
    plane.sql("UPDATE routes SET blue_since = :since", since=plane.now.replace(year=2025))
    rows = [plane.row("blue", 10, 1, ago=3600, **tables), plane.row("blue", 5, 2, ago=100, latency={SLOW: 5})]
    plane.observe(*rows, plane.row("blue", 50, 50, ago=90_000, latency={SLOW: 50}, stops={"refusal": 50}))
    rollout = plane.register()
    plane.later(30)
    plane.observe(
        plane.row("blue", 7, 7, ago=60, **tables | {"latency": {SLOW: 7}, "cost_n": 0, "costs": {}, "stops": {}})
    )
    with plane.engine.connect() as connection:
        found = history(connection, check, past(connection, 1, rollout.created_at))
    losses_of = [loss for row in rows for loss in BY_HAND[check.metric](row)]
    assert (found.n, found.s) == (len(losses_of), pytest.approx(sum(losses_of)))
    assert found.q == pytest.approx(sum(loss * loss for loss in losses_of))


def test_the_evidence_of_a_rollout_holds_a_series_for_each_metric(plane: Plane) -> None:
    checks = [{"metric": c.metric, "margin": 2, "maturity": MATURITY, "limit": c.limit} for c in CHECKS]
    rollout = plane.register(plan={"checks": checks})
    plane.later(60)
    rows = some_rows(plane, rollout)
    plane.observe(*rows)
    plane.later(60)
    with plane.engine.connect() as connection:
        stored = rollouts.find(connection, rollout.id)
        series = evidence(connection, stored, stored.rollout.plan, plane.now)
    for one in series:
        expected = by_hand(one.metric, rows)
        for bucket in one.buckets:
            for variant, summary in (("blue", bucket.blue), ("green", bucket.green)):
                n, s, q = expected.get((bucket.start, variant), (0, 0.0, 0.0))
                assert (summary.n, summary.s, summary.q) == (n, pytest.approx(s), pytest.approx(q))
    assert [one.metric for one in series] == list(NAMES)
    assert plane.tick() == 1


def test_the_groups_of_keys_add_up_by_bucket_and_variant(plane: Plane) -> None:
    rollout = plane.register()
    plane.later(60)
    place: dict[str, Any] = {"rollout": rollout.id, "ago": 20}
    plane.observe(
        plane.row("blue", 10, 2, **place, keyed=9, groups={0: (4, 1), 127: (5, 1)}),
        plane.row("blue", 5, 0, **place, keyed=5, groups={0: (5, 0)}, model="spare"),
        plane.row("green", 5, 1, **place, keyed=2, groups={64: (2, 1)}),
        plane.row("green", 5, 1, **place),
    )
    plane.later(60)
    plane.observe(plane.row("green", 3, **{**place, "ago": 80}, keyed=3, groups={64: (3, 0)}))
    with plane.engine.connect() as connection:
        found = group_sums(connection, Check(metric="error_rate", margin=1), span(plane, rollout))
    assert [(row.variant, row.grp, row.n, row.s) for row in found] == [
        ("blue", [0, 127], [9, 5], [1, 1]),
        ("green", [64], [2], [1]),
    ]


def test_a_check_without_the_limit_it_needs_is_not_read(plane: Plane) -> None:
    rollout = plane.register()
    with pytest.raises(ValueError, match="latency has no limit"):
        read(plane, rollout, Check(metric="latency", margin=1))
