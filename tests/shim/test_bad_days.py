"""Days on which something odd happens to the service or its machine: each with the outcome that is promised."""

from __future__ import annotations

import io
import json
import os
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.credentials import RefreshableCredentials
from service import started

import crossfade
from crossfade.core import callid
from crossfade.shim import runtime
from crossfade.shim.credentials import renew

ROUTE = "support-chat"
EAST, WEST = "us-east-1", "us-west-2"
ECHO = "crossfade.echo-v1:0"
KEY = bytes(range(32))
MESSAGES = [{"role": "user", "content": [{"text": "hello"}]}]


def wait_for_version(version: int) -> None:
    until = time.monotonic() + 10
    while runtime.current().feed.snapshot.version < version:
        assert time.monotonic() < until, "the snapshot did not come"
        time.sleep(0.01)


def told(answer: Any) -> dict[str, Any]:
    return dict(answer["ResponseMetadata"]["Crossfade"])


# The snapshot


def test_a_call_keeps_the_snapshot_it_began_with(routed, snapshot, model, sandbox, controller, ask, calls) -> None:
    blue, green = model("blue"), model("green")
    client = routed(snapshot(blue, green, weight=0))
    sandbox.fault("latency", seconds=1.5, region=EAST, count=1)
    sandbox.fault("unavailable", region=EAST, count=1)
    with ThreadPoolExecutor(1) as pool:
        early = pool.submit(ask, client)
        while not sandbox.counts()["in_flight"]:
            time.sleep(0.01)
        later = snapshot(model("other"))  # neither the rollout nor the Models of the call are in it any more
        controller.serve_snapshot(later)
        wait_for_version(2)
        answer = early.result(30)
    assert (told(answer)["model"], told(answer)["region"]) == ("blue", WEST), "failed over by its own snapshot"
    assert callid.read(KEY, told(answer)["call_id"]).rollout == 12
    assert told(ask(client))["model"] == "other"
    assert [name for _, name, _ in calls()] == ["blue", "blue", "other"]
    assert crossfade.flush()
    assert sorted(row["rollout"] for row in controller.rows()) == [0, 12]


def test_a_snapshot_whose_blue_is_gone_is_refused_and_the_last_good_one_stays(
    routed, snapshot, model, controller, ask, caplog
) -> None:
    good = snapshot(model("blue"))
    client = routed(good)
    controller.serve_snapshot(replace(good, models={}))
    until = time.monotonic() + 10
    while "malformed snapshot was refused" not in caplog.text and time.monotonic() < until:
        time.sleep(0.01)
    assert "'support-chat' needs 'blue', which is not there" in caplog.text
    assert told(ask(client))["model"] == "blue"


def test_a_route_that_is_deleted_is_plain_boto3_from_then_on(
    routed, snapshot, model, controller, session, sandbox
) -> None:
    first = snapshot(model("blue"))
    routed(
        replace(
            first, entries={ECHO: replace(first.entries[ROUTE], route=replace(first.entries[ROUTE].route, name=ECHO))}
        )
    )
    client = session.client("bedrock-runtime", endpoint_url=sandbox.endpoint(EAST))
    assert told(client.converse(modelId=ECHO, messages=MESSAGES))["model"] == "blue"
    controller.serve_snapshot(first)
    wait_for_version(2)
    assert "Crossfade" not in client.converse(modelId=ECHO, messages=MESSAGES)["ResponseMetadata"]
    client.close()


# Breakers and clocks


def test_with_all_breakers_open_a_call_still_goes_out_and_is_answered(
    routed, snapshot, model, sandbox, ask, fast
) -> None:
    policy = replace(fast, breaker_in_a_row=1, breaker_open=600)
    client = routed(snapshot(model("blue"), model("green"), fallbacks=(model("small"),), policy=policy))
    sandbox.fault("unavailable")
    for _ in range(4):
        ask(client)
    assert set(crossfade.health()["breakers"].values()) == {"open"}
    assert len(crossfade.health()["breakers"]) >= 6
    sandbox.clear()
    assert not told(ask(client))["busy"]


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_clock_that_steps_changes_no_deadline_and_no_duration(
    routed, snapshot, model, sandbox, controller, ask, monkeypatch, step
) -> None:
    client = routed(snapshot(model("blue")))
    ask(client)
    genuine = time.time
    sandbox.fault("latency", seconds=0.5, count=1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, client)
        while not sandbox.counts()["in_flight"]:
            time.sleep(0.01)
        monkeypatch.setattr(time, "time", lambda: genuine() + step)
        assert told(waiting.result(30))["attempts"] == 1
    assert told(ask(client))["attempts"] == 1
    assert runtime.current().feed.age(time.time()) >= 0
    monkeypatch.undo()
    assert crossfade.flush()
    before = controller.total("calls")
    assert before >= 2, "those of the right clock at least; what lies an hour ahead the controller refuses"
    assert sum(n for row in controller.rows() for n in row["latency"].values()) == before


