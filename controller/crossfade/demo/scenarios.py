"""Scenarios: what is true, what goes wrong when, and how it must end. All numbers of the demo are in this table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crossfade.demo.cast import REGIONS

CALLS_PER_SECOND = 50.0
"""Of each of the two services; a slow machine makes fewer."""
BUCKET_SECONDS = 2
FLUSH_SECONDS = 1.0
MATURITY_SECONDS = 4.0
HISTORY_SECONDS = 5.0
"""Traffic before the candidate is registered: blue's history."""
AFTER_SECONDS = 4.0
"""Traffic after the end, to see that every call goes where it should."""
ALPHA = 0.01
"""Below the default of 0.05: a demo that ends by chance in another way once in twenty times is a bad demo."""
LONGEST_SECONDS = 200.0
"""A scenario that has not ended by then has failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault of the sandbox: see its README for kinds and parameters."""

    kind: str
    region: str | None = None
    model: str | None = None
    operation: str | None = None
    probability: float = 1.0
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stretch of the scenario: what holds from `at` seconds after the registration until the next stage begins.

    `quota` limits the requests a second of each Model in the first region.
    """

    name: str
    at: float
    says: str
    faults: tuple[Fault, ...] = ()
    quota: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """`seconds` is how long it runs after the registration; None: until the rollout ends.

    `phases` are those it may end in.
    """

    name: str
    truth: str
    must: str
    blue: str
    green: str
    plan: Mapping[str, Any]
    phases: tuple[str, ...]
    stages: tuple[Stage, ...] = ()
    seconds: float | None = None
    most_green_calls: int | None = None


def _plan(
    *, bake: float = 12.0, weights: tuple[float, ...] = (5.0, 25.0, 50.0), accuracy_margin: float = 2.0
) -> dict[str, Any]:
    return {
        "steps": [{"weight": weight, "bake": bake} for weight in weights],
        "checks": [
            {"metric": "error_rate", "margin": 2.0, "maturity": MATURITY_SECONDS},
            {"metric": "score.accuracy", "margin": accuracy_margin, "maturity": MATURITY_SECONDS},
        ],
        "alpha": ALPHA,
        "least_buckets": 5,
        "least_green_calls": 30,
        "evaluate_every": 1.0,
    }


_PRIMARY, _SECOND, _THIRD = REGIONS
_GOING_ON = ("progressing", "promoted")

_GREEN_BREAKS = (
    Fault(kind="model_error", model="crossfade.py3langid-v1:0", probability=0.20),
    Fault(kind="malformed_body", model="crossfade.py3langid-v1:0", probability=0.06),
    # Cut before the first token: after it nothing may be spliced in, and the caller is told so by an exception.
    Fault(kind="half_frame", model="crossfade.py3langid-v1:0", probability=0.25, params={"after_events": 0}),
)
"""About 30 % of attempts: of those whose turn comes, 20 %, then 6 %, then of streams (a quarter of calls) 25 %."""

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            name="better",
            truth="green is more accurate than blue and as reliable",
            must="be promoted, every step passed on shown non-inferiority",
            blue="langdetect",
            green="py3langid",
            plan=_plan(),
            phases=("promoted",),
        ),
        Scenario(
            name="worse",
            truth="green answers fast, well-formed, and more often wrong",
            must="be rolled back on accuracy, with few green calls spent",
            blue="py3langid",
            green="langdetect",
            plan=_plan(),
            phases=("rolled_back",),
            most_green_calls=400,
        ),
        Scenario(
            name="broken",
            truth="30 % of green's calls fail as 424, cut streams and malformed bodies",
            must="be rolled back on errors within a few buckets; callers get an answer from the fallback",
            blue="langdetect",
            green="py3langid",
            plan=_plan(weights=(20.0, 50.0)),
            stages=(Stage(name="broken", at=0.0, says="3 in 10 of green's calls fail", faults=_GREEN_BREAKS),),
            phases=("rolled_back",),
            most_green_calls=1500,
        ),
        Scenario(
            name="throttled",
            truth=f"{_PRIMARY} has a small quota for twenty seconds (429)",
            must="back off, then use the other region; no raw error; quota never rolls green back",
            blue="langdetect",
            green="py3langid",
            plan=_plan(bake=20.0),
            stages=(
                Stage(name="calm", at=0.0, says="all is well"),
                Stage(name="quota", at=8.0, says=f"{_PRIMARY} grants 10 requests a second a Model", quota=10.0),
                Stage(name="lifted", at=28.0, says="the quota is lifted"),
            ),
            seconds=75.0,
            phases=_GOING_ON,
        ),
        Scenario(
            name="outage",
            truth=f"{_PRIMARY} answers slowly, then 503, then every region is down, then all is well",
            must="leave by latency, leave by failover, answer politely, recover by itself; no raw error",
            blue="langdetect",
            green="py3langid",
            plan=_plan(bake=30.0),
            stages=(
                Stage(name="calm", at=0.0, says="all is well"),
                Stage(
                    name="slow",
                    at=10.0,
                    says=f"{_PRIMARY} takes 1.2 s to answer",
                    faults=(Fault(kind="latency", region=_PRIMARY, params={"seconds": 1.2}),),
                ),
                Stage(
                    name="unavailable",
                    at=32.0,
                    says=f"{_PRIMARY} answers 503",
                    faults=(Fault(kind="unavailable", region=_PRIMARY),),
                ),
                Stage(
                    name="down",
                    at=50.0,
                    says="every region is down",
                    faults=(Fault(kind="unavailable"),),
                ),
                Stage(name="well", at=62.0, says="all is well again"),
            ),
            seconds=90.0,
            phases=_GOING_ON,
        ),
        Scenario(
            name="same",
            truth="green is blue",
            must="not be rolled back; where it stands is said with the calls still needed",
            blue="langdetect",
            green="langdetect-again",
            # A gate that asks for more calls than two minutes bring: it stands where its evidence does not suffice.
            plan=_plan(weights=(5.0, 50.0), accuracy_margin=1.0),
            seconds=120.0,
            phases=_GOING_ON,
        ),
    )
}
DEFAULT = "better"
