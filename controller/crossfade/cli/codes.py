"""Exit codes of every command; `docs/cli.md` has the same table."""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """0 to 3 and 130 come from any command; 10 and 11 only from `status --exit-code`."""

    OK = 0
    REFUSED = 1
    """The controller refused, or what was asked for failed."""
    SETUP = 2
    """The command line, a file or the machine's set-up is wrong."""
    AWAY = 3
    """The controller, or its database, cannot be reached."""
    LIVE = 10
    """`status --exit-code`: the rollout is pending, progressing or paused."""
    NOT_PROMOTED = 11
    """`status --exit-code`: the rollout was rolled back or aborted."""
    INTERRUPTED = 130
    """Ctrl-C."""
