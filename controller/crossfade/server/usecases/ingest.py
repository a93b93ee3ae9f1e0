"""Ingest: observations and scores from the shims, each counted once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from math import inf
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from crossfade.core.callid import BadCallId, CallId, read
from crossfade.core.metric import SCORE_NAME, SCORE_PREFIX
from crossfade.core.observation import AHEAD, Batch, Row, read_batch
from crossfade.core.reading import Reader
from crossfade.core.sealing import bucket_of
from crossfade.errors import Invalid, Problem
from crossfade.server.database import begin
from crossfade.server.keys import call_id_key
from crossfade.server.store import declared, journal, observations, partitions, scores, shims, snapshots
from crossfade.server.store.scores import Score

RETENTION = timedelta(days=30)
MOST_SCORES = 5000
MOST_BUCKET_SECONDS = 3600
_Result = TypeVar("_Result")


def record_batch(engine: Engine, body: object, *, now: datetime, retention: timedelta = RETENTION) -> bool:
    """Appends one parsed batch (`core.observation.Batch`); False if (shim, sequence) was recorded before.

    Raises `Invalid` with every problem, such as `rows[3].rollout` for one nobody knows; then nothing is counted.
    A bucket that lies ahead, within what clocks may differ, is set to the controller's own; rows further off are left
    out, and their calls counted with the shim.
    """
    batch = read_batch(body, now=now.timestamp(), oldest=(now - retention).timestamp())

    def record(connection: Connection) -> bool:
        if not shims.count_batch(connection, batch, now):
            return False
        _check_places(connection, batch)
        _, length = snapshots.state(connection)
        current = bucket_of(now.timestamp(), length)
        rows = [row if row.bucket <= current else replace(row, bucket=current) for row in batch.rows]
        observations.append(connection, _without_false_costs(connection, rows), now)
        shims.seen(connection, batch, now)
        return True

    # The controller's own bucket may have begun the day before.
    times = [*(row.bucket for row in batch.rows), now.timestamp() - MOST_BUCKET_SECONDS]
    return _with_partitions(engine, record, times)


def record_scores(engine: Engine, body: object, *, now: datetime, secret: str, retention: timedelta = RETENTION) -> int:
    """Stores `body` ({"scores": [{"call_id", "metric", "value", "grader"}]}); returns how many were accepted.

    The same (call, metric, grader) again replaces. Raises `Invalid` with every problem, such as `scores[7].value`;
    then nothing is stored.
    """
    reader = Reader(body)
    items = reader.sections("scores", least=1, most=MOST_SCORES)
    reader.close()
    key = call_id_key(secret)
    sent = [_read_score(item, key, now, retention) for item in items]

    def record(connection: Connection) -> int:
        stored = _placed(connection, items, sent)
        reader.check()
        scores.put(connection, stored, now)
        return len(stored)

    return _with_partitions(engine, record, [call.called_at for call, _, _, _ in sent if call])


def _with_partitions(engine: Engine, record: Callable[[Connection], _Result], times: Iterable[float]) -> _Result:
    """Runs `record` in a transaction; if a day lacks its partition, makes it and runs it once more."""
    try:
        with begin(engine) as connection:
            return record(connection)
    except Exception as error:
        if not partitions.is_missing(error):
            raise
    with begin(engine) as connection:
        partitions.create(connection, {partitions.day_of(time) for time in times})
    with begin(engine) as connection:
        return record(connection)


def _check_places(connection: Connection, batch: Batch) -> None:
    """Raises `Invalid` naming every row of a route, rollout or step that is not there."""
    routes = observations.known_routes(connection, [row.route for row in batch.rows])
    rollouts = observations.known_rollouts(connection, [row.rollout for row in batch.rows if row.rollout])
    problems = []
    for position, row in enumerate(batch.rows):
        if row.route not in routes:
            problems.append(Problem(f"rows[{position}].route", f"there is no route of number {row.route}"))
        if row.rollout:
            problem = _misplaced(rollouts, row.rollout, row.route, row.step)
            if not problem and row.copies and not rollouts[row.rollout][2]["steps"][row.step].get("shadow"):
                problem = "copies", f"step {row.step} of rollout {row.rollout} is no shadow: there green gets no copies"
            if problem:
                problems.append(Problem(f"rows[{position}].{problem[0]}", problem[1]))
    if problems:
        raise Invalid(problems)


def _without_false_costs(connection: Connection, rows: list[Row]) -> list[Row]:
    """The rows, but free calls of a Model without a price have no known cost: shims from before a price could be
    missing take it for 0."""
    if not any(row.cost_n and not row.cost_sum for row in rows):
        return rows
    models = declared.all_models(connection)
    unpriced = {name for name, model in models.items() if model.price is None}
    return [
        replace(row, cost_n=0, costs={}) if row.model in unpriced and row.cost_n and not row.cost_sum else row
        for row in rows
    ]


def _misplaced(
    rollouts: Mapping[int, tuple[int, int, dict[str, Any]]], rollout: int, route: int, step: int
) -> tuple[str, str] | None:
    """(field, what is wrong) with a rollout, route and step that do not go together."""
    if rollout not in rollouts:
        return "rollout", f"there is no rollout {rollout}"
    own_route, steps, _ = rollouts[rollout]
    if own_route != route:
        return "rollout", f"rollout {rollout} belongs to the route of number {own_route}, not {route}"
    if step >= steps:
        return "step", f"is {step}, but rollout {rollout} has {steps} steps, counted from 0"
    return None


def _read_score(
    reader: Reader, key: bytes, now: datetime, retention: timedelta
) -> tuple[CallId | None, str, float, str]:
    """(call or None if its id is bad, metric, value, grader)."""
    text = reader.text("call_id", most=200)
    metric = reader.text(
        "metric",
        pattern=SCORE_NAME,
        like=f"a name of a-z, 0-9 and _ such as accuracy, without {SCORE_PREFIX!r}",
    )
    value = reader.number("value", least=0, most=1)
    grader = reader.text("grader", "default", most=100)
    reader.close()
    if not text:
        return None, metric, value, grader
    try:
        call = read(key, text)
    except BadCallId as error:
        reader.problem("call_id", str(error))
        return None, metric, value, grader
    age = now.timestamp() - call.called_at
    if age > retention.total_seconds():
        reader.problem("call_id", f"is of a call {age / 86_400:.0f} days ago; at most {retention.days} days are kept")
    elif age < -AHEAD:
        reader.problem("call_id", "is of a call in the future; look at that machine's clock")
    return call, metric, value, grader


def _placed(
    connection: Connection, items: list[Reader], sent: list[tuple[CallId | None, str, float, str]]
) -> list[Score]:
    """The scores with their places; what has no place becomes a problem of its reader."""
    calls = [call for call, _, _, _ in sent if call]
    routes = observations.known_routes(connection, [call.route for call in calls])
    rollouts = observations.known_rollouts(connection, [call.rollout for call in calls if call.rollout])
    replaced = journal.plans_replaced(connection, rollouts)
    _, bucket_seconds = snapshots.state(connection)
    placed = []
    for item, (call, metric, value, grader) in zip(items, sent, strict=True):
        if call is None:
            continue
        wrong = _misplaced(rollouts, call.rollout, call.route, call.step) if call.rollout else None
        if call.route not in routes:
            wrong = "call_id", f"there is no route of number {call.route}"
        if wrong:
            item.problem("call_id", wrong[1])
            continue
        plans = [*replaced.get(call.rollout, ()), (inf, rollouts[call.rollout][2])] if call.rollout else []
        called_at = int(call.called_at)
        placed.append(
            Score(
                rollout=call.rollout,
                route=call.route,
                called_at=called_at,
                call=call.call,
                metric=metric,
                grader=grader,
                step=call.step,
                variant=call.variant,
                value=value,
                group=call.group,
                sealed_at=_sealed_at(plans, metric, called_at // bucket_seconds * bucket_seconds, bucket_seconds),
            )
        )
    return placed


def _sealed_at(plans: Iterable[tuple[float, Mapping[str, Any]]], metric: str, bucket: int, length: int) -> float:
    """When the metric's scores of the bucket that starts then are sealed, in seconds since 1970: never where no plan
    judges them. `plans` are those that the rollout has had, in their order, each with the moment it was replaced: what
    one of them has judged is sealed for good, whatever those after it say.
    """
    for until, plan in plans:
        for check in plan["checks"]:
            sealed = bucket + length + float(check["maturity"])
            judged = check["metric"] == SCORE_PREFIX + metric and bucket >= (check.get("since") or 0)
            if judged and sealed <= until:
                return sealed
    return inf
