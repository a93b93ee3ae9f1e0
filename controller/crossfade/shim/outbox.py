"""Outbox: numbered deliveries that wait on disk, and are claimed by one process at a time.

A delivery is a file `<name>.waiting`. Whoever sends it renames it to `<name>.<its own mark>.sending` first, which only
one process can; one left behind by a process that is gone is taken over after a minute. Should two send it all the
same, the controller counts a (shim, sequence) once.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from crossfade.shim.disk import write_whole

MOST_BYTES = 64 * 1024 * 1024
"""What may wait on disk; beyond it deliveries are dropped and counted."""
CLAIM_SECONDS = 60.0
"""How long a claim holds. Process ids would not do: in containers every process is number 1."""


class Outbox:
    """One folder of deliveries. `mark` names this process in its claims. `put` may raise OSError."""

    def __init__(self, folder: Path, mark: str, *, most_bytes: int = MOST_BYTES) -> None:
        self._folder = folder
        self._mark = mark
        self._most_bytes = most_bytes

    def put(self, name: str, data: bytes) -> bool:
        """Stores a delivery; False if the outbox is full."""
        if self.size() + len(data) > self._most_bytes:
            return False
        write_whole(self._folder / f"{name}.waiting", data)
        return True

    def size(self) -> int:
        """Bytes waiting."""
        total = 0
        for path in self._paths():
            with contextlib.suppress(OSError):
                total += path.stat().st_size
        return total

    def count(self) -> int:
        return len(self._paths())

    def claim(self) -> Iterator[tuple[Path, bytes]]:
        """Deliveries, oldest name first, each claimed for this process; `remove` or `put_back` ends the claim."""
        for path in self._paths():
            try:
                if path.suffix == ".sending" and _in_hand(path):
                    continue
                claimed = path.with_name(f"{path.name.split('.', 1)[0]}.{self._mark}.sending")
                path.rename(claimed)
                data = claimed.read_bytes()
            except OSError:  # another process was faster, or the disk is in trouble: the file stays for later
                continue
            yield claimed, data

    def remove(self, claimed: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            claimed.unlink()

    def put_back(self, claimed: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            claimed.rename(claimed.with_name(f"{claimed.name.split('.', 1)[0]}.waiting"))

    def _paths(self) -> list[Path]:
        try:
            found = [path for path in self._folder.iterdir() if path.suffix in (".waiting", ".sending")]
        except OSError:
            return []
        return sorted(found)


def _in_hand(path: Path) -> bool:
    """Whether somebody claimed this delivery lately. Renaming sets the time of change, and a claim is short."""
    return time.time() - path.stat().st_ctime < CLAIM_SECONDS
