"""Compares what callers get on bad days: plain boto3, LiteLLM's Router with fallbacks, and Crossfade."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.faults.comparison import Comparison, Figures

HEAD = (
    "| what goes wrong | calls/s | client | answered | median, s | p99, s | attempts a call | CPU ms a call |",
    "|---|--:|---|--:|--:|--:|--:|--:|",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--seconds", type=_number, default=15.0, help="of calls in each case (15: seven minutes)")
    parser.add_argument("--rates", type=_number, nargs="+", default=[5.0, 50.0], help="calls a second (5 50)")
    parser.add_argument("--litellm", metavar="PYTHON", default=sys.executable, help="one that has LiteLLM (this one)")
    parser.add_argument("--seed", type=int, default=1, help="of the faults that strike by chance (1)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    asked = parser.parse_args()
    comparison = Comparison(seconds=asked.seconds, rates=asked.rates, litellm=asked.litellm, seed=asked.seed)
    figures = comparison.run()
    load = os.getloadavg()[0]
    print(*HEAD, *map(row, figures), sep="\n")
    for client, why in comparison.missing.items():
        print(f"\nNot measured: {client}, which could not be started ({why}).")
    print(f"\nThe machine's load at the end: {load:.1f} on {os.cpu_count()} cores.")
    if asked.json:
        told = {"figures": list(map(asdict, figures)), "missing": comparison.missing, "load": load}
        Path(asked.json).write_text(json.dumps(told, indent=1))


def row(each: Figures) -> str:
    times = ("-" if seconds is None else f"{seconds:.3f}" for seconds in (each.median, each.p99))
    cells = (each.case, f"{each.rate:g}", each.client, f"{each.answered:.1%}", *times)
    return f"| {' | '.join(cells)} | {each.attempts:.2f} | {each.cpu * 1e3:.1f} |"


def _number(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 and up to 1000")
    return found


if __name__ == "__main__":
    main()
