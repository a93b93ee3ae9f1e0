"""User agent: the header that botocore builds anew twice a call, kept for as long as it would come out the same.

That work is an eighth of what a call costs; kept, it pays for Crossfade's own.
"""

from __future__ import annotations

from typing import Any

try:
    from botocore.context import get_context
except ImportError:  # botocore calls it private: without it nothing is kept
    get_context = None

_MOST_KEPT = 64


def keep_user_agent(client: Any) -> None:
    """Has the client's User-Agent built once for each set of features in use and each setting that goes into it."""
    creator: Any = getattr(client, "_user_agent_creator", None)
    build, config = getattr(creator, "to_string", None), getattr(creator, "_client_config", None)
    if get_context is None or build is None or config is None:
        return
    kept: dict[tuple[Any, ...], str] = {}

    def to_string() -> str:
        context = get_context()
        features = frozenset(() if context is None else context.features)
        key = (features, config.user_agent, config.user_agent_extra, config.user_agent_appid)
        found = kept.get(key)
        if found is None:
            if len(kept) >= _MOST_KEPT:
                kept.clear()
            found = kept[key] = build()
        return found

    creator.to_string = to_string
