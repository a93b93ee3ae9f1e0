"""Compares other products' decision rules with Crossfade's judge on the same made traffic."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.rules.comparison import decide_all, rows, scenarios
from benchmarks.rules.table import to_json, to_text


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rules", description=__doc__)
    parser.add_argument("--runs", type=_runs, default=2_000, help="runs of each scenario (2000: some two minutes)")
    parser.add_argument("--seed", type=int, default=1, help="of all random numbers (1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw the three plots there, as SVG")
    asked = parser.parse_args()
    calls = scenarios(asked.runs, asked.seed)
    ends = decide_all(calls)
    found = rows(ends)
    print(to_text(found))
    if asked.json:
        asked.json.write_text(to_json(found, runs=asked.runs, seed=asked.seed) + "\n")
    if asked.plots:
        # Only here: matplotlib takes a second to import.
        from benchmarks.rules.plots import draw_all

        draw_all(asked.plots, calls, ends)


def _runs(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of runs: 1 or more")
    return int(text)


if __name__ == "__main__":
    main()
