"""Parts are watched, ended in order, and gone with their supervisor however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from crossfade.server.bring_up import clean_environment
from crossfade.server.processes import PartEnded, Processes
from crossfade.server.reaper import is_running

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
SUPERVISOR = """
import sys, time
from pathlib import Path
from crossfade.server.bring_up import clean_environment
from crossfade.server.processes import Processes
folder = Path(sys.argv[1])
with Processes(folder / "logs", remove=[folder]) as processes:
    for name in ("one", "two"):
        part = processes.start(name, [sys.executable, "-c", sys.argv[2]], clean_environment({}))
        print(part.process.pid, flush=True)
    print(processes._reaper.pid, flush=True)
    time.sleep(60)
"""


def eventually(true: Callable[[], bool], seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return true()


def test_part_that_ends_by_itself_is_told_with_its_last_words(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        part = processes.start(
            "scribe", [sys.executable, "-S", "-c", "print('my last words'); raise SystemExit(7)"], {}
        )
        with pytest.raises(PartEnded, match=r"scribe ended with exit code 7:\n  scribe \| my last words") as told:
            processes.wait_until(lambda: False, seconds=30, what="nothing")
        assert told.value.code == 7
        assert part.process.poll() == 7


def test_leaving_ends_every_part(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        parts = [processes.start(name, SLEEP, clean_environment({})) for name in ("one", "two")]
    assert [part.process.returncode for part in parts] == [-signal.SIGTERM, -signal.SIGTERM]


def test_waiting_is_bounded(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes, pytest.raises(Exception, match=r"the tide took longer than 0\.1 s"):
        processes.wait_until(lambda: False, seconds=0.1, what="the tide")


@pytest.mark.parametrize("said", ["time.sleep(60)", "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"])
def test_nothing_is_left_of_a_supervisor_that_was_killed(tmp_path: Path, said: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    command = [sys.executable, "-c", SUPERVISOR, str(folder), f"import signal, time; {said}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        pids = [int(supervisor.stdout.readline()) for _ in range(3)]
        assert all(map(is_running, pids))
        supervisor.kill()
        supervisor.wait(10)
    assert eventually(lambda: not any(map(is_running, pids)))
    assert not folder.exists()


def test_supervisor_told_to_stop_twice_still_puts_everything_away(tmp_path: Path) -> None:
    program = SUPERVISOR.replace("import sys", "import sys\nfrom crossfade.server.processes import end_on_signals", 1)
    program = program.replace("folder =", "end_on_signals()\nfolder =", 1)
    command = [sys.executable, "-c", program, str(tmp_path / "data"), "import time; time.sleep(60)"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    ) as supervisor:
        assert supervisor.stdout is not None
        pids = [int(supervisor.stdout.readline()) for _ in range(3)]
        os.killpg(supervisor.pid, signal.SIGINT)
        os.killpg(supervisor.pid, signal.SIGTERM)
        supervisor.wait(30)
    assert eventually(lambda: not any(map(is_running, pids)))
