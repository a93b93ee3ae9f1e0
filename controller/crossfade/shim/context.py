"""Context: what a service says about the calls it is about to make: stickiness key, tier, labels, deadline."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

KEY_FIELD = "crossfade-key"
CONVERSATION_FIELD = "crossfade-conversation"
TIER_FIELD = "crossfade-tier"
_FIELDS = frozenset({KEY_FIELD, CONVERSATION_FIELD, TIER_FIELD})


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What was said. `deadline` is in seconds for one whole call."""

    key: str | None = None
    conversation: str | None = None
    tier: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    deadline: float | None = None

    @property
    def sticky(self) -> str | None:
        """What the split goes by: the key, or the conversation where there is none (an empty text is none). Never both:
        a user's conversations stay together."""
        return self.key or self.conversation or None


_NOTHING = Said()
_said: ContextVar[Said] = ContextVar("crossfade_said", default=_NOTHING)


@contextmanager
def context(
    key: str | None = None,
    tier: str | None = None,
    labels: Mapping[str, str] | None = None,
    *,
    conversation: str | None = None,
    deadline: float | None = None,
    **more: str,
) -> Iterator[None]:
    """Says, for the calls made inside `with`, who they are for and how they may be routed.

    `key` keeps a user on one variant; where there is none, `conversation` keeps a conversation there. `tier` and labels
    (given as `labels` or as further keywords) are what a route's rules may ask for; `deadline` bounds each call, in
    seconds. What is left out is taken from the context around. It holds in this thread and in the asyncio tasks
    started here; a thread of a pool needs `contextvars.copy_context().run`. Raises `ValueError` for a tier that is no
    text and a deadline that is no time.
    """
    _refuse_nonsense(tier, deadline)
    around = _said.get()
    token = _said.set(
        replace(
            around,
            key=around.key if key is None else str(key),
            conversation=around.conversation if conversation is None else str(conversation),
            tier=around.tier if tier is None else tier,
            labels={**around.labels, **(labels or {}), **more} if labels or more else around.labels,
            deadline=around.deadline if deadline is None else deadline,
        )
    )
    try:
        yield
    finally:
        _said.reset(token)


def _refuse_nonsense(tier: object, deadline: Any) -> None:
    """A service that says what cannot be is told where it says it: its calls would only be answered oddly."""
    if tier is not None and not isinstance(tier, str):
        raise ValueError(f'crossfade.context: tier must be a text such as "free", not {tier!r}')
    if deadline is None:
        return
    is_number = isinstance(deadline, int | float) and not isinstance(deadline, bool)
    if not (is_number and 0 < deadline < math.inf):
        raise ValueError(f"crossfade.context: deadline must be seconds above 0, such as 5, not {deadline!r}")


def said(params: Mapping[str, Any]) -> Said:
    """What holds for a call with these parameters: the context, and where that is silent the `requestMetadata`."""
    return with_metadata(_said.get(), params.get("requestMetadata"))


def with_metadata(around: Said, metadata: object) -> Said:
    """What `around` leaves open is taken from a call's `requestMetadata`; every entry without a meaning of its own is a
    label."""
    if not isinstance(metadata, Mapping) or not metadata:
        return around
    texts = {name: value for name, value in metadata.items() if isinstance(value, str)}  # Bedrock refuses all others
    return replace(
        around,
        key=around.key or texts.get(KEY_FIELD),
        conversation=around.conversation or texts.get(CONVERSATION_FIELD),
        tier=around.tier or texts.get(TIER_FIELD),
        labels={name: value for name, value in texts.items() if name not in _FIELDS} | dict(around.labels),
    )
