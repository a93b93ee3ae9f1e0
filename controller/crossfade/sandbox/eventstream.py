"""AWS event stream frames (`application/vnd.amazon.eventstream`), encoding only.

One frame is, all integers big-endian: total length (4), headers length (4), CRC-32 of those 8 bytes (4),
headers, payload, CRC-32 of everything before it (4). A header is name length (1), name, type (1; 7 is a
string), value length (2), value. Source: smithy.io/2.0/aws/amazon-eventstream.html. botocore decodes what
this encodes in the tests.
"""

from __future__ import annotations

import json
import struct
from binascii import crc32
from collections.abc import Mapping
from functools import lru_cache

_STRING = 7
_OVERHEAD = 16


@lru_cache(maxsize=256)
def _headers(pairs: tuple[tuple[str, str], ...]) -> bytes:
    encoded = bytearray()
    for name, value in pairs:
        name_bytes, value_bytes = name.encode(), value.encode()
        encoded += struct.pack("!B", len(name_bytes)) + name_bytes
        encoded += struct.pack("!BH", _STRING, len(value_bytes)) + value_bytes
    return bytes(encoded)


def frame(headers: tuple[tuple[str, str], ...], payload: bytes) -> bytes:
    """One frame with string `headers` around `payload`."""
    encoded = _headers(headers)
    prelude = struct.pack("!II", _OVERHEAD + len(encoded) + len(payload), len(encoded))
    body = b"".join((prelude, struct.pack("!I", crc32(prelude)), encoded, payload))
    return body + struct.pack("!I", crc32(body))


def event(event_type: str, payload: Mapping[str, object]) -> bytes:
    """An event of the modelled `event_type` (`contentBlockDelta`, `chunk`) with a JSON payload."""
    return raw_event(event_type, json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode())


def raw_event(event_type: str, payload: bytes) -> bytes:
    """An event whose payload is sent as it is, well-formed JSON or not."""
    return frame(
        ((":event-type", event_type), (":content-type", "application/json"), (":message-type", "event")),
        payload,
    )


def exception(exception_type: str, message: str) -> bytes:
    """A modelled exception inside the stream; `exception_type` in camelCase as on the wire."""
    return frame(
        (
            (":exception-type", exception_type),
            (":content-type", "application/json"),
            (":message-type", "exception"),
        ),
        json.dumps({"message": message}).encode(),
    )


def with_bad_checksum(encoded: bytes) -> bytes:
    """The same frame with one bit of its message checksum turned."""
    return encoded[:-1] + bytes([encoded[-1] ^ 0x01])
