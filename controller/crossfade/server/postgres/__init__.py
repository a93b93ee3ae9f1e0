"""Postgres without set-up: finds the programs, makes the data, starts the server, ends it with its owner.

The server listens on a Unix socket in a folder closed to other accounts, and on no port. Whoever started it
(and root) is let in by the system's own word for who is asking (`peer`), so there is no password to keep.
"""

from __future__ import annotations

from crossfade.server.postgres.scratch import scratch_postgres
from crossfade.server.postgres.supervisor import Server, postgres, start

__all__ = ["Server", "postgres", "scratch_postgres", "start"]
