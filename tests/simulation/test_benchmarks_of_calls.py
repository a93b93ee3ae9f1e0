"""The benchmarks of the call path still run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.faults.cases import CASES
from benchmarks.faults.clients import CLIENTS
from benchmarks.shim.imports import STEPS
from benchmarks.shim.ways import OPERATIONS
from benchmarks.sidecar.figures import CASES as CASES_OF_GATEWAYS
from benchmarks.sidecar.figures import CHAT, CONVERSE, SPEAKS
from benchmarks.sidecar.gateways import FLOOR, SIDECAR
from benchmarks.sidecar.upstream import LATE

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


@pytest.mark.slow  # every case begins with new processes
def test_every_client_is_compared_in_every_case(tmp_path: Path) -> None:
    command = ["-m", "benchmarks.faults", "--seconds", "0.4", "--rates", "10", "--json", tmp_path / "told"]
    done = subprocess.run([sys.executable, *command], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    told = json.loads((tmp_path / "told").read_text())
    there = CLIENTS.keys() - told["missing"].keys()
    assert {"boto3", "crossfade"} <= there
    figures = {(each["case"], each["client"]): each for each in told["figures"]}
    assert figures.keys() == {(case.name, client) for case in CASES for client in there}
    assert all(each["attempts"] > 0 for each in figures.values())
    for client in there:
        assert figures["nothing", client]["answered"] == 1.0
    assert figures["503 from one region", "boto3"]["answered"] == 0.0
    assert figures["503 from one region", "crossfade"]["answered"] == 1.0
    green = "green, half of the calls, fails"
    assert (figures[green, "boto3"]["answered"], figures[green, "crossfade"]["answered"]) == (0.5, 1.0)
    for client in told["missing"]:
        assert f"Not measured: {client}" in done.stdout


def test_every_gateway_is_measured_in_every_way_it_speaks(tmp_path: Path) -> None:
    command = ["-m", "benchmarks.sidecar", "--rounds", "1", "--calls", "20", "--seconds", "1", "--streams", "5"]
    command += ["--json", str(tmp_path / "told")]
    done = subprocess.run([sys.executable, *command], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    told = json.loads((tmp_path / "told").read_text())
    there = SPEAKS.keys() - told["missing"].keys()
    assert {FLOOR, SIDECAR} <= there
    spoken = {(face, gateway) for gateway in there for face in SPEAKS[gateway]}
    for case in CASES_OF_GATEWAYS:
        found = {(each["face"], each["gateway"]): each for each in told["costs"] if each["of"] == case.of}
        assert found.keys() == {(face, gateway) for face, gateway in spoken if not (case.http2 and face == CHAT)}
        assert found[CONVERSE, FLOOR]["ratio"] == 1.0
        assert all(each["microseconds"] > 0 for each in found.values())
    assert {each["gateway"] for each in told["held"]} == {each["gateway"] for each in told["added"]} == there
    for each in told["added"]:
        assert each["calls"] > 0
        assert LATE * 1e3 / 2 < each["straight_p50"] <= each["straight_p99"]
    for gateway in told["missing"]:
        assert f"Not measured: {gateway}" in done.stdout
