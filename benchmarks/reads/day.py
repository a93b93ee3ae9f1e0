"""Day: a made-up day of observations in a Postgres of its own: of blue alone on one route, of a rollout on another."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url

from crossfade.core.histogram import cost_bin, duration_bin
from crossfade.core.model import Target
from crossfade.core.observation import Row
from crossfade.core.split import Variant
from crossfade.server.database import begin, connect
from crossfade.server.lookup import Found, Lookup
from crossfade.server.migrate import upgrade
from crossfade.server.postgres import scratch_postgres
from crossfade.server.store import observations, partitions
from crossfade.server.sum_up import sum_up
from crossfade.server.usecases.apply import apply_declarations
from crossfade.server.usecases.register import register_rollout

LENGTH, CALLS, KINDS = 10, 30, 2_000
END = datetime(2026, 3, 2, 12, tzinfo=UTC)
ALONE, SPLIT = "alone", "split"
PLAN = {
    "steps": [{"weight": 50, "bake": 200_000}],
    "checks": [
        {"metric": "error_rate", "margin": 0.5},
        {"metric": "latency", "margin": 1, "limit": 2},
        {"metric": "cost", "margin": 1, "limit": 0.02},
    ],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The database, the numbers of the route without a rollout, of the other, and of its rollout; `now` is the end."""

    engine: Engine
    alone: int
    split: int
    rollout: int
    now: datetime = END


class _Knows:
    def find(self, target: Target) -> Lookup:
        return Lookup(region=target.region, model_id=target.model_id, found=Found.YES)


@contextmanager
def days(*, shims: int, buckets: int, seed: int) -> Iterator[tuple[Day, Day]]:
    """The same day twice: as the shims sent it, and summed up."""
    with scratch_postgres() as url:
        upgrade(url)
        engine = connect(url)
        day = _filled(engine, shims, buckets, random.Random(seed))
        engine.dispose()
        server = connect(make_url(url).set(database="postgres").render_as_string(hide_password=False))
        with server.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f'CREATE DATABASE summed TEMPLATE "{make_url(url).database}" STRATEGY file_copy'))
        server.dispose()
        other = connect(make_url(url).set(database="summed").render_as_string(hide_password=False))
        summed = replace(day, engine=other)
        sum_up(summed.engine, now=END)
        for each in (day, summed):
            with each.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("VACUUM ANALYZE"))
        yield day, summed
        engine.dispose()
        other.dispose()


def _filled(engine: Engine, shims: int, buckets: int, rng: random.Random) -> Day:
    start = END - timedelta(seconds=LENGTH * buckets)
    price = {"input_per_1k": 0.003, "output_per_1k": 0.015}
    models = [
        {"name": name, "targets": [{"region": "us-east-1", "model_id": name}], "price": price}
        for name in ("old", "new")
    ]
    routes = [{"name": name, "blue": "old"} for name in (ALONE, SPLIT)]
    apply_declarations(engine, {"models": models, "routes": routes}, actor="bench", now=start)
    body = {"green": "new", "plan": PLAN, "start": True, "reason": ""}
    rollout = register_rollout(engine, SPLIT, body, actor="bench", now=start, lookup=_Knows()).rollout.id
    with begin(engine) as connection:
        ids = {row.name: row.id for row in connection.execute(text("SELECT id, name FROM routes"))}
        partitions.create(connection, {start.date(), END.date(), (start + timedelta(days=1)).date()})
    kinds = [_row(rng) for _ in range(KINDS)]
    for number in range(buckets):
        at = start + timedelta(seconds=LENGTH * number)
        rows = []
        for route, live, variants in ((ALONE, 0, (Variant.BLUE,) * 2), (SPLIT, rollout, tuple(Variant))):
            place = {"route": ids[route], "rollout": live, "bucket": int(at.timestamp())}
            rows += [replace(rng.choice(kinds), variant=variant, **place) for variant in variants * shims]
        with begin(engine) as connection:
            observations.append(connection, rows, at + timedelta(seconds=LENGTH + 2))
    return Day(engine=engine, alone=ids[ALONE], split=ids[SPLIT], rollout=rollout)


def _row(rng: random.Random) -> Row:
    errors = sum(rng.random() < 0.01 for _ in range(CALLS))
    seconds = [rng.lognormvariate(0, 0.5) for _ in range(CALLS)]
    counts = {"ok": CALLS - errors} | ({"model_error": errors} if errors else {})
    return Row(
        route=0,
        rollout=0,
        step=0,
        variant=Variant.BLUE,
        bucket=0,
        model="old",
        region="us-east-1",
        calls=CALLS,
        judged=CALLS,
        errors=errors,
        outcomes=counts,
        attempts=counts,
        latency=Counter(duration_bin(value) for value in seconds),
        first_token=Counter(duration_bin(value / 5) for value in seconds),
        cost_n=CALLS,
        cost_sum=0.004 * CALLS,
        costs=Counter(cost_bin(0.004 * value) for value in seconds),
        stops={"end_turn": CALLS},
    )
