"""Rule: a named way to decide, and how its runs ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.rules.calls import CALLS_PER_LOOK, LOOKS_PER_MINUTE, Calls, Floats

ALPHA = 0.05
NEVER = np.inf


@dataclass(frozen=True, kw_only=True, eq=False)
class Ends:
    """Calls after which each run was rolled back or promoted, infinite where it was not; shape (runs,).

    A roll-back is counted although a promotion came before it: how soon a rule sees a difference does not depend on
    whether it had let green through.
    """

    rolled_back: Floats
    promoted: Floats


@dataclass(frozen=True, kw_only=True)
class Rule:
    """`promotes` says in a few words what counts as a promotion."""

    name: str
    promotes: str
    decide: Callable[[Calls], Ends]


def first(crossed: NDArray[np.bool_], calls_per_look: int = CALLS_PER_LOOK) -> Floats:
    """Calls up to the first look at which `crossed`, (runs, looks); infinite where it never is. Shape (runs,)."""
    calls = (crossed.argmax(axis=1) + 1.0) * calls_per_look
    return np.where(crossed.any(axis=1), calls, NEVER)


def first_minute(crossed: NDArray[np.bool_]) -> Floats:
    """The same where the looks are minutes."""
    return first(crossed, CALLS_PER_LOOK * LOOKS_PER_MINUTE)


def survived(rolled_back: Floats, calls: Calls) -> Floats:
    """For rules without a test for promotion: what is not rolled back by the end of the window is promoted then."""
    return np.where(np.isinf(rolled_back), float(calls.looks * CALLS_PER_LOOK), NEVER)
