"""The channel between the sidecar's first process and its workers: whatever one of them does, it stays."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from crossfade.shim import runtime
from crossfade.shim.runtime import Shim
from crossfade.shim.settings import read_settings
from crossfade.sidecar import channel
from crossfade.sidecar.channel import Hub, Line

from .test_metrics import ROW
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


def test_both_ends_may_send_more_than_the_socket_takes_at_once(hub: Hub, monkeypatch: Any) -> None:
    monkeypatch.setattr(Hub, "_text", lambda _: "x" * 2_000_000)
    line = Line()
    line.start()
    for first in range(0, 60_000, 4_000):
        line.recorder.add(replace(ROW, bucket=first + i) for i in range(4_000))
        until(lambda: not line.recorder.waiting(), 10)
    until(lambda: len(line.metrics()) == 2_000_000, 10)
    line.stop()


def test_a_worker_whose_line_breaks_by_a_fault_of_ours_says_so_and_ends(
    hub: Hub, shim: Shim, controller: Any, monkeypatch: Any, caplog: Any
) -> None:
    ended: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    try:
        line = Line()
        line.start()
        monkeypatch.setattr(channel, "read_snapshot", lambda _: 1 / 0)
        assert line.snapshot is not None
        controller.serve_snapshot(replace(line.snapshot, version=9))
        until(lambda: ended)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [record.action for record in caplog.records] == ["channel_fault"]
    line.stop()
