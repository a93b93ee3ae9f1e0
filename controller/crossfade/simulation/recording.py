"""Recording: blue's recorded calls, bucket by bucket, kept so that they can be split anew into two variants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from crossfade.core.evidence import Summary
from crossfade.stats.columns import Floats

_Number = TypeVar("_Number", np.float64, np.int64)

MOST_LOSSES = 100
"""Losses of a metric that are told apart; where there are more, they are rounded to hundredths."""


class Calls(NamedTuple):
    """So many calls of one bucket that lost the same, each of them assigned by itself."""

    bucket: int
    loss: float
    n: int


class Group(NamedTuple):
    """The calls of one bucket whose keys fall into one group, which stay together. Groups of another `family` are of
    other keys: each rollout sorts them anew.
    """

    bucket: int
    family: int
    group: int
    n: int
    s: float
    q: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tape:
    """One metric's calls in B buckets: `count`, (B, K), of each `loss`, (K,); and by group of keys `n`, `s` and `q`,
    (B, G) each. `by_key` says whether calls with a key are known by it; if not they are among the others.
    """

    loss: Floats
    count: NDArray[np.int64]
    n: Floats
    s: Floats
    q: Floats
    by_key: bool

    @property
    def history(self) -> Summary:
        """All calls."""
        counted = self.count.sum(axis=0)
        n = int(counted.sum() + self.n.sum())
        s, q = (
            float(counted @ lost + grouped.sum()) for lost, grouped in ((self.loss, self.s), (self.loss**2, self.q))
        )
        return Summary(n, min(s, n), min(q, s, n))

    def merged(self, each: int) -> Tape:
        """With so many adjacent buckets as one; what is left over at the beginning is left out."""
        n, s = _merged(self.n, each), _merged(self.s, each)
        q = s if self.q is self.s else _merged(self.q, each)
        return Tape(loss=self.loss, count=_merged(self.count, each), n=n, s=s, q=q, by_key=self.by_key)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recording:
    """`buckets` buckets of `length` seconds in time order, those without any call left out: the clock of a replay
    stands still meanwhile. `families`, (G,), says for each group of keys which belong together, `groups`, (G,), which
    of their family's 128 it is; `keyed` is the share of the calls that had a key.
    """

    length: float
    buckets: int
    tapes: Mapping[str, Tape]
    families: NDArray[np.int64]
    groups: NDArray[np.int64]
    keyed: float

    @property
    def seconds(self) -> float:
        return self.buckets * self.length

    def merged(self, each: int) -> Recording:
        """With so many adjacent buckets as one."""
        return Recording(
            length=self.length * each,
            buckets=self.buckets // each,
            tapes={metric: tape.merged(each) for metric, tape in self.tapes.items()},
            families=self.families,
            groups=self.groups,
            keyed=self.keyed,
        )


def record(
    length: float,
    calls: Mapping[str, Iterable[Calls]],
    groups: Mapping[str, Iterable[Group]],
    *,
    keyed: float,
) -> Recording:
    """What was read of each metric. A metric that is not in `groups` is not recorded by key."""
    one_by_one = {metric: [row for row in rows if row.n > 0] for metric, rows in calls.items()}
    by_group = {metric: [row for row in rows if row.n > 0] for metric, rows in groups.items()}
    starts = {row.bucket for rows in one_by_one.values() for row in rows}
    starts |= {row.bucket for rows in by_group.values() for row in rows}
    place = {start: index for index, start in enumerate(sorted(starts))}
    known = sorted({(row.family, row.group) for rows in by_group.values() for row in rows})
    column = {group: index for index, group in enumerate(known)}
    return Recording(
        length=length,
        buckets=len(place),
        tapes={metric: _tape(rows, by_group.get(metric), place, column) for metric, rows in one_by_one.items()},
        families=np.array([family for family, _ in known], dtype=np.int64),
        groups=np.array([group for _, group in known], dtype=np.int64),
        keyed=keyed,
    )


def _tape(
    rows: list[Calls],
    groups: list[Group] | None,
    place: Mapping[int, int],
    column: Mapping[tuple[int, int], int],
) -> Tape:
    losses = np.array([row.loss for row in rows], dtype=np.float64)
    if len(np.unique(losses)) > MOST_LOSSES:
        losses = np.round(losses, 2)
    loss, kind = np.unique(losses, return_inverse=True)
    count = np.zeros((len(place), len(loss)), dtype=np.int64)
    for row, column_of in zip(rows, kind.tolist(), strict=True):
        count[place[row.bucket], column_of] += row.n
    sums = np.zeros((3, len(place), len(column)))
    if groups:
        at = [place[each.bucket] for each in groups], [column[each.family, each.group] for each in groups]
        for total, part in zip(sums, np.array([each[3:] for each in groups], dtype=np.float64).T, strict=True):
            np.add.at(total, at, part)
    n, s, q = sums
    q = s if np.array_equal(q, s) else q  # losses of 0 and 1: split once
    return Tape(loss=loss, count=count, n=n, s=s, q=q, by_key=groups is not None)


def _merged(column: NDArray[_Number], each: int) -> NDArray[_Number]:
    whole = column[len(column) % each :]
    summed: NDArray[_Number] = whole.reshape(len(whole) // each, each, whole.shape[1]).sum(axis=1)
    return summed
