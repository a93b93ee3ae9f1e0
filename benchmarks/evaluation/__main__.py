"""Times one tick's judgement of one check, from what is carried and from all buckets anew."""

from __future__ import annotations

import argparse

from benchmarks.arguments import count
from benchmarks.evaluation.table import HEAD, row
from benchmarks.evaluation.ways import EVIDENCE, measure


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluation", description=__doc__)
    parser.add_argument("--buckets", type=count, default=8_640, help="behind the tick (8640: a day of 10 s)")
    parser.add_argument("--rounds", type=count, default=20, help="of all ways in turn (20: under a minute)")
    parser.add_argument("--seed", type=int, default=1, help="of the made traffic (1)")
    asked = parser.parse_args()
    print(*HEAD, sep="\n", flush=True)
    for evidence in EVIDENCE:
        for timed in measure(evidence, buckets=asked.buckets, rounds=asked.rounds, seed=asked.seed):
            print(row(evidence, timed), flush=True)


if __name__ == "__main__":
    main()
