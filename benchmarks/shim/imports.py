"""Imports: what a service's start pays for Crossfade: time, and memory that stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from statistics import median, quantiles
from tempfile import TemporaryDirectory

STEPS = {
    "import crossfade": ("import boto3", "import crossfade"),
    "its names used": ("import boto3", "import crossfade; crossfade.install, crossfade.context, crossfade.flush"),
    "the same, where a client was made before": (
        "import boto3; boto3.client('bedrock-runtime', 'us-east-1')",
        "import crossfade; crossfade.install, crossfade.context, crossfade.flush",
    ),
}
_CHILD = """
import json, os, resource, time
def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 1e6
{before}
began, held = time.process_time(), resident()
{step}
print(json.dumps([(time.process_time() - began) * 1e3, resident() - held]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """The medians of all rounds: processor time in milliseconds with its quartiles, resident memory in megabytes."""

    step: str
    after: str
    milliseconds: float
    low: float
    high: float
    megabytes: float


def measure(rounds: int) -> list[Import]:
    """Each step in a new process, over what was imported before it; all steps in turn. Linux only."""
    found: dict[str, list[tuple[float, float]]] = {step: [] for step in STEPS}
    with TemporaryDirectory() as compiled:  # as an installed package is: whatever this machine does about bytecode
        env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": compiled}
        for number in range(rounds + 1):
            for step, (before, then) in STEPS.items():
                command = [sys.executable, "-c", _CHILD.format(before=before, step=then)]
                done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
                if number:  # the first round compiles
                    found[step].append(tuple(json.loads(done.stdout)))
    return [_import(step, taken) for step, taken in found.items()]


def _import(step: str, taken: list[tuple[float, float]]) -> Import:
    times = [milliseconds for milliseconds, _ in taken]
    low, middle, high = quantiles(times, n=4) if len(times) > 1 else times * 3
    held = median(megabytes for _, megabytes in taken)
    return Import(step=step, after=STEPS[step][0], milliseconds=middle, low=low, high=high, megabytes=held)
