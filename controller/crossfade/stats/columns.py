"""Columns: judged buckets as arrays, after merging adjacent ones until there is enough in each.

Everywhere in `stats` time is the first axis, and further axes S are rollouts judged side by side: S = () is one
rollout, S = (R,) are R of them, as a simulation has. Whatever stands "after" a bucket has the shape S, or S + (K,) for
K alternatives or sums. One rollout and many go through the same formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from crossfade.core.evidence import Bucket
from crossfade.core.split import GROUPS

Floats: TypeAlias = NDArray[np.float64]

LEAST_CALLS = 20
"""In a judged bucket. Fewer, and the division by N / (N - 1) costs half of the evidence of scores and gates."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """Sums of B judged buckets, of shape (B,) + S: calls `n`, losses `s`, squared losses `q`; of `g`reen and `b`lue.

    `groups`, (B,) + S + (2, 128, 3), has of green and of blue n, s and q of calls with a key by its group; None where
    no call has one. `pairs`, (B,) + S + (4,), has n, up, down and q of `core.evidence.Pairs`, 0 in buckets whose calls
    are not paired; None where none are.
    """

    step: NDArray[np.int64]
    n_g: Floats
    s_g: Floats
    q_g: Floats
    n_b: Floats
    s_b: Floats
    q_b: Floats
    groups: Floats | None = None
    pairs: Floats | None = None

    def __len__(self) -> int:
        return len(self.n_g)

    def part(self, chosen: slice | NDArray[np.bool_] | NDArray[np.int64] | tuple[slice, NDArray[np.int64]]) -> Columns:
        """The chosen buckets only; with a second index, of the chosen rollouts."""
        return self._each(lambda column: column[chosen])

    def side_by_side(self) -> Columns:
        """B buckets in a row as the one bucket of each of B rollouts: shape (1, B)."""
        return self._each(lambda column: column[None, :])

    @property
    def is_binary(self) -> NDArray[np.bool_]:
        """Shape (B,) + S: whether every loss in the bucket was 0 or 1, which q = s and whole sums tell."""
        s = self.s_g + self.s_b
        alike = np.abs(self.q_g + self.q_b - s) <= 1e-9 * (1 + s)
        whole = (np.abs(self.s_g - np.rint(self.s_g)) <= 1e-6) & (np.abs(self.s_b - np.rint(self.s_b)) <= 1e-6)
        return alike & whole

    def _each(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Columns:
        columns = {name: getattr(self, name) for name in _NAMES}
        changed: dict[str, Any] = {name: None if column is None else change(column) for name, column in columns.items()}
        return Columns(**changed)


_NAMES = Columns.__slots__


def to_columns(buckets: Sequence[Bucket], *, grouped: bool = True) -> Columns:
    """The buckets of one rollout as arrays, in the order given: S = (). Their groups only if wanted."""
    rows = [(k.step, *_sums(k)) for k in buckets]
    table = np.array(rows, dtype=np.float64).reshape(-1, 7).T.copy()
    return Columns(
        step=table[0].astype(np.int64),
        n_g=table[1],
        s_g=table[2],
        q_g=table[3],
        n_b=table[4],
        s_b=table[5],
        q_b=table[6],
        groups=_groups(buckets) if grouped else None,
        pairs=_pairs(buckets),
    )


def _pairs(buckets: Sequence[Bucket]) -> Floats | None:
    found = [bucket.pairs for bucket in buckets]
    if not any(found):
        return None
    return np.array([(0.0,) * 4 if each is None else (each.n, each.up, each.down, each.q) for each in found])


def _groups(buckets: Sequence[Bucket]) -> Floats | None:
    """Of buckets, of which some may have calls with a key: (B, 2, 128, 3)."""
    if not any(bucket.green_groups or bucket.blue_groups for bucket in buckets):
        return None
    sums = np.zeros((len(buckets), 2, GROUPS, 3))
    for row, bucket in zip(sums, buckets, strict=True):
        for of_variant, groups in zip(row, (bucket.green_groups, bucket.blue_groups), strict=True):
            for group, each in groups.items():
                of_variant[group] = each.n, each.s, each.q
    return sums


def widened(values: Floats, axes: int) -> Floats:
    """With as many axes of length 1 at the end: to meet alternatives, or a grid and alternatives."""
    return values.reshape(values.shape + (1,) * axes)


def running(start: Floats, added: NDArray[Any]) -> Floats:
    """`start`, shape S, and it after each of `added`, (B,) + S: (B + 1,) + S.

    Added one after the other, so that what is carried forward is what recomputation gives, to the last bit.
    """
    total: Floats = np.cumsum(np.concatenate((np.asarray(start)[None], added)), axis=0)
    return total


def decayed(start: Floats, added: Floats, decay: float) -> Floats:
    """The same with what was there before shrunk by `decay` at each bucket."""
    sums = np.empty((len(added) + 1, *np.shape(start)))
    sums[0] = start
    for position in range(len(added)):
        sums[position + 1] = decay * sums[position] + added[position]
    return sums


def _sums(bucket: Bucket) -> tuple[float, float, float, float, float, float]:
    green, blue = bucket.green, bucket.blue
    return green.n, green.s, green.q, blue.n, blue.s, blue.q


def merge(pending: Sequence[Bucket], buckets: Iterable[Bucket]) -> tuple[list[Bucket], tuple[Bucket, ...]]:
    """Buckets of one step added up until they have `LEAST_CALLS`, of both variants: (those judged, those still filling,
    one a step at most). A bucket fills one judged one at most.

    Which buckets are merged depends on the counts of calls alone, never on how they went. Each step fills its own:
    while some shims have not heard of a step, calls of two come in together.
    """
    judged: list[Bucket] = []
    filling = {bucket.step: bucket for bucket in pending}
    for bucket in buckets:
        before = filling.pop(bucket.step, None)
        merged = bucket if before is None else before + bucket
        if merged.green.n and merged.blue.n and merged.green.n + merged.blue.n >= LEAST_CALLS:
            judged.append(merged)
        else:
            filling[bucket.step] = merged
    return judged, tuple(filling[step] for step in sorted(filling))
