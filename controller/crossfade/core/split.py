"""Split: which variant a call is assigned to. Sticky by key, random without one."""

from __future__ import annotations

import hashlib
import random
from enum import StrEnum

CHANCE = random.SystemRandom()
"""Of Crossfade's own: a service that seeds Python's random numbers before each call would send all calls one way, and
one that counts on the numbers it seeded would get others."""
GROUPS = 128
"""Into how many groups the keys of each variant fall."""


class Variant(StrEnum):
    """Blue is what the route serves now, green is the candidate of the live rollout."""

    BLUE = "blue"
    GREEN = "green"


def position(salt: str, key: str) -> float:
    """Where `key` lies in [0, 1) under `salt`: blake2b(salt | key) / 2^64.

    Depends on nothing else, so raising a rollout's weight only ever adds keys to green.
    """
    digest = hashlib.blake2b(_bytes(f"{salt}|{key}"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def drawn(salt: str, key: str | None) -> float:
    """The `position` of a stickiness key; a random one without a key."""
    return CHANCE.random() if key is None else position(salt, key)


def variant_at(u: float, weight: float) -> Variant:
    """The variant of a call that lies at `u` when green's weight is `weight` percent."""
    return Variant.GREEN if u < weight / 100 else Variant.BLUE


def assign(salt: str, key: str | None, weight: float) -> Variant:
    """The variant of a call with this stickiness `key` when green's weight is `weight` percent."""
    return variant_at(drawn(salt, key), weight)


def group(salt: str, key: str) -> int:
    """The group of `key` under `salt`, 0..127: of a hash that is independent of the split's own."""
    digest = hashlib.blake2b(_bytes(f"{salt}|group|{key}"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % GROUPS


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # half of a surrogate pair, as JSON may bring one, is a key as well
