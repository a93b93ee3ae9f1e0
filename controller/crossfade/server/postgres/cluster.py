"""The data of an embedded Postgres: a folder with the cluster, the log, and perhaps copied programs.

DATA_DIR/cluster          what initdb made; also holds the socket, and is closed to other accounts
DATA_DIR/postgres.log     this start's log; the one before is postgres.log.1
DATA_DIR/postgres-18-...  only as root, when the programs lie in a closed home
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from crossfade.errors import SetupError
from crossfade.server.postgres.account import Account, database_users
from crossfade.server.postgres.binaries import Binaries
from crossfade.server.postgres.program import Home, start_program

DATABASE = "crossfade"
ROLE = "crossfade"
INITDB_SECONDS = 120
NEEDED_BYTES = 4 * 2**20


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the parts lie under one data folder."""

    data_dir: Path

    @property
    def cluster(self) -> Path:
        return self.data_dir / "cluster"

    @property
    def unfinished(self) -> Path:
        return self.data_dir / "cluster.unfinished"

    @property
    def log(self) -> Path:
        return self.data_dir / "postgres.log"

    @property
    def pid_file(self) -> Path:
        return self.cluster / "postmaster.pid"

    def fresh_log(self) -> Path:
        """The log's path, after the log of the start before was put aside."""
        if self.log.exists():
            self.log.replace(self.log.with_name("postgres.log.1"))
        return self.log

    def major(self) -> int | None:
        """The major version of Postgres that made the cluster, None if there is none yet."""
        try:
            return int((self.cluster / "PG_VERSION").read_text().strip())
        except FileNotFoundError:
            return None
        except ValueError:
            raise SetupError(
                f"{self.cluster} is damaged (PG_VERSION says nothing): restore it, or choose another folder"
            ) from None


def ensure_cluster(layout: Layout, binaries: Binaries, home: Home, *, fast: bool) -> None:
    """Makes the cluster if there is none. Made aside and renamed, so a half-made one is never taken for whole."""
    if layout.cluster.exists():
        _check_owner(layout, home.account)
        return
    if layout.unfinished.exists():
        shutil.rmtree(layout.unfinished)
    layout.unfinished.mkdir(mode=0o700)
    if home.account.drops:
        os.chown(layout.unfinished, home.account.uid, home.account.gid)
    try:
        _run(_initdb_command(layout, binaries, fast=fast), layout, home)
        single: list[str | Path] = [binaries.postgres, "--single", "-c", "exit_on_error=on"]
        _run([*single, "-D", layout.unfinished, "postgres"], layout, home, stdin=f"CREATE DATABASE {DATABASE};\n")
    except BaseException:
        shutil.rmtree(layout.unfinished, ignore_errors=True)
        raise
    layout.unfinished.rename(layout.cluster)


def write_access(layout: Layout, account: Account) -> None:
    """Who may connect, written at each start: over the socket only, the system account that started us, and root.

    The folder is closed already; `peer` also keeps out other programs that run as the unprivileged account.
    """
    _write(layout.cluster / "pg_hba.conf", "local all all peer map=crossfade\n", account)
    lines = [f'crossfade "{name}" {ROLE}\n' for name in database_users()]
    _write(layout.cluster / "pg_ident.conf", "".join(lines), account)


def trouble(said: str, folder: Path) -> str:
    """The line of Postgres's own output that says why it failed, with what to do about it."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if "FATAL" in line or "PANIC" in line or "error" in line.lower()]
    reason = (telling or lines or ["it said nothing"])[-1]
    for mark in ("FATAL:", "PANIC:", "initdb: error:", "ERROR:"):
        reason = reason.split(mark)[-1].strip()
    whole = said.lower()
    full = shutil.disk_usage(folder).free < NEEDED_BYTES
    if full or "no space left on device" in whole or "disk quota exceeded" in whole:
        return f"the disk is full ({reason}): free some space there, or choose another folder"
    if "permission denied" in whole or "read-only file system" in whole:
        return f"no permission ({reason}): correct the owner and mode of the folder, or choose another"
    if "shared memory" in whole and "in use" in whole:
        return f"another server uses this folder ({reason}): stop that one, or choose another folder"
    if "could not find a valid record" in whole or "invalid checkpoint" in whole or "is damaged" in whole:
        return f"the data is damaged ({reason}): restore a copy, or choose an empty folder"
    return f"{reason}: see the log, or set DATABASE_URL to a server of yours"


def _initdb_command(layout: Layout, binaries: Binaries, *, fast: bool) -> list[str | Path]:
    command: list[str | Path] = [binaries.initdb, "-D", layout.unfinished, "-U", ROLE, "--encoding=UTF8"]
    command += ["--no-locale", "--auth-local=peer", "--auth-host=reject", "--no-instructions"]
    return [*command, "--no-sync"] if fast else command


def _run(command: list[str | Path], layout: Layout, home: Home, stdin: str = "") -> None:
    with tempfile.TemporaryFile() as script:
        script.write(stdin.encode())
        script.seek(0)
        # What it says goes through a pipe: on a full disk a log would stay empty.
        program = start_program(command, home, output=None, stdin=script)
    try:
        said, _ = program.process.communicate(timeout=INITDB_SECONDS)
    except subprocess.TimeoutExpired:
        raise SetupError(
            f"Postgres made no database in {layout.data_dir} within {INITDB_SECONDS} s: is that disk working?"
        ) from None
    finally:
        program.stop()
    if program.process.returncode != 0:
        why = trouble(said.decode(errors="replace"), layout.data_dir)
        raise SetupError(f"Postgres could not make a database in {layout.data_dir}: {why}")


def _check_owner(layout: Layout, account: Account) -> None:
    owner = layout.cluster.stat().st_uid
    if owner == account.uid:
        return
    if not account.drops:
        raise SetupError(
            f"{layout.cluster} belongs to user id {owner} and this is {account.uid}: "
            "start Crossfade as its owner, or choose another folder"
        )
    for path in (layout.cluster, *layout.cluster.rglob("*")):
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _write(path: Path, text: str, account: Account) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    if account.drops:
        os.chown(fresh, account.uid, account.gid)
    fresh.chmod(0o600)
    fresh.replace(path)
