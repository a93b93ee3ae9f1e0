"""Observation: what calls did, as sums. A shim sends a Batch of rows; each row sums one bucket's calls of one place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from crossfade.core.outcome import Outcome
from crossfade.core.reading import Reader
from crossfade.core.split import Variant

SMALLEST = 1e-4
"""Seconds; durations below fall into bin 0."""
GROWTH = 1.02
MOST_BINS = 1000
MOST_COUNT = 10**12
"""Of anything in one row, so that sums of rows never overflow."""


def duration_bin(seconds: float) -> int:
    """The histogram bin of a duration: bins grow by 2 %, so a quantile read back is within 1 %."""
    if seconds <= SMALLEST:
        return 0
    return min(MOST_BINS, int(math.log(seconds / SMALLEST) / math.log(GROWTH)) + 1)


def bin_seconds(index: int) -> float:
    """The middle of a bin, in seconds."""
    return SMALLEST if index <= 0 else SMALLEST * GROWTH ** (index - 0.5)


def quantile(bins: Mapping[int, int], share: float) -> float | None:
    """The duration in seconds below which `share` of the calls lie, or None without calls."""
    total = sum(bins.values())
    if not total:
        return None
    reached = 0
    for index in sorted(bins):
        reached += bins[index]
        if reached >= share * total:
            return bin_seconds(index)
    return bin_seconds(max(bins))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Sums of the calls that started in one bucket, of one route, rollout, step, assigned variant and place served.

    `judged` calls count for the error rate, `errors` of them are charged to the variant. `outcomes` classes whole
    calls and sums to `calls`; `attempts` classes every attempt. `model` and `region` served in the end, empty if
    none did. Costs are US dollars; `latency` and `first_token` are bins of `duration_bin` with their counts.
    """

    route: int
    rollout: int
    step: int
    variant: Variant
    bucket: int
    model: str = ""
    region: str = ""
    calls: int = 0
    judged: int = 0
    errors: int = 0
    busy: int = 0
    raised: int = 0
    retries: int = 0
    failovers: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    attempts: Mapping[str, int] = field(default_factory=dict)
    latency: Mapping[int, int] = field(default_factory=dict)
    first_token: Mapping[int, int] = field(default_factory=dict)
    tokens_in: int = 0
    tokens_out: int = 0
    cost_n: int = 0
    cost_sum: float = 0.0
    cost_sq: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One delivery of a shim. (shim, sequence) is unique: sent again, it counts once."""

    shim: str
    sequence: int
    service: str
    shim_version: str
    snapshot_version: int
    snapshot_age: float
    dropped: int
    sent_at: float
    rows: tuple[Row, ...]


_COUNTS = (
    "calls",
    "judged",
    "errors",
    "busy",
    "raised",
    "retries",
    "failovers",
    "tokens_in",
    "tokens_out",
    "cost_n",
)
_UUID = r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}"


def read_batch(data: object, *, now: float, oldest: float) -> Batch:
    """Reads and checks a batch; raises `Invalid` with every problem.

    `now` and `oldest` (seconds since 1970) bound the buckets: a minute ahead is allowed for clocks that differ.
    """
    reader = Reader(data, "")
    batch = Batch(
        shim=reader.text("shim", pattern=_UUID, like="a UUID in lower case"),
        sequence=reader.integer("sequence", least=0),
        service=reader.text("service", "", most=200),
        shim_version=reader.text("shim_version", "", most=50),
        snapshot_version=reader.integer("snapshot_version", 0, least=0),
        snapshot_age=reader.number("snapshot_age", 0.0, least=0),
        dropped=reader.integer("dropped", 0, least=0),
        sent_at=reader.number("sent_at", now),
        rows=tuple(_read_row(item, now, oldest) for item in reader.sections("rows", most=5000)),
    )
    reader.finish()
    return batch


def _read_row(reader: Reader, now: float, oldest: float) -> Row:
    counts = {name: reader.integer(name, 0, least=0, most=MOST_COUNT) for name in _COUNTS}
    row = Row(
        route=reader.integer("route", least=1, most=2**32 - 1),
        rollout=reader.integer("rollout", 0, least=0, most=2**32 - 1),
        step=reader.integer("step", 0, least=0, most=255),
        variant=Variant(reader.choice("variant", list(Variant))),
        bucket=reader.integer("bucket", least=0),
        model=reader.text("model", "", most=500),
        region=reader.text("region", "", most=100),
        outcomes=_read_counts(reader.section("outcomes"), list(Outcome)),
        attempts=_read_counts(reader.section("attempts"), list(Outcome)),
        latency=_read_bins(reader, "latency"),
        first_token=_read_bins(reader, "first_token"),
        cost_sum=reader.number("cost_sum", 0.0, least=0, most=MOST_COUNT),
        cost_sq=reader.number("cost_sq", 0.0, least=0, most=MOST_COUNT),
        **counts,
    )
    reader.close()
    if not oldest <= row.bucket <= now + 60:
        reader.problem("bucket", f"{row.bucket} lies outside what is kept: {oldest:.0f} to a minute from now")
    if not row.errors <= row.judged <= row.calls:
        reader.problem("errors", f"errors {row.errors} <= judged {row.judged} <= calls {row.calls} must hold")
    if sum(row.outcomes.values()) != row.calls:
        reader.problem("outcomes", f"sum to {sum(row.outcomes.values())}, but calls is {row.calls}")
    for name in ("busy", "raised"):
        if getattr(row, name) > row.calls:
            reader.problem(name, f"is {getattr(row, name)}, more than calls, which is {row.calls}")
    for name, bins in (("latency", row.latency), ("first_token", row.first_token)):
        if sum(bins.values()) > row.calls:
            reader.problem(name, f"counts {sum(bins.values())} calls, but calls is {row.calls}")
    if row.rollout == 0 and row.variant is Variant.GREEN:
        reader.problem("variant", "is green, but green exists only within a rollout")
    return row


def _read_counts(reader: Reader, allowed: list[Outcome]) -> dict[str, int]:
    counts = {str(name): reader.integer(name, least=0, most=MOST_COUNT) for name in allowed if reader.has(name)}
    for name in allowed:
        reader.raw(name)
    reader.close()
    return counts


def _read_bins(reader: Reader, key: str) -> dict[int, int]:
    value = reader.raw(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        reader.problem(key, "must be an object of bin -> count")
        return {}
    bins: dict[int, int] = {}
    for name, count in value.items():
        good_bin = len(str(name)) <= 4 and str(name).isdecimal() and int(name) <= MOST_BINS
        if not good_bin or isinstance(count, bool) or not isinstance(count, int) or count < 0:
            reader.problem(f"{key}.{name}", f"must be a bin from 0 to {MOST_BINS} with a whole count of 0 or more")
        else:
            bins[int(name)] = count
    return bins


def row_to_dict(row: Row) -> dict[str, Any]:
    """The row as it goes over the wire; zeros and empty tables are left out."""
    document: dict[str, Any] = {}
    for spec in fields(Row):
        value = getattr(row, spec.name)
        if spec.name in ("route", "rollout", "step", "variant", "bucket"):
            document[spec.name] = value
        elif value:
            document[spec.name] = dict(value) if isinstance(value, Mapping) else value
    return document
