"""Shadow steps, against a real sandbox: green gets copies of blue's calls, and no caller is any the worse for it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from service import run

import crossfade
from crossfade.core import callid
from crossfade.core.pair import Half, PairLosses, is_pair_key, pair_key
from crossfade.core.snapshot import Snapshot, read_snapshot, snapshot_to_bytes
from crossfade.core.split import Variant
from crossfade.core.stop import Stop
from crossfade.shim import shadow
from crossfade.shim.copies import Shadowed

EAST = "us-east-1"
ROUTE = "support-chat"
KEY = bytes(range(32))
MESSAGES = [{"role": "user", "content": [{"text": "bonjour tout le monde"}]}]
in_the_service = pytest.mark.parametrize("face", ["shim"], indirect=True)
"""What only a copy in the service's own process can do."""
BODY = json.dumps({"anthropic_version": "x", "max_tokens": 100, "messages": [{"role": "user", "content": "bonjour"}]})


def at_shadow(found: Snapshot, percent: float = 100.0) -> Snapshot:
    """The same in a step that copies so many percent of the calls."""
    entries = {
        name: replace(entry, live=entry.live and replace(entry.live, step=0, weight=0.0, shadow=percent))
        for name, entry in found.entries.items()
    }
    return replace(found, entries=entries)


def settle() -> dict[str, int]:
    """Waits until no copy is outstanding; the counts."""
    until = time.monotonic() + 20
    while (counts := crossfade.health()["shadow"])["waiting"]:
        assert time.monotonic() < until, counts
        time.sleep(0.01)
    return counts


def rows(controller: Any, variant: str) -> list[dict[str, Any]]:
    assert crossfade.flush()
    return [row for row in controller.rows() if row["variant"] == variant]


