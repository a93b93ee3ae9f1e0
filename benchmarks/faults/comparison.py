"""Comparison: every case at every rate, all clients at the same time, each in a process of its own."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.controller import controller, snapshot_of
from benchmarks.faults.cases import CASES, REGIONS, Case
from benchmarks.faults.clients import ATTEMPT, CLIENTS, PATIENCE, model_id
from crossfade.core.model import Model, Target
from crossfade.core.policy import Settings
from crossfade.core.route import Route
from crossfade.core.snapshot import Entry, Live, Snapshot
from crossfade.sandbox.running import Sandbox

CHECKOUT = Path(__file__).resolve().parents[2]
POLICY = Settings(deadline=PATIENCE, stream_deadline=PATIENCE, attempt_share=ATTEMPT / PATIENCE)
_STOP_SECONDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of one client in one case at one rate. Times are of the answered calls, in seconds from when each was due, None
    where there is none."""

    case: str
    rate: float
    client: str
    calls: int
    answered: float
    median: float | None
    p99: float | None
    attempts: float
    cpu: float


class Worker:
    """A client in its process, new for each cell: nothing learnt, and no backlog, goes from one to the next."""

    def __init__(self, python: str, told: dict[str, Any]) -> None:
        self.client = told["client"]
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.faults.worker"],
            cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._tell(json.dumps(told))

    def begin(self) -> None:
        self._tell("go")

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # then `hear` says why
            print(line, file=self._process.stdin, flush=True)

    def hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return dict(json.loads(line)) if line else {"ready": False, "why": "its process ended"}

    def stop(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Comparison:
    """One run. `missing` says which clients are not there, and why."""

    def __init__(self, *, seconds: float, rates: Sequence[float], litellm: str, seed: int) -> None:
        self._cells = {f"c{n}": cell for n, cell in enumerate((case, rate) for case in CASES for rate in rates)}
        self._seconds, self._litellm, self._seed = seconds, litellm, seed
        self.missing: dict[str, str] = {}

    def run(self) -> list[Figures]:
        with contextlib.ExitStack() as stack:
            sandbox = stack.enter_context(Sandbox(REGIONS, models=("echo",), seed=self._seed))
            settings = stack.enter_context(controller(_snapshot(sandbox, ["warm", *self._cells])))
            heard = {cell: self._cell(sandbox, settings, cell, *asked) for cell, asked in self._cells.items()}
            sandbox.settle()
            attempts = _attempts(sandbox)
        return [
            _figures(case, rate, client, heard[cell][client], attempts.get(model_id(client, cell), 0))
            for cell, (case, rate) in self._cells.items()
            for client in CLIENTS
            if client in heard[cell]
        ]

    def _cell(
        self, sandbox: Sandbox, settings: dict[str, Any], cell: str, case: Case, rate: float
    ) -> dict[str, dict[str, Any]]:
        order = {
            "endpoints": {region: sandbox.endpoint(region) for region in REGIONS},
            "controller": {name: str(v) if isinstance(v, Path) else v for name, v in settings.items()},
            "cell": cell,
            "calls": max(1, round(self._seconds * rate)),
            "rate": rate,
            "streaming": case.streaming,
            "green": case.green,
        }
        with contextlib.ExitStack() as stack:
            workers = []
            for client in CLIENTS.keys() - self.missing.keys():
                python = self._litellm if client == "litellm" else sys.executable
                workers.append(Worker(python, {"client": client, **order}))
                stack.callback(workers[-1].stop)
            for worker in workers:
                ready = worker.hear()
                if not ready["ready"]:
                    self.missing[worker.client] = ready["why"]
            stack.callback(sandbox.clear)
            case.put(sandbox, rate, [model_id(client, cell, green=True) for client in CLIENTS])
            there = [worker for worker in workers if worker.client not in self.missing]
            for worker in there:
                worker.begin()
            return {worker.client: worker.hear() for worker in there}


def _figures(case: Case, rate: float, client: str, heard: dict[str, Any], attempts: int) -> Figures:
    if "took" not in heard:
        raise RuntimeError(f"the process of {client} broke off in {case.name!r} at {rate:g} calls a second")
    took = sorted(seconds for seconds in heard["took"] if seconds is not None)
    calls = len(heard["took"])
    return Figures(
        case=case.name,
        rate=rate,
        client=client,
        calls=calls,
        answered=len(took) / calls,
        median=median(took) if took else None,
        p99=took[min(len(took) - 1, int(0.99 * len(took)))] if took else None,
        attempts=attempts / calls,
        cpu=heard["cpu"],
    )


def _attempts(sandbox: Sandbox) -> dict[str, int]:
    """Requests of each blue model id, its green's with them."""
    found: dict[str, int] = {}
    for row in sandbox.counts()["rows"]:
        model = row["model"].replace("-green-v1:0", "-v1:0")
        found[model] = found.get(model, 0) + row["calls"]
    return found


def _snapshot(sandbox: Sandbox, cells: Sequence[str]) -> Snapshot:
    """A route for each cell, named like it, with a rollout at 50 %; in the cells without a green all calls bear a key
    of blue's."""
    models = [_model(sandbox, cell, green=green) for cell in cells for green in (False, True)]
    entries = [
        Entry(
            id=number,
            route=Route(name=cell, blue=f"{cell}-blue", policy=POLICY),
            live=Live(rollout=number, step=1, weight=50.0, salt=cell, green=f"{cell}-green"),
        )
        for number, cell in enumerate(cells, 1)
    ]
    return snapshot_of(entries, models)


def _model(sandbox: Sandbox, cell: str, *, green: bool) -> Model:
    named = model_id("crossfade", cell, green=green)
    targets = (Target(region=r, model_id=named, endpoint_url=sandbox.endpoint(r)) for r in REGIONS)
    return Model(name=f"{cell}-{'green' if green else 'blue'}", targets=tuple(targets))
