"""Times the reads of a route and of a rollout with a day behind them, from all rows and from what was summed up."""

from __future__ import annotations

import argparse

from benchmarks.arguments import count
from benchmarks.reads.day import days
from benchmarks.reads.ways import measure


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reads", description=__doc__)
    parser.add_argument("--shims", type=count, default=15, help="that send a row a variant and bucket (15)")
    parser.add_argument("--buckets", type=count, default=8_640, help="of the day (8640: a day of 10 s)")
    parser.add_argument("--rounds", type=count, default=5, help="of all reads in turn (5)")
    parser.add_argument("--seed", type=int, default=1, help="of the made traffic (1)")
    asked = parser.parse_args()
    print("| read | from all rows, ms | summed up, ms | share |", "|---|--:|--:|--:|", sep="\n", flush=True)
    with days(shims=asked.shims, buckets=asked.buckets, seed=asked.seed) as (rows, summed):
        for timed in measure(rows, summed, rounds=asked.rounds):
            print(f"| {timed.read} | {timed.rows:.1f} | {timed.summed:.1f} | {timed.summed / timed.rows:.1%} |")


if __name__ == "__main__":
    main()
