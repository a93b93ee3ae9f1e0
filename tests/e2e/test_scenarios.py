"""The demo end to end: each scenario ends as it must, and nothing is left however the demo ends.

`better` and `broken` are the short form; all six run with `dev.py test --full`, as in `.ci/run`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from crossfade.demo.scenarios import SCENARIOS
from crossfade.server.bring_up import clean_environment
from crossfade.server.reaper import is_running

KEYS = {
    "scenario", "seed", "phase", "decisions", "calls_made", "calls_recorded", "scores_sent", "scores_recorded",
    "green_calls", "callers_errors", "busy_answers", "attempts", "observed_weight", "seconds",
    "rollout_seconds", "expected",
}  # fmt: skip
SHORT = ("better", "broken")
PATIENCE_SECONDS = 280
linux_only = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "crossfade.demo", *arguments]


@pytest.mark.timeout(PATIENCE_SECONDS + 20)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in SHORT else pytest.mark.slow) for name in SCENARIOS]
)
def test_scenario_ends_as_it_must_and_every_call_and_score_is_recorded_once(name: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    ended = subprocess.run(
        command("--scenario", name, "--headless", "--seed", "7", "--report", str(path)),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        env=clean_environment({}),
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    report = json.loads(path.read_text())
    assert set(report) == KEYS
    assert report["phase"] in SCENARIOS[name].phases
    assert report["calls_made"] == report["calls_recorded"] > 500
    assert report["scores_sent"] == report["scores_recorded"] > 500
    assert report["callers_errors"] == 0
    assert report["seconds"] < 240


class Demo:
    """A demo that runs, and what it started: all are in its process group or below it."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=clean_environment({"TMPDIR": tempfile.gettempdir()}),
            start_new_session=True,
        )
        self.said = ""
        self.address = ""

    def until(self, words: str) -> None:
        """Reads on until a line says this."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if found := re.search(r"^Page\s+(http://\S+)", line):
                self.address = found.group(1)
            if words in line:
                return
        raise AssertionError(f"the demo ended without saying {words!r}:\n{self.said}")

    def rest(self, seconds: float) -> int:
        said, _ = self.process.communicate(timeout=seconds)
        self.said += said
        return self.process.returncode


@pytest.fixture
def start() -> Iterator[Callable[..., Demo]]:
    running: list[Demo] = []

    def begin(*arguments: str) -> Demo:
        running.append(Demo(*arguments))
        return running[-1]

    yield begin
    for demo in running:
        with contextlib.suppress(ProcessLookupError):
            demo.process.terminate()
        demo.process.communicate(timeout=60)


def below(pid: int) -> set[int]:
    """All processes that descend from this one."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def folders(pids: set[int]) -> set[Path]:
    """The demo's temporary folder, as its processes were told of it."""
    lines = b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids).decode()
    return {Path(found) for found in re.findall(rf"{tempfile.gettempdir()}/crossfade-demo-\w+", lines)}


def is_open(address: str) -> bool:
    parts = urlsplit(address)
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((str(parts.hostname), int(parts.port or 0))) == 0


def eventually(true: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.1)
    return true()


@linux_only
@pytest.mark.timeout(150)
@pytest.mark.parametrize(
    ("signum", "code"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 130, marks=pytest.mark.slow),
        (signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_nothing_is_left_however_the_demo_is_ended(start: Callable[..., Demo], signum: int, code: int) -> None:
    demo = start("--headless")
    demo.until("Registered rollout")
    children = below(demo.process.pid)
    mine = folders(children)
    assert len(children) >= 7  # reaper, sandbox, postgres, controller and its worker, scheduler, two services
    assert is_open(demo.address)
    assert mine
    demo.process.send_signal(signum)
    assert demo.rest(60) == code
    assert eventually(lambda: not any(map(is_running, children)))
    assert not is_open(demo.address)
    assert eventually(lambda: not any(folder.exists() for folder in mine))


@linux_only
@pytest.mark.timeout(150)
@pytest.mark.parametrize("part", [pytest.param("scheduler"), pytest.param("postgres", marks=pytest.mark.slow)])
def test_crash_of_one_part_ends_all_and_is_named(start: Callable[..., Demo], part: str) -> None:
    demo = start("--headless")
    demo.until("Registered rollout")
    children = below(demo.process.pid)
    words = {"scheduler": b"\0scheduler\0", "postgres": b"/bin/postgres\0"}
    victim = next(pid for pid in children if words[part] in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(victim, signal.SIGKILL)
    assert demo.rest(60) == 1
    assert f"{part} was ended by SIGKILL" in demo.said
    assert "Traceback" not in demo.said
    assert eventually(lambda: not any(map(is_running, children)))


@pytest.mark.timeout(150)
def test_second_demo_beside_the_first_works(start: Callable[..., Demo]) -> None:
    demos = [start(), start()]
    for demo in demos:
        demo.until("Registered rollout")
    assert demos[0].address != demos[1].address
    for demo in demos:
        with urlopen(f"{demo.address}/v1/health", timeout=10) as reply:
            assert json.load(reply)["database"] == "ok"


@pytest.mark.timeout(60)
def test_taken_port_is_one_line_and_exit_2(start: Callable[..., Demo]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        demo = start("--headless", "--port", str(port))
        assert demo.rest(50) == 2
    assert f"--port {port}: is taken; choose another, or leave it out for a free one" in demo.said
    assert "Traceback" not in demo.said


def test_unknown_scenario_is_refused_with_the_known_ones() -> None:
    ended = subprocess.run(command("--scenario", "beter"), capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert all(name in ended.stderr for name in SCENARIOS)
