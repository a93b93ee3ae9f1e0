"""Faults in force: which one meets a call."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crossfade.errors import NotFound
from crossfade.sandbox.kinds import Kind
from crossfade.sandbox.model import base_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which calls something is about; None is any. A model id also stands for its profiles and ARNs."""

    region: str | None = None
    model: str | None = None
    operation: str | None = None

    def covers(self, region: str, model: str, operation: str) -> bool:
        """Whether a call is meant."""
        return (
            (self.region is None or self.region == region)
            and (self.operation is None or self.operation == operation)
            and (self.model is None or self.model in (model, base_id(model)))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault as it was asked for. It meets each call in `scope` with `probability`, `count` times at most."""

    scope: Scope
    kind: Kind
    count: int | None = None
    probability: float = 1.0
    params: Mapping[str, Any]


class Board:
    """All faults in force, by id, in the order in which they were set."""

    def __init__(self, random_: random.Random) -> None:
        self._random = random_
        self._faults: dict[int, Fault] = {}
        self._hits: dict[int, int] = {}
        self._last_id = 0

    def add(self, fault: Fault) -> int:
        """Put a fault in force; its id."""
        self._last_id += 1
        self._faults[self._last_id] = fault
        self._hits[self._last_id] = 0
        return self._last_id

    def remove(self, fault_id: int) -> None:
        """End a fault. Raises NotFound."""
        if fault_id not in self._faults:
            raise NotFound(f"fault {fault_id} is not there; GET /faults lists those that are")
        del self._faults[fault_id], self._hits[fault_id]

    def clear(self) -> None:
        """End all faults."""
        self._faults.clear()
        self._hits.clear()

    def refused(self, region: str) -> bool:
        """Whether a `refuse` fault closes this region's port."""
        return any(
            fault.kind.name == "refuse" and fault.scope.region in (None, region) for fault in self._faults.values()
        )

    def meet(self, region: str, model: str, operation: str) -> tuple[float, Fault | None]:
        """What befalls a call: seconds of latency, all latency faults together, and the first other fault."""
        delay = 0.0
        met: Fault | None = None
        for fault_id, fault in self._faults.items():
            slow = fault.kind.name == "latency"
            if (
                (met is not None and not slow)
                or fault.kind.name == "refuse"
                or operation not in fault.kind.operations
                or (fault.count is not None and self._hits[fault_id] >= fault.count)
                or not fault.scope.covers(region, model, operation)
                or (fault.probability < 1 and self._random.random() >= fault.probability)
            ):
                continue
            self._hits[fault_id] += 1
            if slow:
                delay += fault.params["seconds"] + self._random.random() * fault.params["jitter"]
            else:
                met = fault
        return delay, met

    def describe(self) -> list[dict[str, object]]:
        """All faults with how often each was met."""
        return [
            {
                "id": fault_id,
                "kind": fault.kind.name,
                "region": fault.scope.region,
                "model": fault.scope.model,
                "operation": fault.scope.operation,
                "count": fault.count,
                "probability": fault.probability,
                "params": dict(fault.params),
                "hits": self._hits[fault_id],
            }
            for fault_id, fault in self._faults.items()
        ]