def pairs(controller: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows(controller, "green"):
        for key, n in row.get("pairs", {}).items():
            found[key] = found.get(key, 0) + n
    return found


def errors(controller: Any) -> dict[tuple[float, float] | None, int]:
    """How many pairs have these losses (blue's, green's) of the error rate."""
    of = PairLosses("error_rate", None).of
    found: dict[tuple[float, float] | None, int] = {}
    for key, n in pairs(controller).items():
        found[of(key)] = found.get(of(key), 0) + n
    return found


@pytest.fixture(autouse=True)
def no_grader() -> Any:
    yield
    crossfade.shadowed(None)


@pytest.fixture
def started(routed, snapshot, model, fast) -> Callable[..., tuple[Any, Any, Any]]:
    """(client, blue, green) at a shadow of `percent`."""

    def start(percent: float = 100.0, *, family: str | None = "anthropic", regions=(EAST,), **policy: Any) -> Any:
        blue, green = model("blue", *regions), model("green", *regions, family=family)
        many = {"shadow_per_second": 1000, "shadow_concurrent": 8} | policy
        found = at_shadow(snapshot(blue, green, policy=replace(fast, **many)), percent)
        return routed(found, max_pool_connections=50), blue, green

    return start


def test_the_caller_is_served_by_blue_and_green_gets_the_same_request(started, ask, calls, controller) -> None:
    client, _, _ = started()
    answer = ask(client)
    told = answer["ResponseMetadata"]["Crossfade"]
    assert (told["variant"], told["model"], told["step"]) == ("blue", "blue", 0)
    assert settle() == {"sent": 1, "dropped": 0, "unfit": 0, "failed": 0, "waiting": 0}
    assert [name for _, name, _ in calls()] == ["blue", "green"]
    [copy] = rows(controller, "green")
    [call] = [row for row in controller.rows() if row["variant"] == "blue"]
    assert (copy["calls"], copy["copies"], copy["judged"], copy["step"], copy["bucket"]) == (1, 1, 1, 0, call["bucket"])
    assert (copy["model"], copy["tokens_in"], copy["cost_n"]) == ("green", call["tokens_in"], 1)
    assert copy["cost_sum"] > 0
    assert "copies" not in call
    [key] = copy["pairs"]
    assert is_pair_key(key)
    assert PairLosses("error_rate", None).of(key) == (0.0, 0.0)
    assert PairLosses("latency", 60.0).of(key) == (0.0, 0.0)
    assert PairLosses("first_token", 60.0).of(key) is None  # no stream
    assert PairLosses("refusal", None).of(key) == (0.0, 0.0)


def test_the_copy_of_a_call_with_a_guardrail_stays_in_the_region_that_knows_it(started, ask, calls) -> None:
    client, _, _ = started(regions=("us-west-2", EAST))
    ask(client, guardrailConfig={"guardrailIdentifier": "abc", "guardrailVersion": "1"})
    settle()
    assert [place[:2] for place in calls()] == [(EAST, "blue"), (EAST, "green")]


@pytest.mark.parametrize("operation", ["Converse", "ConverseStream", "InvokeModel", "InvokeModelWithResponseStream"])
def test_every_operation_is_copied_whole(started, face, sandbox, controller, operation) -> None:
    client, _, _ = started()
    graded: list[Shadowed] = []
    crossfade.shadowed(graded.append)
    match operation:
        case "Converse":
            client.converse(modelId=ROUTE, messages=MESSAGES)
        case "ConverseStream":
            list(client.converse_stream(modelId=ROUTE, messages=MESSAGES)["stream"])
        case "InvokeModel":
            client.invoke_model(modelId=ROUTE, body=BODY)
        case _:
            list(client.invoke_model_with_response_stream(modelId=ROUTE, body=BODY)["body"])
    assert settle()["failed"] == 0
    assert errors(controller) == {(0.0, 0.0): 1}
    if operation.endswith("Stream"):
        [key] = pairs(controller)
        assert PairLosses("first_token", 60.0).of(key) == (0.0, 0.0)
    if face == "sidecar":
        assert graded == []
        return
    [told] = graded
    assert told.operation == operation
    if operation.endswith("Stream"):
        assert isinstance(told.answer.get("stream", told.answer.get("body")), list)
    elif operation == "InvokeModel":
        assert b"content" in told.answer["body"]


def test_tokens_are_counted_for_the_service_alone(started, controller) -> None:
    client, _, _ = started()
    client.count_tokens(modelId=ROUTE, input={"converse": {"messages": MESSAGES}})
    assert settle()["sent"] == 0


def test_about_as_many_are_copied_as_the_step_says(started, ask, sandbox) -> None:
    client, _, _ = started(25.0)
    for _ in range(120):
        ask(client)
    assert 10 <= settle()["sent"] <= 52  # 30 in the mean, four and a half standard deviations


def test_a_green_that_hangs_costs_no_caller_any_time(started, face, ask, sandbox, controller) -> None:
    client, _, green = started(shadow_concurrent=2, deadline=5)
    others = set(threading.enumerate())
    sandbox.fault("hang", model=green.targets[0].model_id)
    began = time.monotonic()
    for _ in range(12):
        ask(client)
    assert time.monotonic() - began < 20  # to wait for each copy would be 60 s
    counts = crossfade.health()["shadow"]
    assert counts["waiting"] == 4  # two under way and as many waiting
    assert counts["dropped"] == 8
    own = [thread for thread in threading.enumerate() if thread.name == "crossfade-shadow" and thread not in others]
    assert len(own) == (2 if face == "shim" else 0)
    settle()
    sandbox.settle()
    assert errors(controller) == {(0.0, 1.0): 4}
    assert [row["calls"] for row in rows(controller, "blue")] == [12]
    assert controller.total("raised") == 4  # of the copies


def test_copies_a_second_are_bounded(started, ask, sandbox) -> None:
    client, _, _ = started(shadow_per_second=0.01)
    for _ in range(5):
        ask(client)
    counts = settle()
    assert (counts["sent"], counts["dropped"]) == (1, 4)


@pytest.mark.parametrize(
    ("kind", "losses", "asked"),
    [
        ("model_error", (0.0, 1.0), 2),  # again after 50 ms, as any call
        ("malformed_output", (0.0, 1.0), 1),
        ("validation", (0.0, 1.0), 1),  # blue took the very same request
        ("throttle", None, 1),  # the account's quota is no fault of green's, and is for those who wait
        ("not_ready", None, 1),  # blue's would have been tried again after a second: no word on green
        ("internal", (0.0, 1.0), 2),
        ("access_denied", None, 1),
    ],
)
def test_a_failure_of_green_is_greens_alone(started, ask, sandbox, controller, calls, kind, losses, asked) -> None:
    client, _, green = started(not_ready_base=1.0)
    sandbox.fault(kind, model=green.targets[0].model_id)
    answer = ask(client)
    assert answer["ResponseMetadata"]["Crossfade"]["model"] == "blue"
    assert settle()["sent"] == 1
    assert errors(controller) == ({losses: 1} if losses else {})
    [copy] = rows(controller, "green")
    assert (copy["calls"], copy["copies"], copy.get("judged", 0)) == (1, 1, 1 if losses else 0)
    assert sum(copy["attempts"].values()) == asked
    assert [name for _, name, _ in calls()] == ["blue"] + ["green"] * asked  # never blue again, and no fallback


def test_a_failure_of_blue_makes_a_pair_too(started, ask, sandbox, controller) -> None:
    client, blue, _ = started()
    sandbox.fault("model_error", model=blue.targets[0].model_id)
    answer = ask(client)
    assert answer["ResponseMetadata"]["Crossfade"]["busy"]
    settle()
    assert errors(controller) == {(1.0, 0.0): 1}


def test_a_call_that_is_not_judged_is_not_copied(started, ask, sandbox, controller) -> None:
    client, blue, _ = started()
    sandbox.fault("validation", model=blue.targets[0].model_id)
    with pytest.raises(client.exceptions.ValidationException):
        ask(client)
    sandbox.clear()
    sandbox.fault("drip", seconds=0.05)
    client.converse_stream(modelId=ROUTE, messages=MESSAGES)["stream"].close()  # left
    until = time.monotonic() + 10
    while sum(row["calls"] for row in rows(controller, "blue")) < 2:  # beside the client with the next event
        assert time.monotonic() < until
        time.sleep(0.02)
    assert settle()["sent"] == 0


def test_a_stream_that_breaks_on_green_is_not_the_callers(started, sandbox, controller) -> None:
    client, _, green = started()
    sandbox.fault("exception_event", model=green.targets[0].model_id, after_events=3)
    assert list(client.converse_stream(modelId=ROUTE, messages=MESSAGES)["stream"])
    assert settle()["failed"] == 1
    assert errors(controller) == {(0.0, 1.0): 1}


def test_breakers_and_retries_of_copies_are_their_own(started, ask, sandbox) -> None:
    client, _, green = started(breaker_in_a_row=2)
    sandbox.fault("internal", model=green.targets[0].model_id)
    for _ in range(6):
        ask(client)
        settle()
    assert "open" not in json.dumps(crossfade.health()["breakers"])


def test_a_body_that_green_may_not_take_is_not_sent(started, sandbox, calls) -> None:
    client, _, _ = started(family=None)
    client.invoke_model(modelId=ROUTE, body=BODY)
    assert settle() == {"sent": 0, "dropped": 0, "unfit": 1, "failed": 0, "waiting": 0}
    client.converse(modelId=ROUTE, messages=MESSAGES)
    assert settle()["sent"] == 1


@in_the_service
def test_what_the_caller_does_to_its_request_afterwards_does_not_reach_the_copy(started, sandbox) -> None:
    client, _, green = started()
    sandbox.fault("latency", seconds=0.3, model=green.targets[0].model_id)
    seen: list[Any] = []
    client.meta.events.register(
        "before-send.bedrock-runtime", lambda request, **_: seen.append(json.loads(request.body))
    )
    messages = [{"role": "user", "content": [{"text": "first"}]}]
    client.converse(modelId=ROUTE, messages=messages)
    messages[0]["content"][0]["text"] = "changed"
    messages.append({"role": "assistant", "content": [{"text": "more"}]})
    settle()
    assert [len(body["messages"]) for body in seen] == [1, 1]
    assert seen[1]["messages"][0]["content"][0]["text"] == "first"


@in_the_service
def test_a_grader_scores_the_copy_under_its_own_call_id(started, ask, sandbox, controller) -> None:
    client, _, _ = started()
    seen: list[Shadowed] = []

    def grade(copy: Shadowed) -> None:
        seen.append(copy)
        crossfade.score(copy.call_id, "accuracy", 0.25)

    crossfade.shadowed(grade)
    answer = ask(client)
    crossfade.score(answer, "accuracy", 1.0)
    settle()
    assert crossfade.flush()
    [told] = seen
    call_id = answer["ResponseMetadata"]["Crossfade"]["call_id"]
    assert told.blue_call_id == call_id
    assert told.request["messages"][0]["content"][0]["text"] == "bonjour tout le monde"
    assert told.answer["output"]["message"]["content"]
    blue, green = callid.read(KEY, call_id), callid.read(KEY, told.call_id)
    assert (blue.variant, green.variant) == (Variant.BLUE, Variant.GREEN)
    assert (green.rollout, green.step, green.called_at) == (blue.rollout, blue.step, blue.called_at)
    assert green.call != blue.call
    assert green.call[:-1] == blue.call[:-1]
    assert sorted(item["value"] for item in controller.scores) == [0.25, 1.0]


@in_the_service
def test_a_grader_that_raises_disturbs_nobody(started, ask, sandbox, controller, caplog) -> None:
    client, _, _ = started()
    crossfade.shadowed(lambda copy: 1 / 0)
    for _ in range(3):
        ask(client)
        settle()
    assert errors(controller) == {(0.0, 0.0): 3}
    assert caplog.text.count("(crossfade.shadowed) raised") == 1


@in_the_service
def test_a_hook_of_the_service_that_trips_over_a_copy_says_nothing_of_green(started, ask, sandbox, controller) -> None:
    client, _, _ = started()
    service = threading.current_thread()

    def trip(**_: Any) -> None:
        if threading.current_thread() is not service:
            raise RuntimeError("not in my thread")

    client.meta.events.register("before-call.bedrock-runtime", trip)
    ask(client)
    assert settle()["failed"] == 1
    assert rows(controller, "green") == []


def test_a_fault_of_ours_in_copying_leaves_the_call_alone(started, ask, sandbox, controller, monkeypatch) -> None:
    client, _, _ = started()

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    for name in ("_chosen", "take"):
        with monkeypatch.context() as patch:
            patch.setattr(shadow.Shadow, name, broken)
            assert ask(client)["ResponseMetadata"]["Crossfade"]["model"] == "blue"
    assert controller.total("dropped") == 0
    assert settle()["sent"] == 0


def test_a_step_with_a_weight_copies_nothing(routed, snapshot, model, ask, sandbox, calls) -> None:
    client = routed(snapshot(model("blue", EAST), model("green", EAST), weight=0.0))
    ask(client)
    assert [name for _, name, _ in calls()] == ["blue"]


def test_a_process_ends_although_its_copies_hang(controller, settings, snapshot, model, sandbox, fast) -> None:
    green = model("green", EAST)
    sandbox.fault("hang", model=green.targets[0].model_id)
    controller.serve_snapshot(at_shadow(snapshot(model("blue", EAST), green, policy=replace(fast, deadline=60))))
    began = time.monotonic()
    run("for _ in range(6): ask()", controller, settings)
    assert time.monotonic() - began < 20
    assert controller.total("calls") == 6
    assert controller.total("copies") == 0


def test_a_forked_child_copies_by_itself(controller, settings, snapshot, model, sandbox, fast) -> None:
    many = replace(fast, shadow_per_second=1000, shadow_concurrent=8)
    controller.serve_snapshot(at_shadow(snapshot(model("blue", EAST), model("green", EAST), policy=many)))
    program = """
import time
def settled():
    while crossfade.health()["shadow"]["waiting"]:
        time.sleep(0.01)
ask()
settled()
pid = os.fork()
if pid == 0:
    client = boto3.client("bedrock-runtime")
    crossfade.enable(client, wait=5)
ask(); ask()
settled()
assert crossfade.health()["shadow"]["sent"] == (2 if pid == 0 else 3)
assert crossfade.flush()
if pid == 0:
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
"""
    run(program, controller, settings)
    assert controller.total("copies") == 5
    assert controller.total("calls") == 10


def test_the_snapshot_says_shadow_only_where_there_is_one(snapshot, model, sandbox) -> None:
    plain = snapshot(model("blue"), model("green"), weight=5.0)
    assert b"shadow" not in snapshot_to_bytes(plain)  # a shim of the version before can still read it
    assert read_snapshot(snapshot_to_bytes(plain)) == plain
    shadowed = at_shadow(plain, 12.5)
    assert read_snapshot(snapshot_to_bytes(shadowed)).entries[ROUTE].live == shadowed.entries[ROUTE].live


def test_a_pair_keeps_what_every_metric_asks_for() -> None:
    blue = Half(error=False, latency=0.5, first_token=0.1, cost=0.01, stop=Stop.END_TURN)
    green = Half(error=True, latency=3.0, cost=0.03, stop=Stop.MAX_TOKENS)
    key = pair_key(blue, green)
    assert PairLosses("error_rate", None).of(key) == (0.0, 1.0)
    assert PairLosses("latency", 1.0).of(key) == (0.0, 1.0)
    assert PairLosses("latency", 10.0).of(key) == (0.0, 0.0)
    assert PairLosses("first_token", 1.0).of(key) is None
    assert PairLosses("truncated_output", None).of(key) == (0.0, 1.0)
    cost = PairLosses("cost", 0.1).of(key)
    assert cost == (pytest.approx(0.1, rel=0.02), pytest.approx(0.3, rel=0.02))
    for bad in ("", "0,,,,", "2,,,,|0,,,,", "0,1001,,,|0,,,,", "0,,,,nonsense|0,,,,", key + "x", f"{key}|{key}"):
        assert not is_pair_key(bad), bad
