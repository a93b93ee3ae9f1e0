"""What a terminal shows of a rollout."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from crossfade.cli import render

CALLS = {"calls": 0, "errors": 0, "busy": 0, "retries": 0, "failovers": 0}
ROLLOUT: dict[str, Any] = {
    "id": 7, "route": "chat", "version": 2, "phase": "progressing", "step": 0, "steps": [], "weight": 10,
    "observed_weight": None, "sentence": "Holding at 10 %.", "blue": "old", "green": "new", "blue_calls": CALLS,
    "green_calls": CALLS, "tiles": [], "durations": [],
}  # fmt: skip


def shown(**more: Any) -> str:
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(render.status(ROLLOUT | more))
    return console.export_text()


def test_status_has_a_line_for_each_quantile_of_durations() -> None:
    sentence = "blue 199 ms (197 to 201 ms), green –; green - blue –"
    said = shown(durations=[{"name": "whole call, p95", "sentence": sentence}])
    assert "durations in this step" in said
    assert f"whole call, p95: {sentence}" in said


def test_status_says_nothing_of_durations_that_are_not_there() -> None:
    assert "durations" not in shown()
