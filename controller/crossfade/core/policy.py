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


def _setting(default: float, least: float, most: float, unit: str, says: str) -> Any:
    return field(default=default, metadata={"least": least, "most": most, "unit": unit, "says": says})


def _tries(outcome: Outcome, *, last: bool = False) -> Any:
    row = POLICY[outcome]
    where = "where no other region is left" if last else "at one target"
    return _setting(row.tries_last if last else row.tries, 1, 10, "tries", f"`{outcome}`: {where}")


def _base(outcome: Outcome) -> Any:
    return _setting(POLICY[outcome].base, 0, 60, "seconds", f"`{outcome}`: base of the backoff")


def _switch(default: bool, says: str) -> Any:
    return field(default=default, metadata={"says": says})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The numbers of the call policy; each is a route setting, read from its `policy` table.

    A number of the type `int` is a whole one. Tries and bases bear the name of their outcome: an outcome
    without a setting of its own (say, `denied`) is one that asking again cannot help.
    """

    deadline: float = _setting(60.0, 0.1, 3600, "seconds", "a whole call, where the caller says nothing")
    stream_deadline: float = _setting(120.0, 0.1, 3600, "seconds", "the same of a streamed call")
    first_token: float = _setting(10.0, 0.05, 600, "seconds", "an attempt until its first content")
    stall: float = _setting(20.0, 0.05, 600, "seconds", "between two events of a stream")
    connect: float = _setting(3.0, 0.05, 60, "seconds", "to make a connection")
    attempt_share: float = _setting(
        0.75, 0.1, 0.98, "of the time left", "an attempt, while there is another target to go to"
    )

    throttled_tries: int = _tries(Outcome.THROTTLED)
    throttled_tries_last: int = _tries(Outcome.THROTTLED, last=True)
    unavailable_tries: int = _tries(Outcome.UNAVAILABLE)
    unavailable_tries_last: int = _tries(Outcome.UNAVAILABLE, last=True)
    outage_tries: int = _tries(Outcome.OUTAGE)
    connect_tries: int = _setting(1, 1, 10, "tries", "`outage`: where no connection was made")
    timed_out_tries: int = _tries(Outcome.TIMED_OUT)
    not_ready_tries: int = _tries(Outcome.NOT_READY)
    not_ready_tries_last: int = _tries(Outcome.NOT_READY, last=True)
    model_error_tries: int = _tries(Outcome.MODEL_ERROR)
    truncated_tries: int = _tries(Outcome.TRUNCATED)
    unknown_tries: int = _tries(Outcome.UNKNOWN)
    throttled_base: float = _base(Outcome.THROTTLED)
    unavailable_base: float = _base(Outcome.UNAVAILABLE)
    outage_base: float = _base(Outcome.OUTAGE)
    not_ready_base: float = _base(Outcome.NOT_READY)
    model_error_base: float = _base(Outcome.MODEL_ERROR)
    backoff_cap: float = _setting(20.0, 0.01, 120, "seconds", "the longest wait, and the longest a target may ask for")

    retry_share: float = _setting(0.2, 0, 1, "of calls", "retry budget: retries at most this share of recent calls")
    retry_per_second: float = _setting(1.0, 0, 1000, "a second", "retry budget: and so many besides")
    retry_window: float = _setting(10, 1, 600, "seconds", "retry budget: what is recent")
    most_targets: float = _setting(4, 1, 20, "targets", "one call goes through at most")
    skip_slack: float = _setting(
        1.2, 1, 10, "times", "adaptive skip: requests may be so many times those that were not throttled"
    )
    skip_window: float = _setting(30, 1, 600, "seconds", "adaptive skip: what is recent")

    breaker_in_a_row: float = _setting(5, 1, 1000, "failures", "a breaker opens after so many in a row")
    breaker_share: float = _setting(0.5, 0.01, 1, "of attempts", "or when this share of recent attempts failed")
    breaker_least: float = _setting(10, 1, 10_000, "attempts", "of at least so many")
    breaker_window: float = _setting(30.0, 1, 600, "seconds", "what is recent")
    breaker_open: float = _setting(5.0, 0.1, 600, "seconds", "it stays open, doubling with each failed probe")
    breaker_open_most: float = _setting(120.0, 0.1, 3600, "seconds", "up to this")
    breaker_spread: float = _setting(0.1, 0, 0.5, "of that time", "spread by chance, more or less")
    breaker_close: float = _setting(3, 1, 100, "successes", "of probes, one at a time, close it")
    quarantine: float = _setting(60.0, 1, 3600, "seconds", "a misconfigured target is left alone")

    slow_factor: float = _setting(
        3.0, 1, 100, "times the hour's p95", "a first token (or a whole answer) later than that is a failure"
    )
    slow_least: float = _setting(0.5, 0.001, 60, "seconds", "nothing quicker than this is slow")
    slow_samples: int = _setting(20, 1, 10_000, "answers", "needed before any is called slow")
    prefer_factor: float = _setting(
        2.0, 1, 100, "times the quickest target's average", "a healthy target slower than that is asked last"
    )
    prefer_again: float = _setting(
        30.0, 0.1, 3600, "seconds", "after which a target left as slow is asked again, by one call at a time"
    )
    compare_again: float = _setting(
        300.0, 1, 86_400, "seconds", "after which one call asks a target that none has asked, to compare"
    )

    hedge: bool = _switch(False, "ask another region of the same Model too when the first token is late")
    hedge_quantile: float = _setting(0.95, 0.5, 0.999, "quantile", "of the hour's first tokens: what is late")
    hedge_share: float = _setting(0.05, 0, 1, "of calls", "hedged at most, of recent ones")
    hedge_window: float = _setting(60.0, 1, 600, "seconds", "what is recent")
    shadow_concurrent: int = _setting(4, 1, 64, "copies", "under way at a time at a shadow step, and as many waiting")
    shadow_per_second: float = _setting(5.0, 0.01, 1000, "copies a second", "begun at most at a shadow step")
    unknown_share: float = _setting(0.001, 0, 1, "of attempts", "unknown failures above this raise an alarm")
    busy: bool = _switch(True, "answer politely when everything is exhausted; off: raise ServiceUnavailable")

    def tries(self, outcome: Outcome, *, last: bool) -> int:
        """How often one target is asked before the call moves on; `last`: no other region of its Model is left."""
        row = POLICY[outcome]
        once = getattr(self, f"{outcome}_tries", row.tries)
        return int(max(once, getattr(self, f"{outcome}_tries_last", 1))) if last else int(once)

    def base(self, outcome: Outcome) -> float:
        """The backoff's base in seconds; 0: no wait."""
        return float(getattr(self, f"{outcome}_base", POLICY[outcome].base))


def read_settings(reader: Reader) -> Settings:
    """Reads a route's `policy` table; what is absent keeps its default."""
    values: dict[str, Any] = {}
    for spec in fields(Settings):
        default: Any = spec.default
        if isinstance(default, bool):
            values[spec.name] = reader.flag(spec.name, default)
            continue
        read = reader.integer if spec.type == "int" else reader.number
        values[spec.name] = read(
            spec.name,
            default,
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


def describe_settings(settings: Settings) -> list[dict[str, Any]]:
    """Every setting as it is in force, in the order of the docs: name, value, default, bounds, unit, what it says.

    `least`, `most` and `unit` are missing where the value is true or false.
    """
    return [
        {"name": spec.name, "value": getattr(settings, spec.name), "default": spec.default, **spec.metadata}
        for spec in fields(Settings)
    ]
