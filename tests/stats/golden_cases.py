"""Fixed evidence for the golden numbers: drawn once from seeds, and kept in golden.json beside the numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from crossfade.core.evidence import Bucket, Summary

Draw = Callable[[Random], float]
"""One call's loss."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """The evidence of one check at `step`; margin in points and weights in percent, as text so that both are exact."""

    name: str
    buckets: tuple[Bucket, ...]
    history: Summary
    margin: str = "0.5"
    weights: tuple[str, ...] = ("1", "5", "25", "50")
    step: int = 3
    overdispersion: str = "1"
    """What the judge starts with."""


def case_to_dict(case: Case) -> dict[str, Any]:
    """As JSON; a bucket is (start, step, blue's n, s, q, green's n, s, q), and where calls have keys blue's groups and
    green's, each (group, n, s, q)."""
    return {
        "margin": case.margin,
        "weights": list(case.weights),
        "step": case.step,
        "overdispersion": case.overdispersion,
        "history": _sums(case.history),
        "buckets": [[k.start, k.step, *_sums(k.blue), *_sums(k.green), *_groups(k)] for k in case.buckets],
    }


def case_from_dict(name: str, held: dict[str, Any]) -> Case:
    return Case(
        name=name,
        buckets=tuple(
            Bucket(
                k[0],
                k[1],
                Summary(*k[2:5]),
                Summary(*k[5:8]),
                *({group: Summary(*sums) for group, *sums in groups} for groups in k[8:]),
            )
            for k in held["buckets"]
        ),
        history=Summary(*held["history"]),
        margin=held["margin"],
        weights=tuple(held["weights"]),
        step=held["step"],
        overdispersion=held["overdispersion"],
    )


def _groups(bucket: Bucket) -> list[list[list[float]]]:
    both = (bucket.blue_groups, bucket.green_groups)
    return [[[group, *_sums(sums)] for group, sums in groups.items()] for groups in both] if any(both) else []


def _sums(summary: Summary) -> list[float]:
    return [summary.n, summary.s, summary.q]


def summed(losses: Sequence[float]) -> Summary:
    return Summary(len(losses), sum(losses), sum(loss * loss for loss in losses))


def rate(p: float) -> Draw:
    return lambda rng: float(rng.random() < p)


def graded(mean: float) -> Draw:
    """A loss between 0 and 1 in steps of 1/8: sums and sums of squares are exact in binary."""
    return lambda rng: round(8 * rng.betavariate(2 * mean, 2 * (1 - mean))) / 8


