"""Worker: one client in one cell, in a process of its own, which makes calls at a given rate whatever becomes of them.

Told by a line of JSON on standard input, says on standard output that it is ready, begins at the next line, and says
what came of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from typing import Any

from benchmarks.faults.clients import CLIENTS, PATIENCE, Ask

_SLACK = 2.0
TEXT = "the quick brown fox jumps over the lazy dog"


def main() -> None:
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is no answer of ours
    told = json.loads(sys.stdin.readline())
    try:
        make = CLIENTS[told["client"]](told["endpoints"], told["controller"])
        assert make("warm")(TEXT, False, False) == TEXT
    except Exception as error:
        print(json.dumps({"ready": False, "why": f"{type(error).__name__}: {error}"}), file=out)
        return
    print(json.dumps({"ready": True}), file=out)
    ask = make(told["cell"])
    if sys.stdin.readline():
        print(json.dumps(run(ask, told)), file=out)
    os._exit(0)  # calls that hang still must not hold up the end


def run(ask: Ask, order: dict[str, Any]) -> dict[str, Any]:
    """Makes `calls` calls at `rate` a second: for each its seconds, from when it was due, or None without an answer;
    and the processor's seconds a call."""
    calls, rate = order["calls"], order["rate"]
    took: list[float | None] = [None] * calls
    cpu, begun = time.process_time(), time.monotonic()

    def one(number: int) -> None:
        due = begun + number / rate
        with contextlib.suppress(Exception):
            green = order["green"] and number % 2 == 1
            if ask(TEXT, order["streaming"], green) == TEXT and (seconds := time.monotonic() - due) <= PATIENCE:
                took[number] = seconds

    threads = []
    for number in range(calls):
        time.sleep(max(0.0, begun + number / rate - time.monotonic()))
        thread = threading.Thread(target=one, args=(number,), daemon=True)
        thread.start()
        threads.append(thread)
    end = time.monotonic() + PATIENCE + _SLACK
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return {"took": list(took), "cpu": (time.process_time() - cpu) / calls}


if __name__ == "__main__":
    main()
