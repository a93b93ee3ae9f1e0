"""Carried: one rollout's evidence on one check, as it is carried from tick to tick.

`as_document` and `from_document` give and take it as JSON can hold it, to the last bit of every number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from crossfade.core.evidence import Bucket, Pairs, Summary
from crossfade.core.plan import Check
from crossfade.stats.columns import merge, to_columns
from crossfade.stats.state import State, Worked, start_state

FORMAT = 8
"""Raised whenever a formula or a field changes: what was carried in another format is computed anew."""

AT_ONCE = 512
"""Buckets worked through at once: with groups of keys each takes 6 KB, and several times that on the way."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Carried:
    """`pending` are the buckets that are still being merged, one a step at most."""

    state: State
    pending: tuple[Bucket, ...] = ()

    def after(self, buckets: Sequence[Bucket]) -> Carried:
        """With more sealed buckets, in time order."""
        return self.worked(buckets)[1] if buckets else self

    def worked(self, buckets: Sequence[Bucket]) -> tuple[list[Bucket], Carried, list[Worked]]:
        """(those judged, after them, all that was computed on the way)."""
        judged, pending = merge(self.pending, buckets)
        parts: list[Worked] = []
        state = self.state
        for begin in range(0, len(buckets), AT_ONCE):
            state = state.counted(to_columns(buckets[begin : begin + AT_ONCE], grouped=False))
        for begin in range(0, len(judged), AT_ONCE):
            parts += (parts[-1].after if parts else state).worked(to_columns(judged[begin : begin + AT_ONCE]))
        return judged, Carried(state=parts[-1].after if parts else state, pending=pending), parts

    def at(self, step: int, gate_margin: float) -> Carried:
        """At this step, with the margin its gate asks for."""
        return replace(self, state=self.state.at(step, gate_margin))


def start_carried(check: Check, gate_margin: float, step: int, history: Summary) -> Carried:
    """Before the first bucket."""
    state = start_state(
        margin=check.loss_margin,
        gate_margin=gate_margin,
        step=step,
        history=history,
        overdispersion=check.overdispersion,
    )
    return Carried(state=state)


def as_document(carried: Carried) -> dict[str, Any]:
    """As plain JSON values."""
    return {
        "state": _plain(carried.state),
        "pending": [asdict(bucket) for bucket in carried.pending],
    }


def from_document(document: Mapping[str, Any], like: Carried) -> Carried:
    """What `as_document` gave. `like` is a fresh one of the same check: it says each number's shape and kind."""
    return Carried(
        state=_restored(document["state"], like.state),
        pending=tuple(
            Bucket(
                each["start"],
                each["step"],
                blue=Summary(**each["blue"]),
                green=Summary(**each["green"]),
                blue_groups=_groups(each["blue_groups"]),
                green_groups=_groups(each["green_groups"]),
                pairs=Pairs(**each["pairs"]) if each["pairs"] else None,
            )
            for each in document["pending"]
        ),
    )


def _groups(document: Mapping[str, Any]) -> dict[int, Summary]:
    """JSON knows names of text only."""
    return {int(group): Summary(**sums) for group, sums in document.items()}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return None if value != value else value


def _restored(value: Any, like: Any) -> Any:
    if is_dataclass(like) and not isinstance(like, type):
        parts = {field.name: _restored(value[field.name], getattr(like, field.name)) for field in fields(like)}
        return type(like)(**parts)
    if isinstance(like, np.ndarray | np.generic):
        return np.array(value, dtype=like.dtype)
    return value