def drawn(
    seed: int,
    buckets: int,
    blue: Draw,
    green: Draw,
    *,
    weight: float,
    calls: int = 60,
    clump: int = 1,
    step: int = 0,
    start: int = 0,
) -> tuple[Bucket, ...]:
    """Buckets in which every `clump` calls share variant and loss."""
    rng = Random(seed)
    made = []
    for t in range(start, start + buckets):
        losses: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(calls // clump):
            is_green = rng.random() < weight
            losses[is_green] += [(green if is_green else blue)(rng)] * clump
        made.append(Bucket(10 * t, step, summed(losses[False]), summed(losses[True])))
    return tuple(made)


def by_user(
    seed: int,
    buckets: int,
    blue: Draw,
    green: Draw,
    *,
    weight: float,
    users: int,
    spread: float = 0.3,
    keyed: float = 1.0,
    calls: int = 60,
    step: int = 0,
    start: int = 0,
) -> tuple[Bucket, ...]:
    """Users who keep their variant; `spread` of their calls lose what the first of them did. A share `keyed` of the
    users is known by a key."""
    rng = Random(seed)
    kept = [(rng.random() < weight, rng.randrange(128) if rng.random() < keyed else None) for _ in range(users)]
    first = [(green if is_green else blue)(rng) for is_green, _ in kept]
    made = []
    for t in range(start, start + buckets):
        losses: dict[bool, list[float]] = {True: [], False: []}
        grouped: dict[bool, dict[int, list[float]]] = {True: {}, False: {}}
        for _ in range(calls):
            user = rng.randrange(users)
            is_green, group = kept[user]
            loss = first[user] if rng.random() < spread else (green if is_green else blue)(rng)
            losses[is_green].append(loss)
            if group is not None:
                grouped[is_green].setdefault(group, []).append(loss)
        groups = ({g: summed(grouped[v][g]) for g in sorted(grouped[v])} for v in (False, True))
        made.append(Bucket(10 * t, step, summed(losses[False]), summed(losses[True]), *groups))
    return tuple(made)


def ramped(seed: int, blue: Draw, green: Draw, *, buckets: int = 10, calls: int = 60) -> tuple[Bucket, ...]:
    """The same number of buckets at each of 1, 5, 25 and 50 %."""
    parts = [
        drawn(seed + step, buckets, blue, green, weight=weight, calls=calls, step=step, start=buckets * step)
        for step, weight in enumerate((0.01, 0.05, 0.25, 0.5))
    ]
    return tuple(bucket for part in parts for bucket in part)


def binary(start: int, blue: tuple[int, int], green: tuple[int, int]) -> Bucket:
    """(calls, bad calls) of each."""
    return Bucket(start, 0, Summary(blue[0], blue[1], blue[1]), Summary(green[0], green[1], green[1]))


def bad(n: int, s: int) -> Summary:
    return Summary(n, s, s)


GRADED_HISTORY = summed([graded(0.15)(rng) for rng in [Random(77)] for _ in range(400)])

LOW_TRAFFIC = tuple(
    bucket
    for step, weight in enumerate((0.1, 0.2, 0.3, 0.4))
    for bucket in drawn(80 + step, 30, rate(0.05), rate(0.1), weight=weight, calls=3, step=step, start=30 * step)
)

SMALL_BINARY = Case(
    name="small binary",
    buckets=(
        binary(0, (9, 1), (3, 1)),
        binary(10, (8, 0), (2, 1)),
        binary(20, (7, 1), (0, 0)),
        binary(30, (9, 0), (3, 0)),
    ),
    history=bad(200, 10),
    margin="5",
    weights=("25",),
    step=0,
)
SMALL_BOUNDED = Case(
    name="small bounded",
    buckets=(
        Bucket(0, 0, Summary(5, 0.75, 0.3125), Summary(4, 1.5, 1.0)),
        Bucket(10, 0, Summary(6, 1.0, 0.5), Summary(5, 0.25, 0.0625)),
        Bucket(20, 0, Summary(5, 0.5, 0.125), Summary(5, 1.0, 0.375)),
    ),
    history=Summary(100, 15.5, 6.25),
    margin="10",
    weights=("50",),
    step=0,
)

CASES = (
    SMALL_BINARY,
    SMALL_BOUNDED,
    Case(
        name="equal and ramped",
        buckets=ramped(10, rate(0.02), rate(0.02)),
        history=bad(20_000, 400),
    ),
    Case(
        name="worse and ramped",
        buckets=ramped(20, rate(0.02), rate(0.12)),
        history=bad(2_000, 40),
    ),
    Case(
        name="better and passed",
        buckets=drawn(30, 60, rate(0.2), rate(0.05), weight=0.5),
        history=bad(5_000, 1_000),
        margin="2",
        weights=("50",),
        step=0,
    ),
    Case(
        name="scores ramped",
        buckets=ramped(40, graded(0.15), graded(0.15)),
        history=GRADED_HISTORY,
        margin="1",
    ),
    Case(
        name="scores worse",
        buckets=drawn(50, 40, graded(0.15), graded(0.35), weight=0.3),
        history=GRADED_HISTORY,
        margin="1",
        weights=("30",),
        step=0,
    ),
    Case(
        name="zero and one before scores between",
        buckets=drawn(60, 15, rate(0.15), rate(0.2), weight=0.4)
        + drawn(61, 15, graded(0.15), graded(0.2), weight=0.4, start=15),
        history=bad(300, 45),
        margin="3",
        weights=("40",),
        step=0,
    ),
    Case(
        name="bursts of four",
        buckets=drawn(70, 50, rate(0.1), rate(0.15), weight=0.3, clump=4),
        history=bad(1_000, 100),
        weights=("30", "50"),
        step=0,
    ),
    Case(
        name="bursts of four, started with what is known of them",
        buckets=drawn(75, 50, rate(0.1), rate(0.2), weight=0.5, clump=4),
        history=bad(1_000, 100),
        weights=("50",),
        step=0,
        overdispersion="3.5",
    ),
    Case(
        name="low traffic, merged",
        buckets=LOW_TRAFFIC,
        history=bad(50, 2),
        margin="2",
        step=2,
    ),
    Case(
        name="hardly an error",
        buckets=drawn(90, 40, rate(0.0005), rate(0.0005), weight=0.25, calls=400),
        history=bad(100_000, 50),
        margin="0.1",
        weights=("25", "50"),
        step=0,
    ),
    Case(
        name="hardly a good call",
        buckets=drawn(100, 30, rate(0.97), rate(0.99), weight=0.5),
        history=bad(3_000, 2_940),
        weights=("50",),
        step=0,
    ),
    Case(
        name="no error at all, no history",
        buckets=tuple(binary(10 * t, (90 + t % 5, 0), (10 + t % 3, 0)) for t in range(40)),
        history=bad(0, 0),
        margin="1",
        weights=("10", "50"),
        step=0,
    ),
    Case(
        name="every green call fails",
        buckets=tuple(binary(10 * t, (90, 1), (10, 10)) for t in range(6)),
        history=bad(10_000, 100),
        weights=("10",),
        step=0,
    ),
    Case(
        name="worse, then better: the crossing stays",
        buckets=drawn(120, 12, rate(0.02), rate(0.3), weight=0.3)
        + drawn(121, 40, rate(0.3), rate(0.02), weight=0.3, start=12),
        history=bad(10_000, 200),
        weights=("30",),
        step=0,
    ),
    Case(
        name="bad after two hundred good buckets",
        buckets=drawn(130, 200, rate(0.02), rate(0.02), weight=0.2, calls=40)
        + drawn(131, 25, rate(0.02), rate(0.25), weight=0.2, calls=40, start=200),
        history=bad(10_000, 200),
        margin="2",
        weights=("20",),
        step=0,
    ),
    Case(
        name="hardly a green call, and blue not as it was",
        buckets=(binary(0, (1541, 134), (2, 0)), binary(10, (107, 0), (7, 0)), binary(20, (1721, 0), (1, 0))),
        history=bad(1_333, 9),
        margin="7",
        weights=("1", "5"),
        step=0,
    ),
    Case(
        name="users who return and differ",
        buckets=by_user(150, 60, rate(0.1), rate(0.1), weight=0.3, users=80),
        history=bad(10_000, 1_000),
        margin="2",
        weights=("30",),
        step=0,
    ),
    Case(
        name="users of whom some have no key, through two steps",
        buckets=by_user(160, 30, rate(0.1), rate(0.25), weight=0.2, users=400, keyed=0.6)
        + by_user(161, 40, rate(0.1), rate(0.25), weight=0.5, users=400, keyed=0.6, step=1, start=30),
        history=bad(10_000, 1_000),
        weights=("20", "50"),
        step=1,
    ),
    Case(
        name="scores of users who return",
        buckets=by_user(170, 50, graded(0.15), graded(0.3), weight=0.5, users=150, spread=0.4),
        history=GRADED_HISTORY,
        margin="2",
        weights=("50",),
        step=0,
    ),
    Case(
        name="keys from the thirtieth bucket on, bad from the second block",
        buckets=drawn(180, 30, rate(0.05), rate(0.05), weight=0.3, calls=30)
        + by_user(181, 130, rate(0.05), rate(0.05), weight=0.3, users=300, calls=30, start=30)
        + by_user(182, 25, rate(0.05), rate(0.5), weight=0.3, users=300, calls=30, start=160),
        history=bad(10_000, 500),
        margin="2",
        weights=("30",),
        step=0,
    ),
    Case(
        name="keys from the fortieth bucket on, better until then",
        buckets=drawn(185, 40, rate(0.1), rate(0.03), weight=0.5)
        + by_user(186, 20, rate(0.1), rate(0.15), weight=0.5, users=300, start=40),
        history=bad(10_000, 1_000),
        margin="2",
        weights=("50",),
        step=0,
    ),
    Case(
        name="users of whom a few are green's: more calls will not do",
        buckets=by_user(190, 40, rate(0.3), rate(0.2), weight=0.15, users=60, spread=0.6),
        history=bad(10_000, 3_000),
        margin="1",
        weights=("5", "50"),
        step=0,
    ),
    Case(
        name="an outage of both",
        buckets=drawn(140, 15, rate(0.02), rate(0.02), weight=0.2)
        + drawn(141, 5, rate(0.5), rate(0.5), weight=0.2, start=15)
        + drawn(142, 15, rate(0.02), rate(0.02), weight=0.2, start=20),
        history=bad(10_000, 200),
        weights=("20",),
        step=0,
    ),
)
