"""The recorder and the courier: nothing lost, nothing counted twice, nothing waited for."""

from __future__ import annotations

import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from service import run

import crossfade
from crossfade.core import callid
from crossfade.core.observation import read_batch, row_to_dict
from crossfade.core.outcome import Outcome
from crossfade.core.split import Variant
from crossfade.shim import courier as courier_module
from crossfade.shim import recorder as recorder_module
from crossfade.shim import runtime
from crossfade.shim.account import Account
from crossfade.shim.outbox import Outbox
from crossfade.shim.recorder import Recorder, Seen

ROUTE = "support-chat"
OK = Account(outcome=Outcome.OK, judged=True, error=False)


def seen(bucket: int = 1_000_000, **changes: Any) -> Seen:
    fields = {
        "place": (1, 0, 0, Variant.BLUE, bucket, "blue", "us-east-1"),
        "counted": OK,
        "tried": (Outcome.OK,),
        "busy": False,
        "raised": False,
        "retries": 0,
        "failovers": 0,
        "latency": 0.5,
        "first_token": None,
        "tokens": (10, 5),
        "cost": 0.25,
    }
    return Seen(**fields | changes)


def test_rows_are_what_the_controller_reads() -> None:
    recorder = Recorder()
    now = int(time.time())
    for _ in range(3):
        recorder.record(seen(now))
    recorder.record(
        seen(now, cost=None, latency=None, counted=Account(outcome=Outcome.OUTAGE, judged=True, error=True))
    )
    rows = [row_to_dict(row) for row in recorder.take()]
    batch = {"shim": "0" * 8 + "-0000-0000-0000-" + "0" * 12, "sequence": 0, "rows": rows}
    [row] = read_batch(batch, now=time.time(), oldest=0).rows
    assert (row.calls, row.judged, row.errors, row.cost_n, row.cost_sum) == (4, 4, 1, 3, 0.75)
    assert row.cost_sq == pytest.approx(3 * 0.0625)
    assert recorder.take() == []


def test_an_overloaded_recorder_drops_and_counts_but_never_blocks(monkeypatch) -> None:
    monkeypatch.setattr(recorder_module, "MOST_WAITING", 5)
    recorder = Recorder()
    for _ in range(8):
        recorder.record(seen())
    assert (recorder.dropped, recorder.waiting()) == (3, 5)


def test_while_the_controller_is_away_calls_merge_and_are_counted_once_when_it_is_back(
    routed, snapshot, model, ask, controller, caplog
) -> None:
    client = routed(snapshot(model("blue")))
    controller.status = 503
    for _ in range(3):
        ask(client)
        assert crossfade.flush() is False
    health = crossfade.health()
    assert health["waiting_calls"] + health["waiting_batches"] >= 1
    assert "503" in health["controller"]
    controller.status = 0
    assert crossfade.flush()
    assert controller.total("calls") == 3
    assert len([r for r in caplog.records if "away" in r.message]) == 1, "said once"
    health = crossfade.health()
    assert (health["waiting_calls"], health["waiting_batches"], health["controller"]) == (0, 0, "ok")


def test_a_batch_sent_again_is_the_same_bytes(routed, snapshot, model, ask, controller, monkeypatch) -> None:
    client = routed(snapshot(model("blue")))
    ask(client)
    post = runtime.current().courier._controller.post
    lost = iter([True, False])

    def lose_the_answer(path: str, body: bytes, *, timeout: float) -> None:
        post(path, body, timeout=timeout)
        if next(lost):
            raise courier_module.Away("the answer was lost on the way")

    monkeypatch.setattr(runtime.current().courier._controller, "post", lose_the_answer)
    assert crossfade.flush() is False
    assert crossfade.flush()
    [bodies] = controller.seen.values()
    assert len(bodies) == 2
    assert len(set(bodies)) == 1
    assert controller.total("calls") == 1


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_batch_the_controller_refuses_is_dropped_counted_and_said_once(
    routed, snapshot, model, ask, controller, caplog, status
) -> None:
    client = routed(snapshot(model("blue")))
    controller.status = status
    for _ in range(3):
        ask(client)
        crossfade.flush()
    assert crossfade.health()["dropped"] == 3
    assert len([r for r in caplog.records if "refused a batch" in r.message]) == 1
    controller.status = 0
    ask(client)
    crossfade.flush()
    assert controller.total("calls") == 1
    assert controller.batches[-1]["dropped"] == 3, "and reported"


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_loses_nothing(routed, snapshot, model, ask, controller, status) -> None:
    client = routed(snapshot(model("blue")))
    controller.status = status
    ask(client)
    assert crossfade.flush() is False
    controller.status = 0
    assert crossfade.flush()
    assert (controller.total("calls"), crossfade.health()["dropped"]) == (1, 0)