# Much at a time


def test_five_hundred_threads_share_one_client(routed, snapshot, model, controller, ask) -> None:
    client = routed(snapshot(model("blue"), model("green"), weight=50), max_pool_connections=50)
    ask(client)
    ready = threading.Barrier(500)

    def one(number: int) -> str:
        ready.wait(60)
        with crossfade.context(key=f"user-{number}", deadline=60):
            return str(ask(client, f"text {number}")["output"]["message"]["content"][0]["text"])

    with ThreadPoolExecutor(500) as pool:
        assert list(pool.map(one, range(500))) == [f"text {number}" for number in range(500)]
    assert crossfade.flush()
    assert controller.total("calls") == 501
    assert controller.total("keyed") == 500
    assert controller.total("raised") == controller.total("busy") == 0


def test_calls_whose_credentials_are_refused_together_fetch_new_ones_once() -> None:
    fetched: list[float] = []

    def fetch() -> dict[str, str]:
        time.sleep(0.3)
        fetched.append(time.monotonic())
        soon = datetime.now(UTC) + timedelta(hours=1)
        return {"access_key": str(len(fetched)), "secret_key": "s", "token": "t", "expiry_time": soon.isoformat()}

    credentials = RefreshableCredentials.create_from_metadata(fetch(), fetch, "test")
    ready = threading.Barrier(20)

    def refused(_: int) -> bool:
        ready.wait(10)
        return renew(credentials)

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(refused, range(20)))
    assert len(fetched) == 2
    assert renew(credentials), "refused once more, later"
    assert len(fetched) == 3


