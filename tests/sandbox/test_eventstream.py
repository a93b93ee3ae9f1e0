"""botocore decodes what our encoder writes."""

from __future__ import annotations

import json

import pytest
from botocore.eventstream import ChecksumMismatch, EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from crossfade.sandbox import eventstream

names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)
headers = st.dictionaries(names, st.text(max_size=60), max_size=5)


@given(headers, st.binary(max_size=400))
def test_headers_and_payload_come_back(fields: dict[str, str], payload: bytes) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(eventstream.frame(tuple(fields.items()), payload))
    (message,) = list(buffer)
    assert message.headers == fields
    assert message.payload == payload


def test_an_event_says_what_it_is() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(eventstream.event("contentBlockDelta", {"delta": {"text": "é"}}))
    (message,) = list(buffer)
    assert message.headers[":message-type"] == "event"
    assert message.headers[":event-type"] == "contentBlockDelta"
    assert json.loads(message.payload) == {"delta": {"text": "é"}}


def test_an_altered_checksum_is_noticed() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(eventstream.with_bad_checksum(eventstream.event("messageStop", {})))
    with pytest.raises(ChecksumMismatch):
        list(buffer)