def test_what_is_left_at_the_end_goes_to_disk_and_is_sent_by_the_next_process_under_its_own_number(
    routed, snapshot, model, ask, controller, settings, session
) -> None:
    client = routed(snapshot(model("blue")))
    controller.status = 503
    answer = ask(client)
    crossfade.score(answer, "accuracy", 0.5)
    first = runtime.current().id
    runtime.end(1.0)
    controller.status = 0
    crossfade.install(session, **settings)
    assert runtime.current().id != first
    assert crossfade.flush()
    assert [shim for shim, _ in controller.seen] == [first]
    assert (controller.total("calls"), len(controller.scores)) == (1, 1)
    assert crossfade.health()["waiting_batches"] == 0


def test_many_rows_go_to_disk_so_that_memory_stays_bounded(routed, snapshot, model, controller, monkeypatch) -> None:
    monkeypatch.setattr(courier_module, "MOST_ROWS", 10)
    routed(snapshot(model("blue")))
    controller.status = 503
    shim = runtime.current()
    now = int(time.time())
    for minute in range(5):
        for second in range(20):
            shim.recorder.record(seen(now - 3600 - minute * 100 - second))
        crossfade.flush()
    assert shim.recorder.settle() <= 20
    assert len(shim.courier._pending) <= 1
    controller.status = 0
    assert crossfade.flush()
    assert (controller.total("calls"), crossfade.health()["dropped"]) == (100, 0)


def test_with_controller_and_disk_gone_memory_is_bounded_and_loss_is_counted(
    routed, snapshot, model, controller, monkeypatch
) -> None:
    monkeypatch.setattr(courier_module, "MOST_ROWS", 0)
    monkeypatch.setattr(courier_module, "MOST_BATCHES", 5)
    monkeypatch.setattr(Outbox, "put", _no_space)
    routed(snapshot(model("blue")))
    controller.status = 503
    shim = runtime.current()
    for _ in range(20):
        shim.recorder.record(seen(int(time.time())))
        crossfade.flush()
    kept = len(shim.courier._pending)
    assert kept <= 6
    assert crossfade.health()["dropped"] + kept == 20
    controller.status = 0
    crossfade.flush()
    assert controller.total("calls") == kept


def _no_space(*_: Any) -> bool:
    raise OSError(28, "No space left on device")


def test_two_processes_never_claim_the_same_delivery(tmp_path) -> None:
    for n in range(40):
        Outbox(tmp_path, "writer").put(f"shim-{n:08d}", b"{}")

    def claim(mark: str) -> list[str]:
        return [path.name.split(".")[0] for path, _ in Outbox(tmp_path, mark).claim()]

    with ThreadPoolExecutor(4) as pool:
        claimed = [name for names in pool.map(claim, "abcd") for name in names]
    assert sorted(claimed) == [f"shim-{n:08d}" for n in range(40)]


def test_a_delivery_cut_on_disk_is_dropped_and_said(routed, snapshot, model, caplog) -> None:
    routed(snapshot(model("blue")))
    runtime.current().courier._outbox.put("11111111-1111-1111-1111-111111111111-00000000", b'{"shim": "11')
    assert crossfade.flush()
    assert "a delivery on disk is cut" in caplog.text
    assert crossfade.health()["waiting_batches"] == 0


def test_a_full_outbox_takes_no_more(tmp_path) -> None:
    outbox = Outbox(tmp_path, "x", most_bytes=10)
    assert outbox.put("a", b"12345678")
    assert not outbox.put("b", b"12345678")


