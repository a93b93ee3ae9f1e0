"""Control: the sandbox's control port, as the demo's timeline uses it."""

from __future__ import annotations

from typing import Any

from crossfade.demo.cast import REGIONS
from crossfade.demo.scenarios import Stage
from crossfade.sandbox.running import Sandbox

_RUNTIME = ("Converse", "ConverseStream", "InvokeModel", "InvokeModelWithResponseStream")


class Control:
    """Sets a stage's faults, and reads what the sandbox was asked."""

    def __init__(self, control_url: str) -> None:
        self._sandbox = Sandbox(REGIONS)
        self._sandbox.control_url = control_url

    def enter(self, stage: Stage) -> None:
        """What held before ends; the stage's faults and quota hold from now."""
        self._sandbox.clear()
        for fault in stage.faults:
            self._sandbox.fault(
                fault.kind,
                region=fault.region,
                model=fault.model,
                operation=fault.operation,
                probability=fault.probability,
                **fault.params,
            )
        if stage.quota is not None:
            self._sandbox.quota(region=REGIONS[0], requests_per_second=stage.quota, burst=stage.quota)

    def attempts(self) -> list[dict[str, Any]]:
        """Every call of a model that ended, oldest first."""
        return [entry for entry in self._sandbox.log() if entry["operation"] in _RUNTIME]
