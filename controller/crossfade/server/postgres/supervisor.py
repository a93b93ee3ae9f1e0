"""Starts, watches and stops one embedded Postgres."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from crossfade.errors import SetupError
from crossfade.server.postgres import socket_folder
from crossfade.server.postgres.account import Account, account_for
from crossfade.server.postgres.binaries import Binaries, find_binaries, reachable
from crossfade.server.postgres.cluster import Layout, ensure_cluster, trouble, write_access
from crossfade.server.postgres.program import Home, Program, start_program
from crossfade.server.postgres.socket_folder import answers, server_url

START_SECONDS = 120.0
LOOK_SECONDS = 0.02

# The server listens on its Unix socket only: no port is taken, nobody can come in over the network.
# Memory segments are files of the cluster, since /dev/shm is tiny in containers and outlives a killed server.
ALWAYS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": str(socket_folder.PORT),
    "dynamic_shared_memory_type": "mmap",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# Throw-away data (demo, tests): a crash of the machine may lose it, a crash of the server does not.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum_naptime": "10s"}


@dataclass(kw_only=True)
class Server:
    """A running embedded Postgres. `program` is None if another process started it and will stop it."""

    url: str
    program: Program | None
    sockets: Path
    cluster: Path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The server's process, or that of its watcher; None if it is not ours."""
        return self.program.process if self.program else None

    def is_alive(self) -> bool:
        """Whether the server still runs; for one that is not ours, whether it answers."""
        return answers(self.url) if self.program is None else not self.program.has_ended()

    def stop(self) -> None:
        """Stops the server if it is ours. Leaves no process and no socket."""
        program, self.program = self.program, None
        if program is not None:
            program.stop()
            socket_folder.remove(self.sockets, self.cluster)


@contextmanager
def postgres(data_dir: Path, *, socket_dir: Path | None = None, fast: bool = False) -> Iterator[str]:
    """A Postgres for as long as the block runs; gives its SQLAlchemy URL (`postgresql+psycopg://...`).

    `data_dir` is made if it is not there, and its data is kept. `fast` gives up durability against a crash of
    the machine. Raises SetupError, one line. The server also ends when this process does, even by kill -9.
    A second start on the same `data_dir` uses the running server, which stays its first owner's to stop.
    """
    with start(data_dir, socket_dir=socket_dir, fast=fast) as server:
        yield server.url


def start(
    data_dir: Path, *, socket_dir: Path | None = None, fast: bool = False, binaries: Binaries | None = None
) -> Server:
    """Starts a server on `data_dir`, or finds the one that runs there. The caller stops it."""
    layout = Layout(data_dir=data_dir.absolute())
    try:
        return _start(layout, socket_dir, fast, binaries)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        why = "the disk is full" if full else f"{error.filename or layout.data_dir}: {error.strerror}"
        raise SetupError(
            f"cannot keep a database in {layout.data_dir}: {why}: "
            "correct that, choose another folder, or set DATABASE_URL"
        ) from error


def _start(layout: Layout, socket_dir: Path | None, fast: bool, binaries: Binaries | None) -> Server:
    account = account_for(layout.cluster)
    _make_folder(layout.data_dir, account)
    if closed := account.drops and account.closed_folder(layout.cluster):
        raise SetupError(
            f"Postgres does not run as root, and the account it runs under may not pass through {closed}: "
            f"choose a folder outside it (such as /var/lib/crossfade), or run chmod o+x {closed}"
        )
    sockets = socket_folder.place(layout.cluster, socket_dir)
    url = server_url(sockets)
    lock = os.open(layout.data_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not _lock(lock, url, layout):
            return Server(url=url, program=None, sockets=sockets, cluster=layout.cluster)
        # From here no server of ours runs on this folder, whatever a pid file says: each holds the lock.
        home = Home(account=account, lock=lock)
        found = reachable(binaries or find_binaries(major=layout.major()), account, layout.data_dir)
        ensure_cluster(layout, found, home, fast=fast)
        write_access(layout, account)
        layout.pid_file.unlink(missing_ok=True)
        socket_folder.prepare(sockets, layout.cluster, account)
        program = start_program(_command(found, layout, sockets, fast=fast), home, output=layout.fresh_log())
        server = Server(url=url, program=program, sockets=sockets, cluster=layout.cluster)
        try:
            _wait_until_ready(program, layout)
        except BaseException:
            server.stop()
            raise
        return server
    finally:
        os.close(lock)


def _make_folder(folder: Path, account: Account) -> None:
    """Makes the folder; as root the unprivileged account may pass through it, but not list it."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(exist_ok=True)
        folder.chmod(0o711 if account.drops else 0o700)


def _lock(lock: int, url: str, layout: Layout) -> bool:
    """True when the lock is ours to start a server under, False when a running server answers at `url`."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if layout.pid_file.exists() and answers(url):
                return False
        else:
            return True
        if time.monotonic() > deadline:
            raise SetupError(
                f"another Crossfade uses {layout.data_dir} and its Postgres does not answer at {url}: "
                "stop that one, or choose another folder"
            )
        time.sleep(LOOK_SECONDS)


def _command(binaries: Binaries, layout: Layout, sockets: Path, *, fast: bool) -> list[str | Path]:
    settings = {**ALWAYS, **(FAST if fast else {}), "unix_socket_directories": str(sockets)}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return [binaries.postgres, "-D", layout.cluster, *options]


def _wait_until_ready(program: Program, layout: Layout) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if program.has_ended():
            said = layout.log.read_text(errors="replace")
            raise SetupError(f"Postgres did not start in {layout.data_dir}: {trouble(said, layout.data_dir)}")
        if _status(layout) == "ready":
            return
        time.sleep(LOOK_SECONDS)
    raise SetupError(f"Postgres did not start within {START_SECONDS:.0f} s: see {layout.log}")


def _status(layout: Layout) -> str:
    """The last line of the pid file: starting, ready, stopping."""
    try:
        return layout.pid_file.read_text().split("\n")[7].strip()
    except (FileNotFoundError, IndexError):
        return ""
