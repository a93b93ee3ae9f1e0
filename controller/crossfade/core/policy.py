"""Policy: what a call does about each outcome. One table, read by the dispatcher and by the docs.

A row says how often the same target is tried, whether the next region and the next model may be, and whom the
outcome is charged to. "Arm" is the assigned variant.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from crossfade.core.outcome import Charge, Outcome
from crossfade.core.reading import Reader


class Region(StrEnum):
    """May the call go on to the next region of the same Model?"""

    YES = "yes"
    NO = "no"
    IF_TIME = "if time remains"


class Next(StrEnum):
    """May the call go on to the next Model?"""

    YES = "yes"
    NO = "no"
    BLUE_HERE = "blue in the same region only"
    SECOND_OPINION = "a second opinion of blue"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `tries` counts attempts at one target; `tries_last` where no other region is left.

    `base` is the backoff's base in seconds (0: no wait), drawn as random() * min(cap, base * 2^n).
    """

    tries: int
    tries_last: int
    base: float
    region: Region
    model: Next
    charge: Charge


#                                tries last base  next region     next model           counts against
POLICY: dict[Outcome, Row] = {
    Outcome.THROTTLED: Row(2, 3, 1.0, Region.YES, Next.YES, Charge.QUOTA),
    Outcome.QUOTA: Row(1, 1, 0.0, Region.YES, Next.YES, Charge.QUOTA),
    Outcome.UNAVAILABLE: Row(1, 2, 0.05, Region.YES, Next.YES, Charge.TARGET),
    Outcome.OUTAGE: Row(2, 2, 0.05, Region.YES, Next.YES, Charge.REGION),
    Outcome.TIMED_OUT: Row(1, 1, 0.0, Region.IF_TIME, Next.YES, Charge.LATENCY),
    Outcome.NOT_READY: Row(1, 3, 1.0, Region.YES, Next.YES, Charge.TARGET),
    Outcome.MODEL_ERROR: Row(2, 2, 0.05, Region.NO, Next.YES, Charge.ARM),
    Outcome.TRUNCATED: Row(2, 2, 0.0, Region.YES, Next.YES, Charge.REGION),
    Outcome.MALFORMED: Row(1, 1, 0.0, Region.NO, Next.NO, Charge.ARM),
    Outcome.MISCONFIGURED: Row(1, 1, 0.0, Region.YES, Next.YES, Charge.CONFIGURATION),
    Outcome.DENIED: Row(1, 1, 0.0, Region.NO, Next.BLUE_HERE, Charge.CONFIGURATION),
    Outcome.CREDENTIALS: Row(2, 2, 0.0, Region.NO, Next.NO, Charge.CALLER),
    Outcome.REJECTED: Row(1, 1, 0.0, Region.NO, Next.SECOND_OPINION, Charge.CALLER),
    Outcome.UNKNOWN: Row(1, 1, 0.0, Region.YES, Next.YES, Charge.NOBODY),
}
"""Exceptions the table has no column for: a failed connect gets one try although `outage` gets two; `throttled`
gets one while adaptive skip is on; `truncated` is charged to the arm once two regions showed it; `credentials`
is tried again once, after a refresh."""

EXCUSED = frozenset(
    {
        Outcome.THROTTLED,
        Outcome.QUOTA,
        Outcome.REJECTED,
        Outcome.CREDENTIALS,
        Outcome.DENIED,
        Outcome.MISCONFIGURED,
        Outcome.ABANDONED,
    }
)
"""Why the assigned Model may fail to answer without the call being judged: the caller's, the account's or the
configuration's doing. Such a call is counted, and left out of the error rate."""


def _setting(default: float, least: float, most: float, unit: str) -> Any:
    return field(default=default, metadata={"least": least, "most": most, "unit": unit})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The numbers of the call policy; each is a route setting, read from its `policy` table."""

    deadline: float = _setting(60.0, 0.1, 3600, "seconds")
    stream_deadline: float = _setting(120.0, 0.1, 3600, "seconds")
    first_token: float = _setting(10.0, 0.05, 600, "seconds")
    stall: float = _setting(20.0, 0.05, 600, "seconds")
    connect: float = _setting(3.0, 0.05, 60, "seconds")
    backoff_cap: float = _setting(20.0, 0.01, 120, "seconds")
    throttled_base: float = _setting(1.0, 0.001, 60, "seconds")
    retry_share: float = _setting(0.2, 0, 1, "of calls")
    retry_per_second: float = _setting(1.0, 0, 1000, "a second")
    most_targets: float = _setting(4, 1, 20, "targets")
    breaker_in_a_row: float = _setting(5, 1, 1000, "failures")
    breaker_share: float = _setting(0.5, 0.01, 1, "of attempts")
    breaker_least: float = _setting(10, 1, 10_000, "attempts")
    breaker_window: float = _setting(30.0, 1, 600, "seconds")
    breaker_open: float = _setting(5.0, 0.1, 600, "seconds")
    breaker_open_most: float = _setting(120.0, 0.1, 3600, "seconds")
    breaker_close: float = _setting(3, 1, 100, "successes")
    slow_factor: float = _setting(3.0, 1, 100, "times the hour's p95 of first tokens")
    slow_least: float = _setting(0.5, 0.001, 60, "seconds below which no first token is slow")
    busy: bool = True
    """Answer politely when everything is exhausted; off: raise ServiceUnavailable."""


def read_settings(reader: Reader) -> Settings:
    """Reads a route's `policy` table; what is absent keeps its default."""
    values: dict[str, Any] = {}
    for spec in fields(Settings):
        if spec.name == "busy":
            values["busy"] = reader.flag("busy", True)
            continue
        values[spec.name] = reader.number(
            spec.name,
            float(spec.default),  # type: ignore[arg-type]
            least=spec.metadata["least"],
            most=spec.metadata["most"],
            unit=spec.metadata["unit"],
        )
    reader.close()
    return Settings(**values)


def settings_to_dict(settings: Settings, *, changed_only: bool = True) -> dict[str, Any]:
    """The settings as `read_settings` takes them back; by default only those that differ from the defaults."""
    return {
        spec.name: getattr(settings, spec.name)
        for spec in fields(Settings)
        if not changed_only or getattr(settings, spec.name) != spec.default
    }
