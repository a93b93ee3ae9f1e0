"""Table: the timed ways as Markdown."""

from __future__ import annotations

from benchmarks.evaluation.ways import Timed

HEAD = (
    "| check | one tick's judgement | of all buckets anew | ms, median | at most | holds |",
    "|---|---|--:|--:|--:|---|",
)


def row(check: str, timed: Timed) -> str:
    most, holds = "", ""
    if timed.most is not None:
        most, holds = f"{timed.most:g}", "yes" if timed.milliseconds <= timed.most else "no"
    cells = (check, timed.way, f"{timed.share:.2%}", f"{timed.milliseconds:.2f}", most, holds)
    return f"| {' | '.join(cells)} |"
