"""Clears up after a supervisor that was killed. Run as a script, standard library only.

Reads lines on standard input: `child PID` and `gone PID` tell which processes run, `folder PATH` names a folder to
remove at the end, `done` that there is nothing left to do. When the input closes without `done`, the supervisor is
dead: the processes are asked to end, then killed, and the folders removed.
"""

import os
import shutil
import signal
import sys
import time

PATIENCE_SECONDS = 6.0


def is_running(pid: int) -> bool:
    """Whether a process of this number lives. One that has ended and waits for its parent does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return True


def send(pid: int, signum: int) -> None:
    """The signal to the process and, as far as it leads one, to its group."""
    for deliver in (os.killpg, os.kill):
        try:
            deliver(pid, signum)
        except (ProcessLookupError, PermissionError):
            continue


def end(pids: list[int]) -> None:
    for signum in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids:
            send(pid, signum)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while any(is_running(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.05)


def main() -> None:
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    pids: list[int] = []
    folders: list[str] = []
    for line in sys.stdin:
        word, _, rest = line.rstrip("\n").partition(" ")
        if word == "child":
            pids.append(int(rest))
        elif word == "gone" and int(rest) in pids:
            pids.remove(int(rest))
        elif word == "folder":
            folders.append(rest)
        elif word == "done":
            return
    end(pids)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
