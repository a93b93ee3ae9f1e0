"""The feed: snapshots over long poll and from disk; the last good one is never lost to a bad one."""

from __future__ import annotations

import stat
import time
from typing import Any

import pytest

import crossfade
from crossfade.shim import runtime

ECHO = "crossfade.echo-v1:0"
MESSAGES = [{"role": "user", "content": [{"text": "hello"}]}]


def until(truth: Any, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not truth():
        assert time.monotonic() < end
        time.sleep(0.01)


def version() -> int | None:
    return crossfade.health()["snapshot_version"]


def test_a_new_snapshot_arrives_at_once_by_long_poll(routed, snapshot, model, ask, controller) -> None:
    blue, green = model("blue"), model("green")
    client = routed(snapshot(blue, green, weight=0))
    assert ask(client)["ResponseMetadata"]["Crossfade"]["variant"] == "blue"
    controller.serve_snapshot(snapshot(blue, green, weight=100))
    until(lambda: version() == 2)
    assert ask(client)["ResponseMetadata"]["Crossfade"]["variant"] == "green"


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"not json", b'{"format": 1, "routes": []}'], ids=["empty", "{}", "text", "no routes"]
)
def test_an_empty_or_malformed_snapshot_is_refused_and_the_last_good_one_stays(
    routed, snapshot, model, ask, controller, caplog, body
) -> None:
    client = routed(snapshot(model("blue")))
    path = runtime.current().feed.path
    until(path.exists)
    stored = path.read_bytes()
    controller.serve_snapshot(body)
    until(lambda: caplog.records)
    assert version() == 1
    assert path.read_bytes() == stored
    assert ask(client)["ResponseMetadata"]["Crossfade"]["model"] == "blue"


def test_a_snapshot_with_a_wrong_signature_is_refused(routed, snapshot, model, controller, caplog) -> None:
    routed(snapshot(model("blue")))
    controller.signature = "0" * 64
    controller.serve_snapshot(snapshot(model("other")))
    until(lambda: "not signed" in caplog.text)
    assert version() == 1


def test_the_last_good_snapshot_is_on_disk_for_this_user_only(routed, snapshot, model) -> None:
    routed(snapshot(model("blue")))
    until(lambda: runtime.current().feed.path.exists())
    assert stat.S_IMODE(runtime.current().feed.path.stat().st_mode) == 0o600
    assert [path.name for path in runtime.current().feed.path.parent.iterdir() if path.name.startswith(".")] == []


def restarted(controller: Any, settings: dict[str, Any], session: Any, snapshot: Any, *, edit: Any = None) -> Any:
    """A second start of the process, while the controller is away."""
    controller.serve_snapshot(snapshot)
    crossfade.install(session, **settings)
    path = runtime.current().feed.path
    until(path.exists)
    runtime.end(0.1)
    if edit:
        path.write_bytes(edit(path.read_bytes()))
    controller.snapshot_status = 503
    return crossfade.install(session, **settings | {"wait": 0.2})


def test_a_process_starts_from_disk_while_the_controller_is_away(
    controller, settings, session, snapshot, model, ask
) -> None:
    began = time.monotonic()
    restarted(controller, settings, session, snapshot(model("blue")))
    assert time.monotonic() - began < 8
    client = session.client("bedrock-runtime")
    assert ask(client)["ResponseMetadata"]["Crossfade"]["model"] == "blue"
    assert crossfade.health()["snapshot_age"] >= 0
    client.close()


@pytest.mark.parametrize("edit", [lambda b: b[: len(b) // 2], lambda b: b[:-1], lambda b: b""], ids=["half", "-1", "0"])
def test_a_snapshot_file_cut_in_half_is_refused_and_calls_go_to_plain_boto3_with_one_warning(
    controller, settings, session, snapshot, model, sandbox, caplog, edit
) -> None:
    restarted(controller, settings, session, snapshot(model("blue")), edit=edit)
    client = session.client("bedrock-runtime", endpoint_url=sandbox.endpoint("us-east-1"))
    for _ in range(2):
        assert "Crossfade" not in client.converse(modelId=ECHO, messages=MESSAGES)["ResponseMetadata"]
    client.close()
    assert [r.message.partition(" (")[0] for r in caplog.records if "stored" in r.message] == [
        "the stored snapshot is cut or altered and is not used"
    ]


def test_the_first_call_is_never_held_up_by_an_absent_controller(settings, session, sandbox, caplog) -> None:
    began = time.monotonic()
    crossfade.install(session, **settings | {"url": "http://127.0.0.1:9", "wait": 0.2})
    client = session.client("bedrock-runtime", endpoint_url=sandbox.endpoint("us-east-1"))
    client.converse(modelId=ECHO, messages=MESSAGES)
    assert time.monotonic() - began < 8
    assert "calls go to Bedrock as they are" in caplog.text
    client.close()


def test_an_unwritable_state_folder_is_said_and_nothing_else(
    controller, settings, session, snapshot, model, ask, tmp_path, caplog
) -> None:
    (tmp_path / "file").write_text("")
    controller.serve_snapshot(snapshot(model("blue")))
    crossfade.install(session, **settings | {"state_dir": tmp_path / "file"})
    client = session.client("bedrock-runtime")
    assert ask(client)["ResponseMetadata"]["Crossfade"]["model"] == "blue"
    until(lambda: "cannot be kept on disk" in caplog.text)
    client.close()
