"""The acceptance table, measured: `python -m benchmarks.acceptance [--runs N] [--only TEXT] [FILE]`, as Markdown.

On one core; about a quarter of an hour at 1,000 runs a line.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.acceptance.coverage import missed
from benchmarks.acceptance.lines import LINES, Line, median_error
from crossfade.simulation.simulate import Result, Share, share_of, simulate

HEAD = (
    "| line | target | rolled back | promoted | calls, median (p90) | bound | green's calls | harm | runs | holds |",
    "|---|---|--:|--:|--:|--:|--:|--:|--:|---|",
)
COVERAGE_HEAD = (
    "| interval over 200,000 calls | lower end right | upper end right | runs |",
    "|---|--:|--:|--:|--:|",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.acceptance", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, help="where the table goes; else to the terminal")
    parser.add_argument("--runs", type=int, default=1_000, help="rollouts a line (default 1000)")
    parser.add_argument("--only", default="", help="lines whose name has this text")
    asked = parser.parse_args()
    out = asked.file.open("w") if asked.file else sys.stdout
    for row in HEAD:
        print(row, file=out, flush=True)
    for line in LINES:
        if asked.only in line.name:
            print(row_of(line, simulate(replace(line.case, runs=asked.runs))), file=out, flush=True)
    if asked.only in "interval":
        print("", *COVERAGE_HEAD, sep="\n", file=out)
        for worse, weight in ((0.0, 0.1), (0.005, 0.1), (0.0, 0.5)):
            print(coverage_row(worse, weight, min(asked.runs, 300)), file=out, flush=True)


def row_of(line: Line, result: Result) -> str:
    calls = "none decided"
    if result.median_calls is not None:
        calls = f"{result.median_calls:,} +- {1.96 * median_error(result):,.0f} ({result.p90_calls:,})"
    bound = "" if result.bound_calls is None else f"{result.bound_calls:,}"
    holds = "; ".join(line.missed(result)) or "yes"
    cells = (
        line.name,
        line.target,
        _share(result.rolled_back),
        _share(result.promoted),
        calls,
        bound,
        f"{result.green_calls:,}",
        f"{result.harm:,.1f}",
        f"{result.runs:,}",
        holds,
    )
    return f"| {' | '.join(cells)} |"


def coverage_row(worse: float, weight: float, runs: int) -> str:
    found = missed(blue=0.01, green=0.01 + worse, weight=weight, runs=runs, calls=200_000)
    lower, upper = (_share(share_of(runs - count, runs)) for count in (found.by_lower, found.by_upper))
    name = f"1 %, {100 * worse:+g} points, weight {100 * weight:g} %"
    return f"| {name} | {lower} | {upper} | {runs} |"


def _share(share: Share) -> str:
    return f"{share.share:.4f} +- {share.error:.4f}"


if __name__ == "__main__":
    main()
