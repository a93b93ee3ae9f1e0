"""Frames: cut anywhere they come out whole, altered anywhere they are refused, and botocore reads what we make."""

from __future__ import annotations

import json
import random
import struct
from binascii import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from crossfade.sandbox import eventstream
from crossfade.sidecar.frames import BadFrame, Frame, Splitter, frame

events = st.lists(
    st.tuples(st.sampled_from(["messageStart", "contentBlockDelta", "chunk"]), st.dictionaries(st.text(), st.text())),
    max_size=6,
)


def split(data: bytes, cuts: list[int]) -> list[Frame]:
    splitter = Splitter()
    found: list[Frame] = []
    before = 0
    for cut in [*sorted(min(cut, len(data)) for cut in cuts), len(data)]:
        found += splitter.feed(data[before:cut])
        before = cut
    assert not splitter.inside
    return found


@given(events, st.lists(st.integers(0, 2000), max_size=8))
def test_frames_come_out_whole_wherever_they_were_cut(made: list[tuple[str, dict[str, str]]], cuts: list[int]) -> None:
    raw = [eventstream.event(name, payload) for name, payload in made]
    found = split(b"".join(raw), cuts)
    assert [one.raw for one in found] == raw
    assert [(one.kind, one.name) for one in found] == [("event", name) for name, _ in made]
    assert [json.loads(one.payload) for one in found] == [payload for _, payload in made]


@given(events, st.data())
def test_a_changed_byte_is_noticed_and_what_came_before_it_is_good(
    made: list[tuple[str, dict[str, str]]], data: st.DataObject
) -> None:
    raw = [eventstream.event("contentBlockDelta", {"delta": {"text": "x"}})]
    raw += [eventstream.event(name, payload) for name, payload in made]
    whole = bytearray(b"".join(raw))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= 1 << data.draw(st.integers(0, 7))
    splitter = Splitter()
    good: list[bytes] = []
    try:
        while found := splitter.feed(bytes(whole) if not good else b""):
            good += [one.raw for one in found]
    except BadFrame:
        pass
    assert good == raw[: len(good)]
    assert sum(map(len, good)) <= at


@given(st.binary(max_size=400))
def test_no_bytes_hang_it_or_raise_anything_else(data: bytes) -> None:
    splitter = Splitter()
    try:
        splitter.feed(data)
        splitter.feed(b"")
    except BadFrame:
        pass


@given(st.integers(0, 2**32))
def test_headers_of_every_type_are_passed_over(seed: int) -> None:
    chance = random.Random(seed)
    values = {0: b"", 1: b"", 2: b"a", 3: b"ab", 4: b"abcd", 5: b"abcdefgh", 8: b"abcdefgh", 9: b"a" * 16}
    encoded = b""
    for index in range(chance.randrange(4)):
        kind = chance.choice([*values, 6])
        value = values.get(kind, b"\x00\x03xyz")
        encoded += bytes([2]) + f"h{index}".encode() + bytes([kind]) + value
    for name, value in ((":event-type", b"chunk"), (":message-type", b"event")):
        encoded += bytes([len(name)]) + name.encode() + b"\x07" + len(value).to_bytes(2, "big") + value
    head = struct.pack("!II", 16 + len(encoded), len(encoded))
    raw = head + struct.pack("!I", crc32(head)) + encoded
    raw += struct.pack("!I", crc32(raw))
    [one] = Splitter().feed(raw)
    assert (one.kind, one.name) == ("event", "chunk")


@pytest.mark.parametrize("kind", ["event", "exception"])
def test_botocore_reads_the_frames_we_make(kind: str) -> None:
    made = frame(kind, "modelStreamErrorException", {"message": "né"})
    buffer = EventStreamBuffer()
    buffer.add_data(made.raw)
    [message] = list(buffer)
    assert message.headers[":message-type"] == kind
    assert json.loads(message.payload) == {"message": "né"}
    assert Splitter().feed(made.raw) == [made]


def test_a_payload_that_cannot_be_read_has_no_members() -> None:
    for payload in (b"", b"[]", b"{", b'{"bytes": "%%"}', b'{"bytes": 3}'):
        assert Frame(b"", "event", "chunk", payload).event() == {"chunk": {}}
