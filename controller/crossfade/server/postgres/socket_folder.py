"""Where the server's Unix socket lies, and how to reach it."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from sqlalchemy.engine import URL

from crossfade.errors import SetupError
from crossfade.server.postgres.account import Account
from crossfade.server.postgres.cluster import DATABASE, ROLE

PORT = 5432  # only a part of the socket's name
SOCKET = f".s.PGSQL.{PORT}"
LONGEST_BYTES = 100  # the kernel's limit is 108 on Linux, 104 elsewhere


def server_url(sockets: Path) -> str:
    """The SQLAlchemy URL of the server whose socket lies in `sockets`. The port keeps PGPORT out."""
    url = URL.create(
        "postgresql+psycopg", username=ROLE, database=DATABASE, query={"host": str(sockets), "port": str(PORT)}
    )
    return url.render_as_string(hide_password=False)


def answers(url: str) -> bool:
    """Whether a server takes connections at `url` now."""
    import psycopg  # 0.1 s, needed only when another process already started the server

    try:
        psycopg.connect(url.replace("postgresql+psycopg:", "postgresql:", 1), connect_timeout=3).close()
    except psycopg.OperationalError:
        return False
    return True


def place(cluster: Path, asked: Path | None) -> Path:
    """The folder for the socket: the one asked for, else the cluster; a short one if that path is too long.

    The short one has a name that follows from the cluster's path, so that a second start finds it.
    """
    wanted = (asked or cluster).absolute()
    if len(os.fsencode(wanted / SOCKET)) <= LONGEST_BYTES:
        return wanted
    name = f"crossfade-{hashlib.sha256(os.fsencode(cluster.resolve())).hexdigest()[:16]}"
    short = Path(tempfile.gettempdir()) / name
    return short if len(os.fsencode(short / SOCKET)) <= LONGEST_BYTES else Path("/tmp") / name  # noqa: S108 (checked in prepare)


def prepare(sockets: Path, cluster: Path, account: Account) -> None:
    """Makes the folder, closed to other accounts, and removes what a killed server of this cluster left there."""
    if sockets != cluster:
        sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = sockets.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {os.geteuid(), account.uid}:
            raise SetupError(f"{sockets} belongs to somebody else (user id {found.st_uid}): remove it")
        if account.drops:
            os.chown(sockets, account.uid, account.gid)
        sockets.chmod(0o700)
        if closed := account.drops and account.closed_folder(sockets / SOCKET):
            raise SetupError(f"Postgres may not pass through {closed} to its socket: choose another socket folder")
    if _cluster_of(sockets) in {cluster, None}:
        (sockets / f"{SOCKET}.lock").unlink(missing_ok=True)
    elif (sockets / SOCKET).exists() and answers(server_url(sockets)):
        raise SetupError(f"another Postgres has its socket in {sockets}: choose another socket folder")


def remove(sockets: Path, cluster: Path) -> None:
    """Removes what is left of the socket, and its folder unless that holds other things."""
    if _cluster_of(sockets) in {cluster, None}:
        (sockets / SOCKET).unlink(missing_ok=True)
        (sockets / f"{SOCKET}.lock").unlink(missing_ok=True)
    if sockets != cluster and sockets.exists() and not any(sockets.iterdir()):
        sockets.rmdir()


def _cluster_of(sockets: Path) -> Path | None:
    """The cluster whose server wrote the socket's lock file, None if there is no such file."""
    try:
        return Path((sockets / f"{SOCKET}.lock").read_text().split("\n")[1])
    except (FileNotFoundError, IndexError):
        return None