def test_twenty_megabytes_go_out_whole_and_again_to_the_next_region(routed, snapshot, model, sandbox, calls) -> None:
    client = routed(snapshot(model("blue")))
    text = "twenty megabytes " * (20 * 2**20 // 17)
    request = {"anthropic_version": "x", "max_tokens": 10**7, "messages": [{"role": "user", "content": text}]}
    body = json.dumps(request).encode()
    sandbox.fault("unavailable", region=EAST)
    for given in (body, io.BytesIO(body)):
        answer = client.invoke_model(modelId=ROUTE, body=given)
        assert json.loads(answer["body"].read())["content"][0]["text"] == text
    messages = [{"role": "user", "content": [{"text": text}]}]
    whole = client.converse(modelId=ROUTE, messages=messages, inferenceConfig={"maxTokens": 10**7})
    assert whole["output"]["message"]["content"][0]["text"] == text
    assert [region for region, *_ in calls()] == [EAST, WEST] * 3


# The end of a process, and its beginning

SERVICE = """
import os, sys, threading, time, boto3, crossfade
from crossfade.shim import recorder, runtime
def client():
    return crossfade.enable(boto3.client("bedrock-runtime"), wait=5)
def ask(client):
    return client.converse(modelId="support-chat", messages=[{"role": "user", "content": [{"text": "hi"}]}])
"""


def run(program: str, controller: Any, settings: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    return started(SERVICE + program, controller, settings, seconds=60, CROSSFADE_FLUSH_SECONDS="600")


def test_a_process_that_ends_with_a_full_recorder_delivers_what_it_holds(controller, settings, snapshot, model) -> None:
    controller.serve_snapshot(snapshot(model("blue")))
    program = """
recorder.MOST_WAITING = 30
mine = client()
for _ in range(40): ask(mine)
print(crossfade.health()["dropped"])
"""
    done = run(program, controller, settings)
    assert (done.returncode, done.stdout, done.stderr) == (0, "10\n", "")
    assert controller.total("calls") == 30


def test_a_process_may_end_in_the_middle_of_calls(controller, settings, snapshot, model) -> None:
    controller.serve_snapshot(snapshot(model("blue")))
    program = """
mine = client()
def loop():
    while True: ask(mine)
ask(mine)
for _ in range(8): threading.Thread(target=loop, daemon=True).start()
time.sleep(0.5)
"""
    done = run(program, controller, settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert controller.total("calls") >= 1


def test_calls_are_routed_while_a_process_that_ends_delivers_what_it_holds(
    controller, settings, snapshot, model
) -> None:
    controller.serve_snapshot(snapshot(model("blue")))
    program = """
mine = client()
courier = runtime.current().courier
genuine = courier.close
def slowly(timeout):
    time.sleep(1)
    genuine(timeout)
courier.close = slowly
def loop():
    while True: ask(mine)
for _ in range(2): threading.Thread(target=loop, daemon=True).start()
time.sleep(0.2)
"""
    done = run(program, controller, settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert controller.total("calls") >= 1


def test_a_process_may_fork_after_import_and_before_it_is_set_up(controller, settings, snapshot, model) -> None:
    controller.serve_snapshot(snapshot(model("blue")))
    program = """
import crossfade.shim.install
children = [os.fork() for _ in range(1)]
mine = client()
ask(mine); ask(mine)
assert crossfade.flush()
if children[0] == 0:
    os._exit(0)
assert os.waitpid(children[0], 0)[1] == 0
"""
    done = run(program, controller, settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert controller.total("calls") == 4
    assert len({shim for shim, _ in controller.seen}) == 2


def test_a_fork_in_the_middle_of_another_threads_first_call_leaves_no_lock_behind(
    controller, settings, snapshot, model
) -> None:
    controller.serve_snapshot(snapshot(model("blue")))
    program = """
import signal
from crossfade.shim import adoption
in_the_middle, genuine = threading.Event(), adoption.keep_user_agent
def slowly(of):
    in_the_middle.set()
    time.sleep(2)
    genuine(of)
first, second = client(), client()
adoption.keep_user_agent = slowly
thread = threading.Thread(target=ask, args=(first,))
thread.start()
in_the_middle.wait(10)
child = os.fork()
if child == 0:
    signal.alarm(15)
    adoption.keep_user_agent = genuine
    ask(second)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
thread.join()
"""
    done = run(program, controller, settings)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_child_that_closes_a_stream_of_its_parents_takes_nothing_from_it(
    controller, settings, snapshot, model, sandbox
) -> None:
    controller.serve_snapshot(snapshot(model("blue")))
    sandbox.fault("drip", seconds=0.1, parts=20)
    program = """
mine = client()
messages = [{"role": "user", "content": [{"text": "hi"}]}]
stream = mine.converse_stream(modelId="support-chat", messages=messages)["stream"]
child = os.fork()
if child == 0:
    stream.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert "metadata" in list(stream)[-1]
"""
    done = run(program, controller, settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert controller.total("outcomes") == {"ok": 1}


def test_a_fork_that_python_is_not_told_of_is_noticed_by_its_process_id(
    routed, snapshot, model, controller, ask, monkeypatch
) -> None:
    """As uwsgi forks. Played, not done: in such a child Python itself may wait for threads that are not there."""
    client = routed(snapshot(model("blue")))
    ask(client)
    parents = runtime.current()
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: parents.pid + 1)
        ask(client)
        ask(client)
        assert runtime.current().id != parents.id
        assert crossfade.flush()
        assert controller.total("calls") == 2
        runtime.end()
    assert parents.courier.waiting()["calls"] == 1
    parents.stop()
    assert controller.total("calls") == 3
    assert len({shim for shim, _ in controller.seen}) == 2


def test_before_uwsgi_forks_no_thread_of_ours_runs_and_the_snapshot_is_there(
    controller, settings, snapshot, model
) -> None:
    """uwsgi itself, with real workers: tests/compat/test_uwsgi.py."""
    controller.serve_snapshot(snapshot(model("blue")))
    program = """
import types
worker = 0
sys.modules["uwsgi"] = types.SimpleNamespace(worker_id=lambda: worker)
def threads():
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("crossfade-")}
mine = client()
assert not threads() and crossfade.health()["active"] and not crossfade.health()["waiting_calls"]
if child := os.fork():
    assert os.waitpid(child, 0)[1] == 0
else:
    worker = 1
    ask(mine)
    assert threads() >= {"crossfade-feed", "crossfade-courier"}, threads()
    assert crossfade.flush()
    os._exit(0)
"""
    done = run(program, controller, settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert controller.total("calls") == 1


def test_without_a_controller_nothing_waits_before_uwsgi_forks(controller, settings) -> None:
    controller.snapshot_status = 503
    program = """
import types
sys.modules["uwsgi"] = types.SimpleNamespace(worker_id=lambda: 0)
crossfade.enable(boto3.client("bedrock-runtime"), wait=600)
assert not crossfade.health()["active"]
"""
    done = run(program, controller, settings)
    assert done.returncode == 0
    assert done.stderr.count("no snapshot from the controller") == 1


def test_a_child_that_never_called_does_not_deliver_for_its_parent(
    routed, snapshot, model, controller, ask, monkeypatch
) -> None:
    client = routed(snapshot(model("blue")))
    ask(client)
    parents = runtime.current()
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: parents.pid + 1)
        runtime.end()
    assert controller.posts == 0
    parents.stop()
    assert controller.total("calls") == 1
