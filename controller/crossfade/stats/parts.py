"""Parts of a state, or of a part of it: some of the rollouts that stand side by side in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

_Part = TypeVar("_Part")


def taken(state: _Part, runs: NDArray[np.int64]) -> _Part:
    """The rollouts at these places, S = (R,) with R their number."""
    return _each(lambda array: array[runs], state)


def placed(state: _Part, runs: NDArray[np.int64], part: _Part) -> _Part:
    """`state` with the rollouts at these places as they are in `part`."""

    def put(array: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
        array = array.copy()
        array[runs] = other
        return array

    return _each(put, state, part)


def _each(change: Callable[..., NDArray[Any]], *parts: _Part) -> _Part:
    """`parts`, alike in build, with every array changed."""
    first = parts[0]
    if isinstance(first, np.ndarray):
        return change(*parts)  # type: ignore[return-value]
    if not is_dataclass(first) or isinstance(first, type):
        return first
    changed = {field.name: _each(change, *(getattr(p, field.name) for p in parts)) for field in fields(first)}
    return replace(first, **changed)
