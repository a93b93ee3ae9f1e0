"""Starting and ending the sandbox as a process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from crossfade.errors import SetupError, Unavailable
from crossfade.sandbox.running import Sandbox

ECHO_ONLY = ("echo",)


def _gone(pid: int, seconds: float = 5.0) -> bool:
    """Whether a process that is not our child ends within `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_it_ends_with_the_with_block() -> None:
    with Sandbox(("us-east-1",), models=ECHO_ONLY) as sandbox:
        pid = sandbox.pid
        port = int(sandbox.endpoint("us-east-1").rpartition(":")[2])
    assert _gone(pid, 0.5)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    with pytest.raises(Unavailable):
        sandbox.faults()


def test_two_run_beside_each_other() -> None:
    with Sandbox(models=ECHO_ONLY) as one, Sandbox(models=ECHO_ONLY) as other:
        one.fault("internal")
        assert len(one.faults()) == 1
        assert other.faults() == []


def test_a_taken_port_is_one_line_that_says_which() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=rf"127\.0\.0\.1:{port} for region us-east-1") as caught:
            Sandbox(("us-east-1",), ports=(port,), models=ECHO_ONLY).start()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--regions", "a,b", "--ports", "0"],
        ["--ports", "0,0,x"],
        ["--ports", "0,0,70000"],
        ["--regions", ""],
        ["--regions", "a,a"],
        ["--models", "gpt"],
    ],
)
def test_wrong_arguments_are_one_line_and_exit_code_2(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "crossfade.sandbox", "--models", "echo", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert ended.returncode == 2
    assert ended.stderr.startswith("sandbox: ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_even_with_calls_in_flight(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "crossfade.sandbox", "--models", "echo", "--regions", "a", "--print-json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        ready = json.loads(process.stdout.readline())
        assert ready["pid"] == process.pid
        with socket.create_connection(("127.0.0.1", ready["ports"]["a"]), timeout=5) as raw:
            raw.sendall(b"POST /model/x/converse HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            process.send_signal(number)
            assert process.wait(5) == 0
        assert process.stderr.read() == ""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX processes")
def test_it_ends_when_its_parent_is_killed() -> None:
    # The parent dies by SIGKILL and keeps no chance to clean up; a second process of it holds the pipe to the
    # sandbox's standard input open, as a forked worker would.
    script = (
        "import os, time\n"
        "from crossfade.sandbox.running import Sandbox\n"
        "sandbox = Sandbox(models=('echo',)).start()\n"
        "worker = os.fork()\n"
        "if worker == 0:\n"
        "    time.sleep(20)\n"
        "    os._exit(0)\n"
        "print(sandbox.pid, worker, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, worker = map(int, parent.stdout.readline().split())
        parent.kill()
        parent.wait()
        try:
            assert _gone(pid)
        finally:
            os.kill(worker, signal.SIGKILL)
