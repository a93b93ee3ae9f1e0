"""Sealing: when a time bucket counts for a check. By the time of the call, never by the time of arrival."""

from __future__ import annotations

SETTLED = 2.0
"""Seconds after a seal until it is read: what was stamped before it may be committed a moment later."""


def bucket_of(moment: float, length: int) -> int:
    """The start of the bucket of `length` seconds that the moment lies in; times in seconds since 1970."""
    return int(moment) // length * length


def last_sealed(now: float, *, length: int, maturity: float) -> int:
    """The start of the last bucket that is sealed at `now`; times in seconds since 1970.

    A bucket of `length` seconds is sealed `maturity` seconds after its end, and read a moment later.
    """
    return bucket_of(now - length - maturity - SETTLED, length)


def read_at(start: int, *, length: int, maturity: float) -> float:
    """The first moment at which the bucket that starts there is sealed and read."""
    return start + length + maturity + SETTLED
