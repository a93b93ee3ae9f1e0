"""Frames of `application/vnd.amazon.eventstream`: whole ones out of what arrives, and exceptions of our own.

A frame is, all integers big-endian: total length (4), length of the headers (4), CRC-32 of those (4), headers, payload,
CRC-32 of all before it (4). Source: smithy.io/2.0/aws/amazon-eventstream.html.
"""

from __future__ import annotations

import base64
import json
import struct
from binascii import crc32
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from botocore.eventstream import ParserError

_PRELUDE = struct.Struct("!III")
_WORD = struct.Struct("!I")
_MOST = 24 * 1024 * 1024
_STRING = 7
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value by its type; types 6 and 7 tell their own length."""


class BadFrame(ParserError):  # type: ignore[misc]  # noqa: N818
    """A frame that was altered on the way, or is none."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One whole frame, `raw` as it arrived. `kind` is event, exception or error, `name` says which."""

    raw: bytes
    kind: str
    name: str
    payload: bytes

    def event(self) -> dict[str, Any]:
        """As botocore hands it out: the event's name with its members, none where they cannot be read."""
        try:
            members = json.loads(self.payload)
            if not isinstance(members, dict):
                raise ValueError(members)
            if "bytes" in members:
                members["bytes"] = base64.b64decode(members["bytes"], validate=True)
        except (ValueError, TypeError, RecursionError):
            members = {}
        return {self.name: members}


class Splitter:
    """Cuts what arrives into frames."""

    def __init__(self) -> None:
        self._rest = b""

    @property
    def inside(self) -> bool:
        """Whether the last frame is not whole yet."""
        return bool(self._rest)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are whole now, up to a bad one. Raises `BadFrame` where that is the first."""
        data = self._rest + data if self._rest else data
        found: list[Frame] = []
        at = 0
        try:
            while (one := _first(data, at)) is not None:
                found.append(one)
                at += len(one.raw)
        except BadFrame:
            if not found:
                raise
        self._rest = data[at:]
        return found

    def put_back(self, frames: Sequence[Frame]) -> None:
        """What `feed` returned last comes again."""
        self._rest = b"".join(one.raw for one in frames) + self._rest


def _first(data: bytes, at: int) -> Frame | None:
    """The frame that begins at `at`, or None if it is not whole yet."""
    if len(data) - at < _PRELUDE.size:
        return None
    total, length, check = _PRELUDE.unpack_from(data, at)
    if check != crc32(data[at : at + 8]) or not length + 16 <= total <= _MOST:
        raise BadFrame("the head of a frame is damaged")
    if len(data) - at < total:
        return None
    raw = data[at : at + total]
    if _WORD.unpack_from(raw, total - 4)[0] != crc32(raw[:-4]):
        raise BadFrame("the checksum of a frame is wrong")
    kind, name = _headers(raw[12 : 12 + length])
    return Frame(raw, kind, name, raw[12 + length : -4])


@lru_cache(maxsize=256)
def _headers(encoded: bytes) -> tuple[str, str]:
    """Kind and name. The same few headers come again and again."""
    found: dict[str, str] = {}
    at = 0
    try:
        while at < len(encoded):
            end = at + 1 + encoded[at]
            name, kind = encoded[at + 1 : end].decode(), encoded[end]
            if kind in (6, _STRING):
                size = int.from_bytes(encoded[end + 1 : end + 3], "big")
                if kind == _STRING:
                    found[name] = encoded[end + 3 : end + 3 + size].decode()
                at = end + 3 + size
            else:
                at = end + 1 + _SIZES[kind]
    except (IndexError, KeyError, UnicodeDecodeError):
        raise BadFrame("the headers of a frame cannot be read") from None
    kind_ = found.get(":message-type", "event")
    names = {"exception": ":exception-type", "error": ":error-code"}
    return kind_, found.get(names.get(kind_, ":event-type"), "")


def frame(kind: str, name: str, payload: Mapping[str, Any]) -> Frame:
    """A frame of our own."""
    label = ":exception-type" if kind == "exception" else ":event-type"
    encoded = b"".join(
        bytes((len(key),)) + key.encode() + struct.pack("!BH", _STRING, len(value)) + value.encode()
        for key, value in ((label, name), (":content-type", "application/json"), (":message-type", kind))
    )
    body = json.dumps(payload).encode()
    head = struct.pack("!II", 16 + len(encoded) + len(body), len(encoded))
    raw = b"".join((head, _WORD.pack(crc32(head)), encoded, body))
    return Frame(raw + _WORD.pack(crc32(raw)), kind, name, body)
