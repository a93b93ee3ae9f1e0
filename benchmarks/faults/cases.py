"""Cases: what goes wrong in the two regions while calls are made. Rates are in calls a second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from crossfade.sandbox.running import Sandbox

EAST, WEST = REGIONS = ("us-east-1", "us-west-2")

Put = Callable[[Sandbox, float, Sequence[str]], None]
"""Puts the fault in force, at this rate of calls; the last are the ids of every client's green."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`streaming`: calls are ConverseStream. `green`: every second call belongs to green."""

    name: str
    put: Put
    streaming: bool = False
    green: bool = False


def _east(kind: str, *, probability: float = 1.0, **params: float) -> Put:
    def put(sandbox: Sandbox, _rate: float, _greens: Sequence[str]) -> None:
        sandbox.fault(kind, region=EAST, probability=probability, **params)

    return put


def _nothing(_sandbox: Sandbox, _rate: float, _greens: Sequence[str]) -> None:
    pass


def _quota(share: float) -> Put:
    """Each region takes this share of the calls."""

    def put(sandbox: Sandbox, rate: float, _greens: Sequence[str]) -> None:
        for region in REGIONS:
            sandbox.quota(region=region, requests_per_second=share * rate)

    return put


def _green_fails(sandbox: Sandbox, _rate: float, greens: Sequence[str]) -> None:
    for model in greens:
        sandbox.fault("model_error", model=model)


CASES = (
    Case(name="nothing", put=_nothing),
    Case(name="429: each region takes 60 % of the calls", put=_quota(0.60)),
    Case(name="429: each region takes 45 % of the calls", put=_quota(0.45)),
    Case(name="503 from one region", put=_east("unavailable")),
    Case(name="one region hangs", put=_east("hang")),
    Case(name="first token 3 s late in one region", put=_east("slow_first_token", seconds=3.0), streaming=True),
    Case(name="half of one region's answers are resets", put=_east("reset", probability=0.5)),
    Case(name="half of one region's answers are cut short", put=_east("truncated_body", probability=0.5)),
    Case(name="green, half of the calls, fails", put=_green_fails, green=True),
)
