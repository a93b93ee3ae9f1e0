"""Starts one of Postgres's programs so that it ends with us, under the right account, with a clean environment."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from crossfade.server.postgres import launcher
from crossfade.server.postgres.account import Account

PATIENCE_SECONDS = launcher.PATIENCE_SECONDS


@dataclass(frozen=True, kw_only=True)
class Home:
    """What every program started for one data folder shares: the account, and the lock it must hold."""

    account: Account
    lock: int


@dataclass(kw_only=True)
class Program:
    """A running program. `life` is our end of the pipe its watcher reads, None if the kernel does the watching."""

    process: subprocess.Popen[bytes]
    life: int | None

    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def stop(self) -> None:
        """A fast clean shutdown, less clean when that takes too long; returns when the program has ended."""
        if self.life is not None:
            os.close(self.life)  # the watcher does the rest
            self.life = None
            self.process.wait(4 * PATIENCE_SECONDS)
        for signum in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            if self.has_ended():
                return
            self.process.send_signal(signum)
            try:
                self.process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                continue


def start_program(
    command: list[str | Path], home: Home, *, output: Path | None, stdin: IO[bytes] | None = None
) -> Program:
    """Runs `command`; what it says goes to the file `output`, or to a pipe that the caller reads if that is None."""
    # The kernel ties a child to the thread that forked it, so only the main thread may rely on that.
    tied = sys.platform == "linux" and threading.current_thread() is threading.main_thread()
    read_end, life = (-1, None) if tied else os.pipe()
    account = home.account
    identity = (account.uid, account.gid) if account.drops else (-1, -1)
    numbers = [str(number) for number in (os.getpid(), *identity, home.lock, read_end)]
    try:
        with contextlib.nullcontext(subprocess.PIPE) if output is None else output.open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", launcher.__file__, *numbers, *command],
                stdin=stdin or subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=_environment(),
                pass_fds=[home.lock] if tied else [home.lock, read_end],
                start_new_session=True,  # Ctrl-C is for us; we stop the server when all else has stopped
            )
    except BaseException:
        if life is not None:
            os.close(life)
        raise
    finally:
        if read_end >= 0:
            os.close(read_end)
    return Program(process=process, life=life)


def _environment() -> dict[str, str]:
    """What Postgres inherits: neither our secrets nor any PG* variable that would change its ways."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ}
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", **kept}
