"""Scheduler: the process that ticks. Any number may run; there is no leader."""

from __future__ import annotations

import os
import signal
import socket
from datetime import UTC, datetime, timedelta
from types import FrameType

import structlog
from apscheduler.schedulers.blocking import BlockingScheduler
from sqlalchemy import Engine

from crossfade.errors import Unavailable
from crossfade.server import logs
from crossfade.server.database import begin, clock, connect, probe
from crossfade.server.settings import Settings
from crossfade.server.store import heartbeats, partitions, rollouts, shims
from crossfade.server.store.losses import HISTORY
from crossfade.server.sum_up import sum_up
from crossfade.server.tick import tick

log = structlog.get_logger("crossfade.scheduler")

TICK_SECONDS = 1
SUM_SECONDS = 300
MAINTENANCE_SECONDS = 3600
DAYS_AHEAD = 3


def main(settings: Settings) -> None:
    """Ticks every second, sums up every five minutes and maintains every hour, until SIGTERM or SIGINT; goes on when
    Postgres comes back.

    Raises `SetupError` if the database cannot be used at the start.
    """
    logs.configure()
    engine = connect(settings.database_url.get_secret_value(), pool_size=2)
    probe(engine)
    name = f"{socket.gethostname()}:{os.getpid()}"
    scheduler = BlockingScheduler(
        timezone=UTC,
        # A pass that comes late is run once, not as often as it was missed, and never beside itself.
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": 60},
    )
    soon = datetime.now(UTC)
    scheduler.add_job(one_pass, "interval", [engine, name], seconds=TICK_SECONDS, next_run_time=soon)
    scheduler.add_job(sum_up_pass, "interval", [engine], seconds=SUM_SECONDS, next_run_time=soon)
    scheduler.add_job(
        maintain, "interval", [engine, settings.retention], seconds=MAINTENANCE_SECONDS, next_run_time=soon
    )

    def stop(_signal: int, _frame: FrameType | None) -> None:
        scheduler.shutdown(wait=False)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    log.info("scheduler runs", action="scheduler_started", name=name)
    scheduler.start()
    engine.dispose()


_away = False


def one_pass(engine: Engine, name: str) -> None:
    """One tick, the clock read once, and a sign of life. Says once that Postgres is away, and once that it is back."""
    global _away
    now = datetime.now(UTC)
    try:
        tick(engine, now=now)
        with begin(engine) as connection:
            heartbeats.beat(connection, name, now)
    except Unavailable as error:
        if not _away:
            log.warning(str(error), action="database_away")
        _away = True
        return
    if _away:
        log.info("the database answers again", action="database_back")
    _away = False


def sum_up_pass(engine: Engine, *, now: datetime | None = None) -> None:
    """Sums up what has come in. While Postgres is away it waits for the next time.

    No further than Postgres's own clock: what is summed too soon, by a clock that is ahead, never counts all it should.
    """
    try:
        with begin(engine) as connection:
            theirs = clock(connection)
        sum_up(engine, now=min(now or datetime.now(UTC), theirs))
    except Unavailable as error:
        log.warning(str(error), action="summing_postponed")


def maintain(engine: Engine, retention: timedelta, *, now: datetime | None = None) -> None:
    """Makes the partitions of the days to come, and drops what is past retention and no live rollout is judged by."""
    now = now or datetime.now(UTC)
    oldest = now - retention
    try:
        with begin(engine) as connection:
            partitions.create(connection, [(now + timedelta(days=day)).date() for day in range(DAYS_AHEAD)])
            shims.forget(connection, oldest)
            heartbeats.forget(connection, now - timedelta(days=1))
            began = [live.rollout.created_at for live in rollouts.all_live(connection)]
        with begin(engine) as connection:
            partitions.drop(connection, min([oldest, *(start - HISTORY for start in began)]).date())
    except Unavailable as error:
        log.warning(str(error), action="maintenance_postponed")
