"""Crossfade: blue/green rollouts for foundation models on Amazon Bedrock."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crossfade.errors import CrossfadeError
    from crossfade.shim.context import context
    from crossfade.shim.copies import shadowed
    from crossfade.shim.install import enable, install
    from crossfade.shim.scores import flush, health, score

__version__ = "0.1.0"

__all__ = ["CrossfadeError", "__version__", "context", "enable", "flush", "health", "install", "score", "shadowed"]

# Loaded when first asked for: `import crossfade` alone costs next to nothing.
_HOMES = {
    "CrossfadeError": "crossfade.errors",
    "context": "crossfade.shim.context",
    "enable": "crossfade.shim.install",
    "flush": "crossfade.shim.scores",
    "health": "crossfade.shim.scores",
    "install": "crossfade.shim.install",
    "score": "crossfade.shim.scores",
    "shadowed": "crossfade.shim.copies",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
