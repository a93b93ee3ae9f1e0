"""Table: the comparison for a terminal, and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

from benchmarks.rules.calls import BASE, CALLS_PER_LOOK, LOOKS, MARGIN, WEIGHT
from benchmarks.rules.comparison import WINDOW, Delay, Row, Share, bound_calls

HEADINGS = (
    "rule",
    "rolled back, equal",
    "promoted, +0.5",
    "let through, +0.5",
    "found, +1",
    "calls to it (p90)",
    "calls at +4",
)


def to_text(rows: list[Row]) -> str:
    """Shares in percent with their standard errors, delays in calls."""
    table = [HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEADINGS))]
    lines = ["  ".join(_aligned(cells, widths)) for cells in table]
    bound = f"The information bound at +1 point is {bound_calls(0.01):,.0f} calls on average."
    counted = [f"  {row.rule}: {row.promotes}" for row in rows]
    return "\n".join([*lines, "", bound, "Promoted means:", *counted])


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.rule,
        percent(row.false_roll_back),
        percent(row.promoted_at_margin),
        percent(row.let_through),
        percent(row.detected),
        f"{calls(row.delay.median)}{_error(row.delay)} ({calls(row.delay.p90)})",
        calls(row.delay_four_points.median),
    )


def _aligned(cells: tuple[str, ...], widths: list[int]) -> list[str]:
    name, *figures = (
        cell.ljust(width) if not k else cell.rjust(width)
        for k, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return [name, *figures]


def percent(share: Share) -> str:
    return f"{100 * share.share:.1f} ± {100 * share.error:.1f} %"


def calls(count: float | None) -> str:
    return f"over {WINDOW:,}" if count is None else f"{count:,.0f}"


def _error(delay: Delay) -> str:
    return "" if delay.error is None else f" ± {delay.error:,.0f}"


def to_json(rows: list[Row], *, runs: int, seed: int) -> str:
    """Everything the table shows, with the setting it was measured in."""
    setting = {
        "runs": runs,
        "seed": seed,
        "base": BASE,
        "weight": WEIGHT,
        "margin": MARGIN,
        "looks": LOOKS,
        "calls_per_look": CALLS_PER_LOOK,
    }
    return json.dumps({**setting, "bound_calls": bound_calls(0.01), "rules": [asdict(row) for row in rows]}, indent=2)
