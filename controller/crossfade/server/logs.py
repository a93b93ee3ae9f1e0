"""Logs: one JSON line an event on standard error, with a plain traceback and never the values of local variables."""

from __future__ import annotations

import sys

import structlog


def configure() -> None:
    """For the whole process. Local variables hold tokens and secrets; structlog's default would print them."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
