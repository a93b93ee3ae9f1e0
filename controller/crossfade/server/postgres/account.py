"""The unprivileged account Postgres runs under when Crossfade is started as root."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from crossfade.errors import SetupError

UNPRIVILEGED = "nobody"


@dataclass(frozen=True, kw_only=True)
class Account:
    """Who the Postgres processes are. `drops` says that this process is root and must step down to it."""

    uid: int
    gid: int
    drops: bool

    def can_search(self, folder: Path) -> bool:
        """Whether this account may pass through `folder`, judged by its mode bits."""
        found = folder.stat()
        if found.st_uid == self.uid:
            return bool(found.st_mode & stat.S_IXUSR)
        if found.st_gid == self.gid:
            return bool(found.st_mode & stat.S_IXGRP)
        return bool(found.st_mode & stat.S_IXOTH)

    def closed_folder(self, path: Path) -> Path | None:
        """The first folder above `path` that this account may not pass through, or None."""
        for folder in reversed(path.resolve().parents):
            if not self.can_search(folder):
                return folder
        return None


def account_for(cluster: Path) -> Account:
    """Us, unless we are root, which Postgres refuses: then the owner of what is there, else nobody."""
    if os.geteuid() != 0:
        return Account(uid=os.geteuid(), gid=os.getegid(), drops=False)
    if cluster.exists() and (owner := cluster.stat()).st_uid != 0:
        return Account(uid=owner.st_uid, gid=owner.st_gid, drops=True)
    try:
        entry = pwd.getpwnam(UNPRIVILEGED)
    except KeyError:
        raise SetupError(
            f"Postgres refuses to run as root and this machine has no account {UNPRIVILEGED!r}: "
            "start Crossfade as an ordinary user, or set DATABASE_URL"
        ) from None
    return Account(uid=entry.pw_uid, gid=entry.pw_gid, drops=True)


def database_users() -> list[str]:
    """Names of the system accounts that may connect: the one that starts the server, and root."""
    try:
        own = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise SetupError(
            f"the user id {os.geteuid()} has no name in /etc/passwd, which Postgres needs: "
            "start Crossfade as a named user, or set DATABASE_URL"
        ) from None
    return sorted({own, "root"})