def test_scores_that_are_refused_are_dropped_one_by_one(routed, snapshot, model, controller, caplog) -> None:
    routed(snapshot(model("blue")))
    for n in range(5):
        assert crossfade.score(a_call_id(), "accuracy", n / 4)
    controller.refuse_scores = {1, 3}
    assert crossfade.flush()
    assert [score["value"] for score in controller.scores] == [0.0, 0.5, 1.0]
    assert crossfade.health()["dropped_scores"] == 2
    assert "scores[1].call_id: is altered" in caplog.text


def test_scores_go_in_requests_of_five_hundred_and_wait_for_the_controller(routed, snapshot, model, controller) -> None:
    routed(snapshot(model("blue")))
    controller.status = 503
    for _ in range(1200):
        crossfade.score(a_call_id(), "accuracy", 1)
    assert crossfade.flush() is False
    controller.status, controller.posts = 0, 0
    assert crossfade.flush()
    assert (len(controller.scores), controller.posts) == (1200, 3)


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf, "1", None])
def test_a_value_that_is_no_score_is_said_and_not_sent(routed, snapshot, model, controller, caplog, value) -> None:
    routed(snapshot(model("blue")))
    assert crossfade.score(a_call_id(), "accuracy", value) is False
    crossfade.flush()
    assert controller.scores == []
    assert "must be in [0, 1]" in caplog.text


def test_scores_for_what_crossfade_did_not_route_are_left_out(routed, snapshot, model) -> None:
    assert crossfade.score("cf1.x", "accuracy", 1) is False, "not installed"
    routed(snapshot(model("blue")))
    for call in ({}, {"ResponseMetadata": {}}, "req-123", None):
        assert crossfade.score(call, "accuracy", 1) is False


def a_call_id() -> str:
    return callid.mint(b"k" * 32, rollout=1, route=1, step=0, variant=Variant.GREEN, called_at=time.time())


def test_a_process_that_ends_delivers_what_it_has(controller, settings, snapshot, model) -> None:
    controller.serve_snapshot(snapshot(model("blue")))
    run("for _ in range(3): crossfade.score(ask(), 'accuracy', 1)", controller, settings)
    assert (controller.total("calls"), len(controller.scores)) == (3, 3)


def test_a_process_ends_in_bounded_time_when_the_controller_hangs(controller, settings, snapshot, model) -> None:
    controller.serve_snapshot(snapshot(model("blue")))
    program = """
ask()
import socket, time
hole = socket.create_server(("127.0.0.1", 0))
runtime.current().courier._controller._url = "http://127.0.0.1:%d" % hole.getsockname()[1]
"""
    began = time.monotonic()
    run(program, controller, settings)
    assert time.monotonic() - began < 8
    stored = list(settings["state_dir"].glob("outbox/*/*.waiting"))
    assert len(stored) == 1
    assert json.loads(stored[0].read_bytes())["rows"][0]["calls"] == 1


def test_a_forked_child_has_a_shim_of_its_own_and_nothing_counts_twice(controller, settings, snapshot, model) -> None:
    controller.serve_snapshot(snapshot(model("blue")))
    program = """
ask()
mine = runtime.current().id
pid = os.fork()
if pid == 0:  # a client is made anew in a child, as plain boto3 asks: else both would write to one connection
    client = boto3.client("bedrock-runtime")
    crossfade.enable(client, wait=5)
ask(); ask()
assert (runtime.current().id == mine) is (pid != 0)
assert crossfade.flush()
if pid == 0:
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
"""
    run(program, controller, settings)
    assert controller.total("calls") == 5
    assert len({shim for shim, _ in controller.seen}) == 2


def test_a_multiprocessing_child_delivers_although_it_skips_atexit(controller, settings, snapshot, model) -> None:
    controller.serve_snapshot(snapshot(model("blue")))
    program = """
import multiprocessing
context = multiprocessing.get_context("fork")
ask()
child = context.Process(target=ask)
child.start()
child.join()
assert child.exitcode == 0
"""
    run(program, controller, settings)
    assert controller.total("calls") == 2
