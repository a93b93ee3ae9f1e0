"""Times a call through the shim, and its import, against plain boto3 in the same process."""

from __future__ import annotations

import argparse
import json
import logging
import os
from dataclasses import asdict

from benchmarks.arguments import count
from benchmarks.shim import imports, ways


def main() -> None:
    logging.getLogger("crossfade").setLevel(logging.CRITICAL)  # that the controller went away at the end is no news
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shim", description=__doc__)
    parser.add_argument("--rounds", type=count, default=100, help="of all ways in turn (100: about two minutes)")
    parser.add_argument("--calls", type=count, default=25, help="of each way in a round (25)")
    parser.add_argument("--imports", type=count, default=15, help="new processes for each import (15)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    asked = parser.parse_args()
    print("| call | way | CPU us a call | x plain boto3 | quartiles |", "|---|---|--:|--:|---|", sep="\n", flush=True)
    calls = []
    for operation in ways.OPERATIONS:
        for timed in ways.measure(operation, rounds=asked.rounds, calls=asked.calls):
            calls.append(timed)
            cells = (operation, timed.way, f"{timed.microseconds:.0f}", f"{timed.ratio:.3f}")
            print(f"| {' | '.join(cells)} | {timed.low:.3f} .. {timed.high:.3f} |", flush=True)
    print("\n| import | over | CPU ms | quartiles | MB |", "|---|---|--:|---|--:|", sep="\n", flush=True)
    imported = imports.measure(asked.imports)
    for each in imported:
        cells = (each.step, f"`{each.after}`", f"{each.milliseconds:.1f}", f"{each.low:.1f} .. {each.high:.1f}")
        print(f"| {' | '.join(cells)} | {each.megabytes:.1f} |", flush=True)
    load = os.getloadavg()[0]
    print(f"\nThe machine's load at the end: {load:.1f} on {os.cpu_count()} cores.")
    if asked.json:
        figures = {"calls": list(map(asdict, calls)), "imports": list(map(asdict, imported)), "load": load}
        with open(asked.json, "w") as file:
            json.dump(figures, file, indent=1)


if __name__ == "__main__":
    main()
