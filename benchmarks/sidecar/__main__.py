"""Times a call through the sidecar against the same without Crossfade, and against LiteLLM's proxy."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.arguments import count
from benchmarks.sidecar import figures, gateways
from benchmarks.sidecar.upstream import upstream


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sidecar", description=__doc__)
    parser.add_argument("--rounds", type=count, default=15, help="of all gateways in turn (15: about five minutes)")
    parser.add_argument("--calls", type=count, default=2000, help="of each gateway in a round (2000)")
    parser.add_argument("--seconds", type=count, default=2, help="of calls at a given rate, in every third round (2)")
    parser.add_argument("--streams", type=count, default=300, help="open at a time (300)")
    parser.add_argument("--litellm", metavar="PYTHON", default=sys.executable, help="one that has LiteLLM (this one)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments of calls (1)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    asked = parser.parse_args()
    missing: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(upstream())
        there = [stack.enter_context(gateways.floor(port)), stack.enter_context(gateways.sidecar(port))]
        try:
            there.append(stack.enter_context(gateways.litellm(port, asked.litellm)))
        except OSError as error:
            missing[gateways.LITELLM] = str(error)
        held = _held(there, asked.streams)
        costs = _costs(there, asked.rounds, asked.calls)
        added = _added(there, port, costs, max(1, asked.rounds // 3), asked.seconds, asked.seed)
    load = os.getloadavg()[0]
    for gateway, why in missing.items():
        print(f"\nNot measured: {gateway}, which could not be started ({why}).")
    print(f"\nThe machine's load at the end: {load:.1f} on {os.cpu_count()} cores.")
    if asked.json:
        told = {name: list(map(asdict, rows)) for name, rows in (("held", held), ("costs", costs), ("added", added))}
        Path(asked.json).write_text(json.dumps({**told, "missing": missing, "load": load}, indent=1))


def _held(there: list[gateways.Gateway], streams: int) -> list[figures.Held]:
    print("| open streams | asked | through | KB a stream |", "|--:|---|---|--:|", sep="\n", flush=True)
    found = []
    for each in figures.held(there, streams):
        found.append(each)
        print(f"| {each.streams} | {each.face} | {each.gateway} | {each.kilobytes:.0f} |", flush=True)
    return found


def _costs(there: list[gateways.Gateway], rounds: int, calls: int) -> list[figures.Cost]:
    head = "| of | asked | through | CPU us | a second and core | x floor | quartiles |"
    print(f"\n{head}", "|---|---|---|--:|--:|--:|---|", sep="\n", flush=True)
    found = []
    for each in figures.costs(there, rounds=rounds, calls=calls):
        found.append(each)
        cells = (
            each.of,
            each.face,
            each.gateway,
            f"{each.microseconds:.0f}",
            f"{each.a_core:,.0f}",
            f"{each.ratio:.2f}",
        )
        print(f"| {' | '.join(cells)} | {each.low:.2f} .. {each.high:.2f} |", flush=True)
    return found


def _added(
    there: list[gateways.Gateway], port: int, costs: list[figures.Cost], rounds: int, seconds: float, seed: int
) -> list[figures.Added]:
    head = "| asked | through | calls/s | p50 without, ms | added | p99 without, ms | added |"
    print(f"\n{head}", "|---|---|--:|--:|--:|--:|--:|", sep="\n", flush=True)
    found = []
    for each in figures.added(there, port, costs, rounds=rounds, seconds=seconds, seed=seed):
        found.append(each)
        times = (each.straight_p50, each.added_p50, each.straight_p99, each.added_p99)
        cells = (each.face, each.gateway, f"{each.rate:.0f}", *(f"{milliseconds:.1f}" for milliseconds in times))
        print(f"| {' | '.join(cells)} |", flush=True)
    return found


if __name__ == "__main__":
    main()
