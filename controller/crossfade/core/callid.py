"""Call id: a signed token that says where a call was assigned, so that a score hours later finds its place.

`cf1.` and the base64url of 28 bytes of fields and 12 bytes of HMAC-SHA256 under the snapshot's signing key. The first
byte is the version; version 1 is a byte shorter, without the group.
It carries no secret; it cannot be made or altered without the key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import struct
from dataclasses import dataclass

from crossfade.core.split import Variant
from crossfade.errors import CrossfadeError

PREFIX = "cf1."
_FIELDS = struct.Struct(">BIIBBQ8sB")  # version, rollout, route, step, variant, called at (ms), nonce, group
_FIRST = struct.Struct(">BIIBBQ8s")
_BY_VERSION = {1: _FIRST, 2: _FIELDS}
_VERSION = 2
_NO_GROUP = 255
_MAC_BYTES = 12


class BadCallId(CrossfadeError):  # noqa: N818
    """A call id that is unsigned, altered, or not one at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallId:
    """`rollout` is 0 when none was live. `called_at` is in seconds since 1970, to the millisecond.

    `group` is that of the call's stickiness key, None if it had none.
    """

    rollout: int
    route: int
    step: int
    variant: Variant
    called_at: float
    nonce: bytes
    group: int | None = None

    @property
    def call(self) -> str:
        """What tells this call from the others of its rollout: the nonce, in hex."""
        return self.nonce.hex()


def mint(
    key: bytes,
    *,
    rollout: int,
    route: int,
    step: int,
    variant: Variant,
    called_at: float,
    group: int | None = None,
) -> str:
    """A new call id, signed with `key`."""
    body = _FIELDS.pack(
        _VERSION,
        rollout,
        route,
        step,
        variant is Variant.GREEN,
        round(called_at * 1000),
        os.urandom(8),
        _NO_GROUP if group is None else group,
    )
    return PREFIX + base64.urlsafe_b64encode(body + _mac(key, body)).decode().rstrip("=")


def read(key: bytes, text: str) -> CallId:
    """The fields of a call id signed with `key`; raises `BadCallId` with the reason."""
    if not isinstance(text, str) or not text.startswith(PREFIX):
        raise BadCallId(f"is not a call id; one starts with {PREFIX!r}")
    encoded = text.removeprefix(PREFIX)
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise BadCallId("is not a whole call id: cannot be decoded") from None
    body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    if len(body) not in (_FIRST.size, _FIELDS.size):
        raise BadCallId("is not a whole call id: wrong length")
    if not hmac.compare_digest(mac, _mac(key, body)):
        raise BadCallId("is altered, or signed by another controller")
    fields = _BY_VERSION.get(body[0])
    if fields is None or fields.size != len(body):
        raise BadCallId("is of a version this controller does not know")
    _, rollout, route, step, green, millis, nonce, *more = fields.unpack(body)
    group = more[0] if more and more[0] != _NO_GROUP else None
    return CallId(
        rollout=rollout,
        route=route,
        step=step,
        variant=Variant.GREEN if green else Variant.BLUE,
        called_at=millis / 1000,
        nonce=nonce,
        group=group,
    )


def copied(key: bytes, text: str) -> str:
    """The call id of green's copy of the call `text`: same rollout, step and time, and a nonce that differs in its last
    half byte only, so that scores of the two find each other. No group: which calls are copied is chance's doing.
    """
    found = read(key, text)
    nonce = found.nonce[:-1] + bytes([found.nonce[-1] ^ 1])
    fields = (found.rollout, found.route, found.step, True, round(found.called_at * 1000), nonce, _NO_GROUP)
    body = _FIELDS.pack(_VERSION, *fields)
    return PREFIX + base64.urlsafe_b64encode(body + _mac(key, body)).decode().rstrip("=")


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.new(key, body, hashlib.sha256).digest()[:_MAC_BYTES]
