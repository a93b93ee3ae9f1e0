"""Processes: starts the parts of Crossfade as children, watches them, ends them in order and leaves nothing behind.

A child ends with its supervisor whatever ends that: on Linux by the kernel's parent-death signal, and everywhere by
a small reaper process (`reaper.py`) that holds one end of a pipe. Start children from the main thread: the kernel
ties a child to the thread that forked it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from crossfade.errors import CrossfadeError, SetupError
from crossfade.server import reaper

PATIENCE_SECONDS = 15.0
LOOK_SECONDS = 0.05
LAST_LINES = 12
SETUP_CODE = 2
"""What every command of ours exits with when the machine or its settings do not allow a start."""
_PR_SET_PDEATHSIG = 1
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class PartEnded(CrossfadeError):  # noqa: N818
    """A part ended by itself. Says which, how, and what it said last; `code` is its exit code."""

    def __init__(self, name: str, code: int, last: Sequence[str]) -> None:
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        said = "".join(f"\n  {name} | {line}" for line in last) or " without a word"
        super().__init__(f"{name} {how}:{said}")
        self.name = name
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Part:
    """One child. It leads its own process group and writes to `log`."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def last_lines(self, count: int = LAST_LINES) -> list[str]:
        """The last lines it wrote."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, self.log.stat().st_size - 16_384))
                return log.read().decode(errors="replace").splitlines()[-count:]
        except FileNotFoundError:
            return []


class Processes:
    """The parts of one `crossfade up` or one demo. A context manager: leaving it ends them, the last started first.

    `logs` is where each part's `NAME.log` goes; `remove` are folders to remove when all is over, even by kill -9.
    """

    def __init__(self, logs: Path, *, remove: Sequence[Path] = ()) -> None:
        self._logs = logs
        self._parts: list[Part] = []
        self._adopted: list[Part] = []
        self._reaper = subprocess.Popen(
            [sys.executable, "-I", "-S", reaper.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # neither Ctrl-C nor a kill of our group reaches it
            cwd="/",
        )
        for folder in remove:
            self._tell(f"folder {folder}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> Part:
        """Starts `command` as the part `name`, with exactly this environment."""
        self._logs.mkdir(parents=True, exist_ok=True)
        path = self._logs / f"{name}.log"
        path.unlink(missing_ok=True)
        with path.open("ab") as log:
            process = subprocess.Popen(
                command,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,  # Ctrl-C is the supervisor's; it ends the parts in order
                preexec_fn=_die_with_parent(),
            )
        part = Part(name=name, process=process, log=path)
        self._parts.append(part)
        self._tell(f"child {process.pid}")
        return part

    def adopt(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        """Watches a process that is started and stopped elsewhere; the reaper ends it if we are killed."""
        self._adopted.append(Part(name=name, process=process, log=log))
        self._tell(f"child {process.pid}")

    def check(self) -> None:
        """Raises `PartEnded` for a part that has ended by itself, `SetupError` with its own words if for that."""
        for part in (*self._adopted, *self._parts):
            code = part.process.poll()
            last = [] if code is None else part.last_lines()
            if code == SETUP_CODE and last:
                raise SetupError(last[-1])
            if code is not None:
                raise PartEnded(part.name, code, last)

    def wait_until(self, ready: Callable[[], bool], *, seconds: float, what: str) -> None:
        """Waits until `ready()`; raises if a part ends meanwhile, or if it takes longer than `seconds`."""
        deadline = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise CrossfadeError(f"{what} took longer than {seconds:g} s; what the parts said is in {self._logs}")
            time.sleep(LOOK_SECONDS)

    def end(self, part: Part) -> None:
        """Ends one part: asked first, killed when it does not listen."""
        for signum in (signal.SIGTERM, signal.SIGKILL):
            if part.process.poll() is None:
                reaper.send(part.process.pid, signum)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    part.process.wait(PATIENCE_SECONDS)
        reaper.send(part.process.pid, signal.SIGKILL)  # what it may have left in its group
        if part in self._parts:
            self._parts.remove(part)
        self._tell(f"gone {part.process.pid}")

    def finish(self, parts: Sequence[Part], *, seconds: float) -> None:
        """Asks these parts to end and waits until they have, `seconds` at most; the others are watched meanwhile."""
        for part in parts:
            self._parts.remove(part)
            part.process.terminate()
        deadline = time.monotonic() + seconds
        while any(part.process.poll() is None for part in parts) and time.monotonic() < deadline:
            self.check()
            time.sleep(LOOK_SECONDS)
        for part in parts:
            self.end(part)

    def end_all(self) -> None:
        """Ends all parts, the last started first."""
        for part in reversed(self._parts.copy()):
            self.end(part)

    def stop(self) -> None:
        """Ends all parts, then the reaper, which removes nothing: that is the caller's."""
        self.end_all()
        self._tell("done")
        if self._reaper.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._reaper.stdin.close()
        self._reaper.wait(PATIENCE_SECONDS)

    def _tell(self, line: str) -> None:
        if self._reaper.stdin is not None:
            with contextlib.suppress(BrokenPipeError, ValueError):
                self._reaper.stdin.write(f"{line}\n".encode())
                self._reaper.stdin.flush()


def end_on_signals() -> None:
    """Ctrl-C, SIGTERM and SIGHUP end us alike: by an exception, so that everything is put away on the way out.

    The first one does; those that come while we put away change nothing.
    """
    for signum in _ENDING:
        signal.signal(signum, _interrupt)


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    for signum in _ENDING:
        signal.signal(signum, signal.SIG_IGN)
    raise KeyboardInterrupt


def _die_with_parent() -> Callable[[], None] | None:
    """What a child does between fork and exec so as to end with us. Linux only; elsewhere the reaper ends it."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it ended before we asked
            os._exit(1)

    return tie
