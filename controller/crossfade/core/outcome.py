"""Outcome: the class of an attempt or a call, and whom it is charged to."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """What became of an attempt. The table in `core.policy` says what a call does about each."""

    OK = "ok"
    THROTTLED = "throttled"
    QUOTA = "quota"
    UNAVAILABLE = "unavailable"
    OUTAGE = "outage"
    TIMED_OUT = "timed_out"
    NOT_READY = "not_ready"
    MODEL_ERROR = "model_error"
    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    MISCONFIGURED = "misconfigured"
    DENIED = "denied"
    CREDENTIALS = "credentials"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    # Of whole calls only:
    INCOMPATIBLE = "incompatible"
    """Green refused what blue accepted: counted against green."""
    ABANDONED = "abandoned"
    """The caller stopped reading its stream: nobody's fault."""


class Charge(StrEnum):
    """Whom an outcome counts against."""

    NOBODY = "nobody"
    QUOTA = "quota of (region, model)"
    TARGET = "breaker of (region, model)"
    REGION = "breaker of the region"
    LATENCY = "latency of (region, model)"
    ARM = "the arm"
    CONFIGURATION = "the route's configuration"
    CALLER = "the caller"
