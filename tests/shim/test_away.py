"""The controller is away, or sends what is no snapshot: services go on, and nothing is lost or counted twice."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

import crossfade
from crossfade.shim import runtime


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    yield
    runtime.end(0.5)


def wait_for(true) -> None:
    until = time.monotonic() + 10
    while not true():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def test_what_the_controller_could_not_take_waits_and_counts_once(routed, snapshot, model, controller, ask) -> None:
    client = routed(snapshot(model("blue")))
    controller.status = 503
    for _ in range(3):
        ask(client)
        assert not crossfade.flush(0.5)
    assert controller.batches == []
    controller.status = 0
    assert crossfade.flush(5)
    assert controller.total("calls") == 3
    assert all(len(bodies) == 1 for bodies in controller.seen.values())


def test_a_refused_batch_is_dropped_counted_and_said_once(routed, snapshot, model, controller, ask, caplog) -> None:
    client = routed(snapshot(model("blue")))
    controller.status = 422
    for _ in range(2):
        ask(client)
        crossfade.flush(2)
    controller.status = 0
    ask(client)
    assert crossfade.flush(5)
    assert controller.total("calls") == 1
    assert crossfade.health()["dropped"] == 2
    assert sum("refused" in record.getMessage() for record in caplog.records) == 1


def test_what_a_process_leaves_behind_is_delivered_by_the_next(
    routed, snapshot, model, controller, ask, settings, session
) -> None:
    client = routed(snapshot(model("blue")))
    controller.status = 503
    answer = ask(client)
    crossfade.score(answer, "accuracy", 1.0)
    runtime.end(0.5)
    assert controller.batches == []
    controller.status = 0
    crossfade.install(session, **settings)
    assert crossfade.flush(5)
    assert controller.total("calls") == 1
    assert [score["value"] for score in controller.scores] == [1.0]


def test_a_service_starts_from_the_snapshot_on_disk(
    routed, snapshot, model, controller, ask, settings, session
) -> None:
    client = routed(snapshot(model("blue")))
    shim = runtime.current()
    assert shim is not None
    wait_for(shim.feed.path.exists)
    runtime.end(0.5)
    controller.snapshot_status = 503
    crossfade.install(session, **settings | {"wait": 0.2})
    assert ask(client)["ResponseMetadata"]["Crossfade"]["variant"] == "blue"


def test_a_snapshot_cut_in_half_on_disk_is_refused(routed, snapshot, model, controller, settings, session) -> None:
    routed(snapshot(model("blue")))
    shim = runtime.current()
    assert shim is not None
    path = shim.feed.path
    wait_for(path.exists)
    runtime.end(0.5)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    controller.snapshot_status = 503
    crossfade.install(session, **settings | {"wait": 0.2})
    assert crossfade.health()["active"] is False


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>", b'{"format": 1, "routes": []}'])
def test_what_is_no_snapshot_is_refused_and_the_last_good_one_stays(
    routed, snapshot, model, controller, ask, body
) -> None:
    client = routed(snapshot(model("blue")))
    shim = runtime.current()
    assert shim is not None
    good = shim.feed.snapshot
    controller.serve_snapshot(body)
    time.sleep(0.3)  # the long poll brings it at once
    assert shim.feed.snapshot is good
    assert ask(client)["ResponseMetadata"]["Crossfade"]["variant"] == "blue"


def test_without_any_snapshot_one_warning_says_so_truly(snapshot, model, controller, settings, session, caplog) -> None:
    controller.snapshot_status = 401
    crossfade.install(session, **settings | {"wait": 1.0})
    said = [record.getMessage() for record in caplog.records if record.name == "crossfade"]
    assert len(said) == 1
    assert "calls go to Bedrock as they are until there is one" in said[0]
    assert "the last one" not in said[0]
