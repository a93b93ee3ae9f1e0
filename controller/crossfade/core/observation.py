"""Observation: what calls did, as sums. A shim sends a Batch of rows; each row sums one bucket's calls of one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from crossfade.core.histogram import MOST_BINS
from crossfade.core.outcome import Outcome
from crossfade.core.pair import is_pair_key
from crossfade.core.reading import Reader
from crossfade.core.split import GROUPS, Variant
from crossfade.core.stop import Stop

MOST_COUNT = 10**12
"""Of anything in one row, so that sums of rows never overflow."""
MOST_PAIRS = 20_000
"""Different ones in one row: far more than a shim may copy in a bucket."""
AHEAD = 60
"""Seconds that clocks may differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Sums of the calls that started in one bucket, of one route, rollout, step, assigned variant and place served.

    `judged` calls count for the error rate, `errors` of them are charged to the variant. `outcomes` classes whole
    calls and sums to `calls`; `attempts` classes every attempt. `model` and `region` served in the end, empty if
    none did. Costs are US dollars; `latency` and `first_token` are bins of `duration_bin`, `costs` of `cost_bin`, with
    their counts, `stops` counts the answers by why they ended. `keyed` calls were assigned by a stickiness key; of
    them `groups` counts (judged, errors) by the group of the key. `copies` of the calls are green's copies at a shadow
    step: nobody waited for them. `pairs` counts those that were judged, as blue's call was, by `core.pair.pair_key`.
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
    costs: Mapping[int, int] = field(default_factory=dict)
    stops: Mapping[str, int] = field(default_factory=dict)
    keyed: int = 0
    groups: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    copies: int = 0
    pairs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One delivery of a shim. (shim, sequence) is unique: sent again, it counts once.

    `refused` counts the calls of rows left out for their time: older than what is kept, or too far ahead.
    """

    shim: str
    sequence: int
    service: str
    shim_version: str
    snapshot_version: int
    snapshot_age: float
    dropped: int
    sent_at: float
    rows: tuple[Row, ...]
    refused: int = 0


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
    "keyed",
    "copies",
)
_UUID = r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}"


def read_batch(data: object, *, now: float, oldest: float) -> Batch:
    """Reads and checks a batch; raises `Invalid` with every problem.

    `now` and `oldest` (seconds since 1970) bound the buckets: a minute ahead is allowed for clocks that differ. A row
    outside is left out and counted in `refused`; the others are kept, since one wrong clock must not cost them all.
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
        rows=tuple(_read_row(item) for item in reader.sections("rows", most=5000)),
    )
    reader.finish()
    kept = tuple(row for row in batch.rows if oldest <= row.bucket <= now + AHEAD)
    return replace(batch, rows=kept, refused=sum(row.calls for row in batch.rows) - sum(row.calls for row in kept))


def _read_row(reader: Reader) -> Row:
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
        costs=_read_bins(reader, "costs"),
        stops=_read_counts(reader.section("stops"), list(Stop)),
        groups=_read_groups(reader, "groups"),
        pairs=_read_pairs(reader, "pairs"),
        **counts,
    )
    reader.close()
    _check_sums(reader, row)
    if row.rollout == 0 and row.variant is Variant.GREEN:
        reader.problem("variant", "is green, but green exists only within a rollout")
    return row


def _check_sums(reader: Reader, row: Row) -> None:
    """Tells every sum that cannot be."""
    if not row.errors <= row.judged <= row.calls:
        reader.problem("errors", f"errors {row.errors} <= judged {row.judged} <= calls {row.calls} must hold")
    if sum(row.outcomes.values()) != row.calls:
        reader.problem("outcomes", f"sum to {sum(row.outcomes.values())}, but calls is {row.calls}")
    for name in ("busy", "raised", "cost_n", "keyed", "copies"):
        if getattr(row, name) > row.calls:
            reader.problem(name, f"is {getattr(row, name)}, more than calls, which is {row.calls}")
    for name in ("latency", "first_token", "stops"):
        counted = sum(getattr(row, name).values())
        if counted > row.calls:
            reader.problem(name, f"counts {counted} calls, but calls is {row.calls}")
    if sum(row.costs.values()) > row.cost_n:
        reader.problem("costs", f"counts {sum(row.costs.values())} calls, but cost_n is {row.cost_n}")
    judged = sum(judged for judged, _ in row.groups.values())
    errors = sum(errors for _, errors in row.groups.values())
    if sum(row.pairs.values()) > min(row.judged, row.copies):
        reader.problem(
            "pairs", f"count {sum(row.pairs.values())}, but of {row.copies} copies, and judged is {row.judged}"
        )
    if row.copies and row.variant is Variant.BLUE:
        reader.problem("copies", "are green's, and the variant is blue")
    if judged > min(row.judged, row.keyed):
        reader.problem("groups", f"judge {judged} calls, but of {row.keyed} keyed ones, and judged is {row.judged}")
    if errors > row.errors:
        reader.problem("groups", f"count {errors} errors, but errors is {row.errors}")


def _read_counts(reader: Reader, allowed: Sequence[str]) -> dict[str, int]:
    counts = {str(name): reader.integer(name, least=0, most=MOST_COUNT) for name in allowed if reader.has(name)}
    for name in allowed:
        reader.raw(name)
    reader.close()
    return counts


def _read_bins(reader: Reader, key: str) -> dict[int, int]:
    bins: dict[int, int] = {}
    for name, count in _read_table(reader, key, "bin -> count"):
        if not _is_index(name, MOST_BINS) or not _is_count(count):
            reader.problem(f"{key}.{name}", f"must be a bin from 0 to {MOST_BINS} with a whole count of 0 or more")
        else:
            bins[int(name)] = count
    return bins


def _read_groups(reader: Reader, key: str) -> dict[int, tuple[int, int]]:
    groups: dict[int, tuple[int, int]] = {}
    for name, counts in _read_table(reader, key, "group -> [judged, errors]"):
        pair = isinstance(counts, list | tuple) and len(counts) == 2 and all(_is_count(count) for count in counts)
        if not _is_index(name, GROUPS - 1) or not pair or counts[1] > counts[0]:
            reader.problem(
                f"{key}.{name}", f"must be a group from 0 to {GROUPS - 1} with [judged, errors], errors <= judged"
            )
        else:
            groups[int(name)] = (counts[0], counts[1])
    return groups


def _read_pairs(reader: Reader, key: str) -> dict[str, int]:
    pairs: dict[str, int] = {}
    for name, count in _read_table(reader, key, "pair -> count"):
        if not is_pair_key(name) or not _is_count(count):
            reader.problem(f"{key}.{name[:100]}", "must be a pair of calls as a shim writes it, with a whole count")
        elif len(pairs) == MOST_PAIRS:
            reader.problem(key, f"must be at most {MOST_PAIRS:,} different pairs in one row")
            break
        else:
            pairs[name] = count
    return pairs


def _read_table(reader: Reader, key: str, like: str) -> list[tuple[str, Any]]:
    value = reader.raw(key)
    if value is not None and not isinstance(value, Mapping):
        reader.problem(key, f"must be an object of {like}")
        return []
    return [(str(name), item) for name, item in (value or {}).items()]


def _is_index(name: str, most: int) -> bool:
    return len(name) <= 4 and name.isdecimal() and int(name) <= most


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_COUNT


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
