"""The acceptance table, through the judge and the decisions that the scheduler runs.

A small one each run, with some dozens of rollouts a line and allowances as wide as that makes them; the whole when slow
tests are run. `python -m benchmarks.acceptance` prints what was measured.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from scipy.stats import binom

from benchmarks.acceptance.coverage import missed
from benchmarks.acceptance.lines import CONFIDENCE, LINES, Line
from crossfade.simulation.simulate import simulate

SMALL, WHOLE = 50, 300
NAMES = [line.name for line in LINES]


@pytest.mark.parametrize("line", [line for line in LINES if not line.long], ids=lambda line: line.name)
def test_line_holds_in_a_few_rollouts(line: Line) -> None:
    assert line.missed(simulate(replace(line.case, runs=SMALL))) == []


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_line_holds(line: Line) -> None:
    missed = line.missed(simulate(replace(line.case, runs=WHOLE)))
    if missed and line.open:
        pytest.xfail(f"{'; '.join(missed)}: {line.open}")
    assert missed == []


def coverage_misses(worse: float, weight: float, runs: int, calls: int) -> list[int]:
    found = missed(blue=0.01, green=0.01 + worse, weight=weight, runs=runs, calls=calls)
    return [count for count in (found.by_lower, found.by_upper) if count > binom.ppf(CONFIDENCE, runs, 0.05)]


def test_interval_holds_the_truth_at_every_look_in_a_few_rollouts() -> None:
    assert coverage_misses(worse=0.0, weight=0.1, runs=20, calls=20_000) == []


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize(("worse", "weight"), [(0.0, 0.1), (0.005, 0.1), (0.0, 0.5)])
def test_interval_holds_the_truth_at_every_look_over_200_000_calls(worse: float, weight: float) -> None:
    assert coverage_misses(worse=worse, weight=weight, runs=100, calls=200_000) == []


def test_names_of_the_lines_are_told_apart() -> None:
    assert len(set(NAMES)) == len(NAMES)
