"""How long calls took, on a real Postgres: of the step under way, by assigned variant, each quantile with its ends."""

from __future__ import annotations

from typing import Any

import pytest
from plane import PLAN, Plane

from crossfade.core.histogram import bin_seconds, duration_bin
from crossfade.core.rollout import Rollout
from crossfade.server.views.durations import DurationView
from crossfade.server.views.rollout import rollout as read_rollout
from crossfade.stats.quantile import between, difference

FAST, SLOW = duration_bin(0.2), duration_bin(0.9)
CHECKED: dict[str, Any] = PLAN | {"checks": [{"metric": "latency", "margin": 2, "limit": 0.5, "maturity": 20}]}


def shown(plane: Plane, rollout: Rollout) -> dict[str, DurationView]:
    return {each.name: each for each in read_rollout(plane.engine, rollout.id, now=plane.now).durations}


def observe(plane: Plane, rollout: Rollout, *, blue: dict[int, int], green: dict[int, int], **more: Any) -> None:
    place = {"rollout": rollout.id, "step": rollout.step} | more
    for variant, latency in (("blue", blue), ("green", green)):
        plane.observe(plane.row(variant, sum(latency.values()), **place, latency=latency))


def test_each_quantile_has_both_variants_their_intervals_and_the_difference(plane: Plane) -> None:
    rollout = plane.register()
    blue, green = {FAST: 960, SLOW: 40}, {FAST: 50, SLOW: 550}
    observe(plane, rollout, blue=blue, green=green)
    found = shown(plane, rollout)
    assert list(found) == ["whole call, p50", "whole call, p95", "whole call, p99"]
    median = found["whole call, p50"]
    assert (median.of, median.share, median.blue_n, median.green_n) == ("latency", 0.5, 1000, 600)
    assert (median.blue.value, median.green.value) == (bin_seconds(FAST), bin_seconds(SLOW))
    ends = between(green, 0.5, alpha=0.05)
    assert (median.green.low, median.green.high) == (ends.low, ends.high)
    apart = difference(between(green, 0.5, alpha=0.025), between(blue, 0.5, alpha=0.025))
    assert (median.difference.low, median.difference.high) == (apart.low, apart.high)
    assert median.difference.value == pytest.approx(0.7, abs=0.02)
    assert median.sentence == (
        "blue 199 ms (197 to 201 ms), green 895 ms (886 to 904 ms); green - blue +696 ms (+685 to +707 ms)"
    )


def test_what_few_calls_cannot_bound_is_said_to_be_open(plane: Plane) -> None:
    rollout = plane.register()
    observe(plane, rollout, blue={FAST: 500}, green={SLOW: 20})
    assert shown(plane, rollout)["whole call, p95"].sentence.endswith(
        "green 895 ms (at least 886 ms); green - blue +696 ms (at least +685 ms)"
    )
    assert "green - blue +696 ms (not bounded yet)" in shown(plane, rollout)["whole call, p99"].sentence


def test_only_calls_of_the_step_under_way_count(plane: Plane) -> None:
    rollout = plane.register()
    observe(plane, rollout, blue={SLOW: 500}, green={SLOW: 50})
    moved = plane.act(rollout.id, "advance")
    assert shown(plane, moved) == {}
    observe(plane, moved, blue={FAST: 70}, green={})
    only = shown(plane, moved)["whole call, p50"]
    assert (only.blue_n, only.green_n, only.blue.value) == (70, 0, bin_seconds(FAST))
    assert (only.green.value, only.difference.value, only.difference.low) == (None, None, None)
    assert only.sentence == "blue 199 ms (197 to 201 ms), green –; green - blue –"


def test_first_tokens_have_their_own_lines(plane: Plane) -> None:
    rollout = plane.register()
    plane.observe(plane.row("blue", 100, rollout=rollout.id, latency={SLOW: 100}, first_token={FAST: 60}))
    found = shown(plane, rollout)
    assert found["first token, p99"].blue_n == 60
    assert found["whole call, p99"].blue_n == 100


def test_calls_that_go_together_widen_it_by_the_phi_of_their_check(plane: Plane) -> None:
    checked, free = plane.register(plan=CHECKED), plane.register("other")
    for bucket in range(40):
        first = SLOW if bucket % 2 else FAST  # of green, all are slow or none: far more than chance does
        green = {first + i: 2 for i in range(20)}
        observe(plane, checked, blue={FAST: 90, SLOW: 10}, green=green)
        observe(plane, free, blue={FAST: 90, SLOW: 10}, green=green, route=2)
        plane.later(10)
        plane.tick()
    tempered, alone = (shown(plane, each)["whole call, p95"] for each in (checked, free))
    assert alone.phi is None
    assert tempered.phi is not None
    assert tempered.phi > 1.5
    whole = {first + i: 40 for i in range(20) for first in (FAST, SLOW)}
    for found, phi in ((tempered, tempered.phi), (alone, 1.0)):
        ends = between(whole, 0.95, alpha=0.05, phi=phi)
        assert (found.green.low, found.green.high) == (ends.low, ends.high)
    assert tempered.green.low < alone.green.low
