"""Snapshot: what the shims need, read whole at one version."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine

from crossfade.core.phase import Phase
from crossfade.core.rollout import Rollout
from crossfade.core.snapshot import Entry, Live, Snapshot
from crossfade.server.database import begin
from crossfade.server.keys import call_id_key
from crossfade.server.store import declared, journal, rollouts, snapshots
from crossfade.server.store.journal import REBUCKET


def current_snapshot(engine: Engine, *, now: datetime, secret: str) -> Snapshot:
    """All routes and Models, consistent with `version`. `core.snapshot.snapshot_to_bytes` makes the body of it."""
    with begin(engine, snapshot=True) as connection:
        version, bucket_seconds = snapshots.state(connection)
        models = declared.all_models(connection)
        routes = declared.all_routes(connection)
        live = {stored.route_id: live_part(stored.rollout) for stored in rollouts.all_live(connection)}
    return Snapshot(
        version=version,
        issued_at=now.timestamp(),
        bucket_seconds=bucket_seconds,
        signing_key=call_id_key(secret),
        entries={
            name: Entry(id=stored.id, route=stored.route, live=live.get(stored.id)) for name, stored in routes.items()
        },
        models=models,
    )


def live_part(rollout: Rollout) -> Live | None:
    """What the call path must know of a rollout; None of one that is not running, whose calls are blue's alone."""
    if rollout.phase not in (Phase.PROGRESSING, Phase.PAUSED):
        return None
    return Live(
        rollout=rollout.id,
        step=rollout.step,
        weight=rollout.weight,
        salt=rollout.salt,
        green=rollout.green,
        shadow=rollout.shadow,
    )


def current_version(engine: Engine) -> int:
    """The version alone: one row by its key, cheap enough to poll."""
    with begin(engine) as connection:
        return snapshots.state(connection)[0]


def configure(engine: Engine, *, bucket_seconds: int, now: datetime) -> None:
    """Sets how long a time bucket is, for every shim and the scheduler. A controller says it when it starts.

    The journal of every rollout that runs or is paused has it, so that its past is read by the length of then.
    """
    with begin(engine) as connection:
        before = snapshots.set_bucket_seconds(connection, bucket_seconds)
        for stored in rollouts.all_live(connection) if before != bucket_seconds else ():
            if live_part(stored.rollout) is not None:
                journal.append(
                    connection,
                    at=max(now, stored.evaluated_at or now),
                    subject=f"rollout {stored.rollout.id}",
                    actor=journal.CONTROLLER,
                    kind=journal.CONTROLLER,
                    act=REBUCKET,
                    reason="",
                    sentence=f"A time bucket is {bucket_seconds} s long from now on, and was {before} s: the"
                    " evidence is read anew by that.",
                    numbers={"before": before, "after": bucket_seconds},
                    rollout=stored.rollout,
                    plan_hash=stored.plan_hash,
                )
