"""Facts: what became of one run of a scenario, gathered from those who know: services, Postgres, API, sandbox."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crossfade.demo.counted import Counted
from crossfade.server.views.totals import Total


def decisions(journal: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """What the controller decided by itself, oldest first; `journal` is newest first."""
    return [entry for entry in reversed(journal) if entry["actor_kind"] == "controller"]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """`rollout` and `journal` (newest first) are the API's documents, and so are `replay`, the rollout under its own
    plan once more, and `explanations`, of each decision; `attempts` the sandbox's own log; `expected` what registering
    replied to expect.

    `stages` are the times, in seconds since 1970, at which each stage began; `ended_at` when the services were told
    to stop. `route_blue` is the Model that serves the route in the end.
    """

    seed: int
    seconds: float
    expected: Mapping[str, Any]
    rollout: Mapping[str, Any]
    journal: Sequence[Mapping[str, Any]]
    replay: Mapping[str, Any]
    explanations: Sequence[Mapping[str, Any]]
    route_blue: str
    counted: Sequence[Counted]
    totals: Sequence[Total]
    attempts: Sequence[Mapping[str, Any]]
    stages: Mapping[str, float]
    ended_at: float

    @property
    def phase(self) -> str:
        return str(self.rollout["phase"])

    @property
    def sentence(self) -> str:
        return str(self.rollout["sentence"])

    @property
    def calls_made(self) -> int:
        return sum(service.calls for service in self.counted)

    @property
    def scores_sent(self) -> int:
        return sum(service.scores for service in self.counted)

    @property
    def calls_recorded(self) -> int:
        return sum(total.calls for total in self.totals)

    @property
    def scores_recorded(self) -> int:
        return sum(total.scores for total in self.totals)

    @property
    def green_calls(self) -> int:
        """Calls assigned to green in the rollout."""
        return sum(total.calls for total in self.totals if total.variant == "green")

    @property
    def errors(self) -> Counter[str]:
        """The exceptions that reached a service, by their text."""
        return sum((Counter(service.errors) for service in self.counted), Counter())

    def served(self, variant: str, model: str) -> int:
        """Answers to calls assigned to `variant` that came from `model`."""
        return sum(service.served.get(f"{variant} by {model}", 0) for service in self.counted)

    @property
    def busy_at(self) -> list[float]:
        """When each polite answer was given, in seconds since 1970."""
        return sorted(at for service in self.counted for at in service.busy_at)

    @property
    def rollout_seconds(self) -> float | None:
        """From the rollout's start to its end; None if it goes on."""
        started, ended = self.rollout["started_at"], self.rollout["ended_at"]
        if not (started and ended):
            return None
        return (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()

    @property
    def decisions(self) -> list[Mapping[str, Any]]:
        """What the controller decided by itself, oldest first."""
        return decisions(self.journal)

    def outcomes(self) -> dict[str, dict[str, int]]:
        """Attempts by region and outcome."""
        found: dict[str, Counter[str]] = {}
        for attempt in self.attempts:
            found.setdefault(attempt["region"], Counter())[attempt["outcome"]] += 1
        return {region: dict(sorted(counts.items())) for region, counts in sorted(found.items())}

    def within(self, stage: str, *, skip: float = 0.0) -> list[Mapping[str, Any]]:
        """The attempts that began in a stage, from `skip` seconds after its start."""
        later = [at for at in self.stages.values() if at > self.stages[stage]]
        end = min(later, default=self.ended_at)
        return [a for a in self.attempts if self.stages[stage] + skip <= a["at"] < end]
