"""Report: one run of a scenario in numbers, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crossfade.demo.facts import Facts
from crossfade.demo.scenarios import Scenario
from crossfade.server.views.totals import Total


def report(scenario: Scenario, facts: Facts) -> dict[str, Any]:
    """What `--report` writes."""
    return {
        "scenario": scenario.name,
        "seed": facts.seed,
        "phase": facts.phase,
        "decisions": [
            {
                "time": entry["at"],
                "decision": entry["act"],
                "reason": entry["reason"],
                "sentence": entry["sentence"],
                "numbers": entry["numbers"],
            }
            for entry in facts.decisions
        ],
        "calls_made": facts.calls_made,
        "calls_recorded": facts.calls_recorded,
        "scores_sent": facts.scores_sent,
        "scores_recorded": facts.scores_recorded,
        "green_calls": facts.green_calls,
        "callers_errors": facts.errors.total(),
        "busy_answers": len(facts.busy_at),
        "attempts": facts.outcomes(),
        "observed_weight": observed_weights(facts.totals, facts.rollout["plan"]["steps"]),
        "expected": facts.expected,
        "rollout_seconds": facts.rollout_seconds,
        "seconds": round(facts.seconds, 1),
    }


def observed_weights(totals: Sequence[Total], steps: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Green's share of the calls of each step in percent, and the p of a chi-square test that it is the weight.

    The test takes calls as independent. They are here, since nearly every call has a user of its own; a user
    who comes back is assigned as before.
    """
    from scipy.special import chdtrc

    found = []
    for step, planned in enumerate(steps):
        calls = {
            variant: sum(t.calls for t in totals if t.rollout and t.step == step and t.variant == variant)
            for variant in ("blue", "green")
        }
        n, weight = sum(calls.values()), planned["weight"] / 100
        if not n or not 0 < weight < 1:
            continue
        spread = (calls["green"] - n * weight) ** 2 / (n * weight * (1 - weight))
        found.append(
            {
                "step": step + 1,
                "weight": planned["weight"],
                "observed": round(100 * calls["green"] / n, 3),
                "calls": n,
                "p": float(chdtrc(1, spread)),
            }
        )
    return found
