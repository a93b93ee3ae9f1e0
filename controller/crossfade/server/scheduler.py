"""Scheduler: the process that ticks. Any number may run; there is no leader."""

from __future__ import annotations

from crossfade.server.settings import Settings


def main(settings: Settings) -> None:
    """Ticks every second and maintains every hour, until SIGTERM or SIGINT; goes on when Postgres comes back."""
    raise NotImplementedError
