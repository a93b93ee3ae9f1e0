"""The comparison of decision rules still runs, and each rule still behaves as its kind does. Few runs, wide bounds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from benchmarks.rules import group_sequential, mann_whitney
from benchmarks.rules.comparison import RULES, Row, bound_calls, decide_all, delay, rows, scenarios, share

RUNS = 60
CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def found() -> dict[str, Row]:
    return {row.rule: row for row in rows(decide_all(scenarios(RUNS, seed=3)))}


@pytest.mark.parametrize(
    ("rule", "falsely", "promoted", "median"),
    [
        ("z-test at every look", (0.12, 0.50), (0.10, 0.55), (800, 5_000)),
        ("fixed threshold, 99 %", (0.95, 1.0), (0.0, 0.05), (3_000, 6_000)),
        ("Mann-Whitney each minute", (0.0, 0.10), (0.30, 0.80), (11_000, 30_000)),
        ("mSPRT, normal prior", (0.0, 0.06), (0.0, 0.28), (13_000, 23_000)),
        ("asymptotic confidence sequence", (0.0, 0.06), (0.0, 0.32), (11_000, 20_000)),
        ("group sequential, 20 looks", (0.0, 0.17), (0.0, 0.17), (20_000, 35_000)),
        ("GLR stopping", (0.0, 0.06), (0.04, 0.42), (15_000, 27_000)),
        ("Crossfade", (0.0, 0.11), (0.0, 0.14), (8_000, 16_000)),
    ],
)
def test_each_rule_errs_and_detects_as_its_kind_does(
    found: dict[str, Row],
    rule: str,
    falsely: tuple[float, float],
    promoted: tuple[float, float],
    median: tuple[float, float],
) -> None:
    row = found[rule]
    assert falsely[0] <= row.false_roll_back.share <= falsely[1]
    assert promoted[0] <= row.promoted_at_margin.share <= promoted[1]
    assert row.delay.median is not None
    assert median[0] <= row.delay.median <= median[1]
    assert row.detected.share >= 0.95
    assert row.delay_four_points.median is not None
    assert row.delay_four_points.median < row.delay.median


def test_every_rule_is_compared(found: dict[str, Row]) -> None:
    assert list(found) == [rule.name for rule in RULES]


def test_the_information_bound_is_the_published_one() -> None:
    assert bound_calls(0.01) == pytest.approx(8_748, abs=1)


def test_the_group_sequential_bounds_are_the_published_ones() -> None:
    # gsDesign's bounds for five looks, Lan-DeMets O'Brien-Fleming, one-sided 2.5 %.
    assert group_sequential.bounds(5, 0.025) == pytest.approx((4.877, 3.357, 2.680, 2.290, 2.031), abs=0.003)


def test_the_rank_statistic_is_that_of_scipy() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 4, (5, 30)) / 60, rng.integers(0, 9, (5, 30)) / 540
    pairs = mann_whitney._above(x[:, :, None], y[:, None, :]).sum(axis=1)
    ours = mann_whitney._statistic(pairs, x, y)
    for statistic, one, other in zip(ours, x, y, strict=True):
        theirs = mannwhitneyu(one, other, method="asymptotic")
        assert 2 * float(mann_whitney.norm.sf(abs(statistic))) == pytest.approx(theirs.pvalue)


def test_errors_are_those_of_the_runs() -> None:
    some = share(np.arange(400) < 100)
    assert (some.share, round(some.error, 4)) == (0.25, 0.0217)
    assert share(np.zeros(400, dtype=bool)).error > 0
    quantiles = delay(np.array([100.0, 200.0, 300.0, np.inf, np.inf]))
    assert (quantiles.median, quantiles.error, quantiles.p90) == (300.0, None, None)


def test_the_command_prints_the_table_and_writes_figures_and_plots(tmp_path: Path) -> None:
    command = [
        "-m",
        "benchmarks.rules",
        "--runs",
        "3",
        "--json",
        tmp_path / "rules.json",
        "--plots",
        tmp_path / "plots",
    ]
    done = subprocess.run([sys.executable, *command], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert all(rule.name in done.stdout for rule in RULES)
    assert len(json.loads((tmp_path / "rules.json").read_text())["rules"]) == len(RULES)
    drawn = {path.name: path.read_text() for path in (tmp_path / "plots").iterdir()}
    assert set(drawn) == {"rules-false.svg", "rules-delay.svg", "rules-interval.svg"}
    assert all("<text" in text and len(text) < 60_000 for text in drawn.values())


def test_a_bad_number_of_runs_is_refused_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.rules", "--runs", "0"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "'0' is not a number of runs: 1 or more" in done.stderr
