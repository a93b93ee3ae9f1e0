"""The benchmarks of the call path still run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.shim.imports import STEPS
from benchmarks.shim.ways import OPERATIONS

CHECKOUT = Path(__file__).resolve().parents[2]


def test_the_shim_is_timed_in_every_way(tmp_path: Path) -> None:
    command = ["-m", "benchmarks.shim", "--rounds", "2", "--calls", "2", "--imports", "1", "--json", tmp_path / "told"]
    done = subprocess.run([sys.executable, *command], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    told = json.loads((tmp_path / "told").read_text())
    ways = {call["way"] for call in told["calls"]}
    assert {(call["operation"], call["way"]) for call in told["calls"]} == {(o, w) for o in OPERATIONS for w in ways}
    assert all(call["microseconds"] > 0 for call in told["calls"])
    assert [each["step"] for each in told["imports"]] == list(STEPS)
    for way in ways:
        assert f"| {way} |" in done.stdout
