"""The channel between the sidecar's first process and its workers: whatever one of them does, it stays."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from crossfade.shim import runtime
from crossfade.shim.runtime import Shim
from crossfade.shim.settings import read_settings
from crossfade.sidecar import channel
from crossfade.sidecar.channel import Hub, Line

from .test_process import until


@pytest.fixture
def shim(controller: Any, settings: dict[str, Any], snapshot: Any, model: Any) -> Shim:
    controller.serve_snapshot(snapshot(model("blue")))
    found = runtime.begin(read_settings(settings))
    assert found.feed.wait_for_first(5)
    return found


@pytest.fixture
def hub(shim: Shim) -> Iterator[Hub]:
    found = Hub(shim)
    with found.open():
        yield found


@pytest.mark.parametrize("says", [b"", b"x" * 8, b"\x00\x00\x00\x04abcd"], ids=["nothing", "nonsense", "a wrong key"])
def test_a_process_that_ends_in_its_greeting_keeps_no_worker_out(hub: Hub, says: bytes, caplog: Any) -> None:
    address = os.environ[channel.VARIABLE].partition(":")[2]
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(address)
        stranger.sendall(says)
    until(lambda: caplog.records)
    line = Line()
    line.start()
    assert line.snapshot is not None
    line.stop()
    assert [record.action for record in caplog.records] == ["channel_refused"]
