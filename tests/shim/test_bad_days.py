"""Bad days: what a service may do to the call path, or meet on it, each with its outcome."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import botocore.loaders
import pytest
from botocore.exceptions import ClientError

import crossfade
from crossfade.core.snapshot import Entry
from crossfade.shim import client as shim_client
from crossfade.shim import runtime

EAST, WEST = "us-east-1", "us-west-2"
ROUTE = "support-chat"
MESSAGES = [{"role": "user", "content": [{"text": "hello"}]}]


def in_thread(work: Any) -> tuple[threading.Thread, list[Any]]:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    return thread, found


def wait_for(true: Any) -> None:
    until = time.monotonic() + 10
    while not true():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def test_a_call_keeps_the_snapshot_that_it_began_with(routed, snapshot, model, ask, sandbox, controller, calls) -> None:
    old = snapshot(model("blue"), model("green"))
    client = routed(old)
    green = old.models["green"].targets[0].model_id
    sandbox.fault("unavailable", model=green)
    sandbox.fault("latency", model=green, region=EAST, seconds=1.0)
    thread, found = in_thread(lambda: ask(client))
    time.sleep(0.3)
    new = snapshot(model("other", WEST))
    controller.serve_snapshot(replace(new, entries={ROUTE: replace(new.entries[ROUTE], id=4)}))
    wait_for(lambda: "other" in runtime.current().feed.snapshot.models)
    assert ask(client)["ResponseMetadata"]["Crossfade"]["model"] == "other"
    assert found == [], "the first call is still under way"
    thread.join()
    told = found[0]["ResponseMetadata"]["Crossfade"]
    assert (told["model"], told["variant"], told["rollout"]) == ("blue", "green", 12)
    crossfade.flush()
    assert {(row["route"], row["rollout"], row["model"]) for row in controller.rows()} == {
        (3, 12, "blue"),
        (4, 0, "other"),
    }


def test_a_snapshot_without_a_routes_blue_is_refused_and_a_route_that_is_gone_is_plain_boto3(
    routed, snapshot, model, ask, controller, session, sandbox
) -> None:
    whole = snapshot(model("blue"), fallbacks=(model("small"),))
    client = routed(whole)
    feed = runtime.current().feed
    before = feed.snapshot
    controller.serve_snapshot(replace(whole, models={"small": whole.models["small"]}))
    time.sleep(0.4)
    assert feed.snapshot is before
    assert ask(client)["ResponseMetadata"]["Crossfade"]["model"] == "blue"
    other = Entry(id=9, route=replace(whole.entries[ROUTE].route, name="another"))
    controller.serve_snapshot(replace(whole, entries={"another": other}))
    wait_for(lambda: feed.snapshot is not before)
    bare = session.client("bedrock-runtime", endpoint_url=sandbox.endpoint(EAST))
    with pytest.raises(ClientError, match="model identifier is invalid"):
        ask(bare)
    bare.close()


def test_with_all_breakers_open_a_target_that_works_again_is_found(
    routed, snapshot, model, ask, sandbox, fast, controller
) -> None:
    nervous = replace(fast, breaker_in_a_row=1, breaker_open=600, breaker_open_most=600)
    client = routed(snapshot(model("blue"), model("green"), policy=nervous))
    sandbox.fault("unavailable")
    assert ask(client)["ResponseMetadata"]["Crossfade"]["busy"]
    assert set(crossfade.health()["breakers"].values()) == {"open"}
    assert len(crossfade.health()["breakers"]) == 4
    assert ask(client)["ResponseMetadata"]["Crossfade"]["busy"], "asked all the same, and answered politely"
    sandbox.clear()
    assert not ask(client)["ResponseMetadata"]["Crossfade"]["busy"]


@pytest.mark.parametrize("step", [-86_400.0, 86_400.0])
def test_a_clock_that_steps_neither_ends_a_call_nor_stops_the_next(
    routed, snapshot, model, ask, sandbox, controller, monkeypatch, step
) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault("latency", count=1, seconds=0.6)
    thread, found = in_thread(lambda: ask(client))
    time.sleep(0.2)
    real = time.time
    monkeypatch.setattr(shim_client.time, "time", lambda: real() + step)
    thread.join()
    assert found[0]["ResponseMetadata"]["Crossfade"]["region"] == EAST
    assert ask(client)["ResponseMetadata"]["Crossfade"]["attempts"] == 1
    monkeypatch.undo()
    crossfade.flush()
    buckets = sorted(row["bucket"] for row in controller.rows())
    assert controller.total("calls") == 2, "each at the hour that its clock said; the controller refuses what is ahead"
    assert 86_380 <= buckets[1] - buckets[0] <= 86_420


def test_twenty_megabytes_are_sent_whole_to_the_next_region_too(routed, snapshot, model, sandbox, calls) -> None:
    client = routed(snapshot(model("blue")))
    sandbox.fault("unavailable", region=EAST)
    text = "x" * 20_000_000
    body = {"anthropic_version": "x", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}
    answer = client.invoke_model(modelId=ROUTE, body=json.dumps(body))
    assert json.loads(answer["body"].read())["content"][0]["text"] == text[:36]
    assert [region for region, _, _ in calls()] == [EAST, WEST]
    sandbox.settle()
    assert sandbox.log()[-1]["input_tokens"] == 5_000_000


def test_five_hundred_threads_are_each_answered_and_counted_once(
    routed, snapshot, model, ask, sandbox, controller
) -> None:
    client = routed(snapshot(model("blue")), max_pool_connections=50)
    sandbox.fault("unavailable", region=EAST, probability=0.3)
    failed: list[BaseException] = []
    ready = threading.Barrier(500)

    def run() -> None:
        try:
            ready.wait(60)
            assert not ask(client)["ResponseMetadata"]["Crossfade"]["busy"]
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(500)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert crossfade.flush(30)
    sandbox.settle()
    log = sandbox.log()
    assert controller.total("calls") == 500
    attempts = controller.total("attempts")
    assert attempts["ok"] == 500
    assert sum(attempts.values()) == len(log)
    assert attempts.get("unavailable", 0) == sum(entry["outcome"] == "ServiceUnavailableException" for entry in log)
    assert threading.active_count() < 50


def test_an_operation_that_bedrock_adds_passes_through(
    routed, snapshot, model, sandbox, session, tmp_path: Path
) -> None:
    loader = botocore.loaders.create_loader()
    document = loader.load_service_model("bedrock-runtime", "service-2")
    known = document["operations"]["CountTokens"]
    added = json.loads(json.dumps(document))
    added["operations"]["CountTokensTwice"] = {**known, "name": "CountTokensTwice"}
    place = tmp_path / "bedrock-runtime" / "2099-01-01"
    place.mkdir(parents=True)
    (place / "service-2.json").write_text(json.dumps(added))
    ours = botocore.loaders.Loader(extra_search_paths=[str(tmp_path)])
    routed(snapshot(model("blue")))
    session._session.register_component("data_loader", ours)
    client = session.client("bedrock-runtime", endpoint_url=sandbox.endpoint(EAST))
    asked = {"converse": {"messages": MESSAGES}}
    answer = client.count_tokens_twice(modelId="crossfade.echo-v1:0", input=asked)
    assert answer["inputTokens"] > 0
    assert "Crossfade" not in answer["ResponseMetadata"]
    assert client.count_tokens(modelId=ROUTE, input=asked)["ResponseMetadata"]["Crossfade"]["model"] == "blue"
    client.close()


FULL = """
import json, sys, time
import boto3, crossfade
from crossfade.core.outcome import Outcome
from crossfade.shim import runtime
from crossfade.shim.account import Account
from crossfade.shim.recorder import MOST_WAITING, Seen
client = boto3.client("bedrock-runtime")
client.converse(modelId="support-chat", messages=[{"role": "user", "content": [{"text": "hi"}]}])
recorder = runtime.current().recorder
place = (3, 0, 0, "blue", int(time.time() // 10) * 10, "blue", "us-east-1")
seen = Seen(place=place, counted=Account(outcome=Outcome.OK, judged=True, error=False), tried=(Outcome.OK,), busy=False,
            raised=False, retries=0, failovers=0, latency=None, first_token=None, tokens=(0, 0), cost=None)
for _ in range(MOST_WAITING + 10):
    recorder.record(seen)
print(recorder.dropped > 0)
"""


def test_a_process_with_a_full_recorder_ends_in_time_and_says_what_it_did(
    controller, settings, snapshot, model
) -> None:
    controller.serve_snapshot(snapshot(model("blue")))
    environment = os.environ | {
        "BOTOCORE_EXPERIMENTAL__PLUGINS": "crossfade=crossfade.shim.plugin",
        "CROSSFADE_URL": controller.url,
        "CROSSFADE_TOKEN": settings["token"],
        "CROSSFADE_STATE_DIR": str(settings["state_dir"]),
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": EAST,
    }
    done = subprocess.run([sys.executable, "-c", FULL], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "True"), done.stderr
    assert "Traceback" not in done.stderr
    assert controller.total("calls") > 199_000
