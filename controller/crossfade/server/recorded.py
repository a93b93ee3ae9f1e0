"""Recorded: blue's latest calls of a route, as they can be split anew. Reads only."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from math import ceil, inf

from sqlalchemy import Connection

from crossfade.core.plan import Plan
from crossfade.server.store.blue_calls import by_group, by_loss, keyed_share
from crossfade.server.store.losses import past
from crossfade.simulation.recording import Calls, Group, Recording, record

BUCKETS = 1_000
"""That are read, and wider ones where they reach further back."""


def read_recording(
    connection: Connection,
    route_id: int,
    plan: Plan,
    now: datetime,
    *,
    length: int,
    seconds: float = inf,
    buckets: int = BUCKETS,
) -> Recording:
    """Blue's calls by every check of the plan, whose limits are fixed: of its last `buckets` buckets of `length`
    seconds, or of the last `seconds` if those are more, but of no more than its last day."""
    before = past(connection, route_id, now)
    span = min(before.until - before.since, max(buckets * length, seconds))
    width = max(1, ceil(span / length / buckets)) * length
    # Whole buckets only: half a bucket is a bucket of other calls.
    before = replace(before, since=max(before.since, ceil((before.until - span) / width) * width))
    calls, groups = {}, {}
    for check in plan.checks:
        calls[check.metric] = [Calls._make(row) for row in by_loss(connection, check, before, width)]
        keyed = by_group(connection, check, before, width)
        if keyed is not None:
            groups[check.metric] = [Group._make(row) for row in keyed]
    return record(float(width), calls, groups, keyed=keyed_share(connection, before))
