"""Agreement: whether what is computed anew is what was recorded, number by number."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

TOLERANCE = 1e-9


def differences(recorded: Any, found: Any, path: str = "") -> Iterator[str]:
    """Every place in two JSON values that is not the same, numbers to 1e-9; what only one of them has is left out."""
    if isinstance(recorded, Mapping) and isinstance(found, Mapping):
        for key in recorded:
            if key in found:
                yield from differences(recorded[key], found[key], f"{path}.{key}" if path else str(key))
    elif isinstance(recorded, list | tuple) and isinstance(found, list | tuple):
        if len(recorded) != len(found):
            yield f"{path}: {len(recorded)} were recorded, {len(found)} are found"
        for place, (old, new) in enumerate(zip(recorded, found, strict=False)):
            yield from differences(old, new, f"{path}[{place}]")
    elif not _same(recorded, found):
        yield f"{path}: {recorded} was recorded, {found} is found"


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, int | float) and isinstance(b, int | float) and not isinstance(a, bool):
        return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(a == b)
