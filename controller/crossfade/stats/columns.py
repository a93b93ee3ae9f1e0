"""Columns: judged buckets as arrays, after merging adjacent ones until each variant has calls."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from crossfade.core.evidence import Bucket

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """Sums of B judged buckets, arrays of shape (B,): calls `n`, losses `s`, squared losses `q`; `g`reen, `b`lue."""

    step: NDArray[np.int64]
    n_g: Floats
    s_g: Floats
    q_g: Floats
    n_b: Floats
    s_b: Floats
    q_b: Floats

    def __len__(self) -> int:
        return len(self.n_g)

    def part(self, chosen: slice | NDArray[np.bool_]) -> Columns:
        """The chosen buckets only."""
        return Columns(
            step=self.step[chosen],
            n_g=self.n_g[chosen],
            s_g=self.s_g[chosen],
            q_g=self.q_g[chosen],
            n_b=self.n_b[chosen],
            s_b=self.s_b[chosen],
            q_b=self.q_b[chosen],
        )

    @property
    def is_binary(self) -> NDArray[np.bool_]:
        """Shape (B,): whether every loss in the bucket was 0 or 1, which q = s and whole sums tell."""
        s = self.s_g + self.s_b
        alike = np.abs(self.q_g + self.q_b - s) <= 1e-9 * (1 + s)
        whole = (np.abs(self.s_g - np.rint(self.s_g)) <= 1e-6) & (np.abs(self.s_b - np.rint(self.s_b)) <= 1e-6)
        return alike & whole


def to_columns(buckets: Iterable[Bucket]) -> Columns:
    """The buckets as arrays, in the order given."""
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
    )


def _sums(bucket: Bucket) -> tuple[float, float, float, float, float, float]:
    green, blue = bucket.green, bucket.blue
    return green.n, green.s, green.q, blue.n, blue.s, blue.q


def merge(pending: Bucket | None, buckets: Iterable[Bucket]) -> tuple[list[Bucket], Bucket | None]:
    """Adjacent buckets of one step added up until each variant has calls: (those judged, the one still filling).

    Which buckets are merged depends on the counts of calls alone, never on how they went. What is still filling
    when the step changes is dropped: one variant alone is no evidence.
    """
    judged: list[Bucket] = []
    for bucket in buckets:
        filling = bucket if pending is None or pending.step != bucket.step else pending + bucket
        if filling.green.n and filling.blue.n:
            judged.append(filling)
            pending = None
        else:
            pending = filling
    return judged, pending
