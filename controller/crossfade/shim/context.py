"""Context: what a service says about the calls it is about to make: stickiness key, tier, labels, deadline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

KEY_FIELD = "crossfade-key"
TIER_FIELD = "crossfade-tier"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What was said. `deadline` is in seconds for one whole call."""

    key: str | None = None
    tier: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    deadline: float | None = None


_NOTHING = Said()
_said: ContextVar[Said] = ContextVar("crossfade_said", default=_NOTHING)


@contextmanager
def context(
    key: str | None = None,
    tier: str | None = None,
    labels: Mapping[str, str] | None = None,
    *,
    deadline: float | None = None,
    **more: str,
) -> Iterator[None]:
    """Says, for the calls made inside `with`, who they are for and how they may be routed.

    `key` keeps a user or a conversation on one variant; `tier` and labels (given as `labels` or as further
    keywords) are what a route's rules may ask for; `deadline` bounds each call, in seconds. What is left out is
    taken from the context around.
    """
    around = _said.get()
    token = _said.set(
        replace(
            around,
            key=around.key if key is None else str(key),
            tier=around.tier if tier is None else str(tier),
            labels={**around.labels, **(labels or {}), **more} if labels or more else around.labels,
            deadline=around.deadline if deadline is None else deadline,
        )
    )
    try:
        yield
    finally:
        _said.reset(token)


def said(params: Mapping[str, Any]) -> Said:
    """What holds for a call with these parameters: the context, else the call's own `requestMetadata`."""
    around = _said.get()
    metadata = params.get("requestMetadata")
    if not isinstance(metadata, Mapping) or not (KEY_FIELD in metadata or TIER_FIELD in metadata):
        return around
    return replace(
        around,
        key=around.key or metadata.get(KEY_FIELD),
        tier=around.tier or metadata.get(TIER_FIELD),
    )
