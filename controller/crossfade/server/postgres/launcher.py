"""Becomes `postgres` or `initdb`, tied to the life of the process that started it.

Run as a script, with the standard library only:

    launcher.py OWNER_PID UID GID LOCK_FD LIFE_FD PROGRAM ARGUMENT...

UID and GID are -1 if privileges need not be dropped. LOCK_FD is a lock that PROGRAM and its children hold for as
long as any of them lives; it is inherited, never closed on the way.

LIFE_FD is -1 where the kernel does the tying (Linux, started by the owner's main thread): it is asked for SIGINT,
a clean fast shutdown, when that thread ends, however it ends. Else LIFE_FD is a pipe that only the owner holds
open at the other end: this process stays between the two and shuts PROGRAM down when the pipe closes.
"""

import ctypes
import os
import select
import signal
import sys
import time
from typing import NoReturn

PR_SET_PDEATHSIG = 1
PATIENCE_SECONDS = 15.0


def drop_privileges(uid: int, gid: int) -> None:
    if uid < 0:
        return
    try:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    except OSError as error:
        sys.exit(f"FATAL: root cannot become user id {uid} here ({error.strerror})")


def become(parent: int, command: list[str]) -> NoReturn:
    """Runs `command` in our place. On Linux it gets SIGINT when the parent's thread ends.

    A change of user id clears that wish, so privileges are dropped before.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
    if os.getppid() != parent:  # it ended before we asked
        os._exit(0)
    try:
        os.execv(command[0], command)  # noqa: S606
    except OSError as error:
        print(f"FATAL: cannot run {command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(1)


def watch(lock: int, life: int, command: list[str]) -> int:
    """Runs `command` as a child until it ends or `life` closes; its exit code."""
    watcher = os.getpid()
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    child = os.fork()
    if child == 0:
        os.close(life)
        become(watcher, command)
    os.close(lock)  # the program's to hold, not ours
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) & 0xFF
        readable, _, _ = select.select([life, wake_read], [], [])
        if life in readable:
            return shut_down(child)
        os.read(wake_read, 64)


def shut_down(child: int) -> int:
    for signum in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        os.kill(child, signum)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status) & 0xFF
            time.sleep(0.02)
    return 1


def main(numbers: list[int], command: list[str]) -> NoReturn:
    owner, uid, gid, lock, life = numbers
    drop_privileges(uid, gid)
    if life >= 0:
        sys.exit(watch(lock, life, command))
    become(owner, command)


if __name__ == "__main__":
    main([int(number) for number in sys.argv[1:6]], sys.argv[6:])
