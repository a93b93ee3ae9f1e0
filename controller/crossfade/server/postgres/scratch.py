"""A Postgres whose data is thrown away at the end: for the demo and for tests."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crossfade.server.postgres.supervisor import postgres


@contextmanager
def scratch_postgres() -> Iterator[str]:
    """An empty database in a new temporary folder, gone with the block. Raises SetupError, one line."""
    folder = Path(tempfile.mkdtemp(prefix="crossfade-"))
    folder.chmod(0o711)  # the account that Postgres runs under must be able to pass through
    try:
        with postgres(folder / "postgres", fast=True) as url:
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)
