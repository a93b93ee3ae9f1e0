"""The scheduler as it is run: two processes of it on one Postgres, which goes away and comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from plane import PLAN, Plane

from crossfade.server.views.evaluations import evaluations
from crossfade.server.views.health import health

RUN = "from crossfade.server.scheduler import main; from crossfade.server.settings import load; main(load())"


@pytest.fixture
def two(database_url: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    environ = os.environ | {"DATABASE_URL": database_url}
    both = [subprocess.Popen([sys.executable, "-c", RUN], env=environ, stderr=subprocess.PIPE) for _ in range(2)]
    yield both
    for process in both:
        process.kill()
        process.communicate()


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def test_two_schedulers_share_the_work_outlive_lost_connections_and_stop_when_told(
    plane: Plane, two: list[subprocess.Popen[bytes]]
) -> None:
    plane.now = datetime.now(UTC)
    plan = PLAN | {"evaluate_every": 1}
    rollouts = [plane.register(plan=plan), plane.register("other", plan=plan)]

    def looks() -> int:
        return min(len(evaluations(plane.engine, rollout.id)) for rollout in rollouts)

    until(lambda: looks() >= 3 and len(health(plane.engine, now=datetime.now(UTC)).schedulers) == 2)
    plane.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    before = looks()
    until(lambda: looks() >= before + 2)
    for rollout in rollouts:
        times = [look.at for look in evaluations(plane.engine, rollout.id)]
        gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
        assert min(gaps) >= 0.9, "evaluated twice for one due time"
        assert plane.one("SELECT count(*) FROM journal WHERE rollout_id = :id AND act = 'hold'", id=rollout.id) == 1
    assert health(plane.engine, now=datetime.now(UTC)).status == "ok"
    for process in two:
        process.send_signal(signal.SIGTERM)
    assert [process.wait(10) for process in two] == [0, 0]
