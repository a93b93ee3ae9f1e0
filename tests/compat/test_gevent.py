"""Under gevent, in a process of its own: everything in it is patched before Crossfade is imported."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from service import started

PROGRAM = """
from gevent import monkey
monkey.patch_all()
import gevent, time
import boto3, crossfade
client = boto3.client("bedrock-runtime")
crossfade.enable(client, wait=5)
def ask(number):
    with crossfade.context(key=f"user-{number}"):
        messages = [{"role": "user", "content": [{"text": f"text {number}"}]}]
        stream = client.converse_stream(modelId="support-chat", messages=messages)["stream"]
        said = "".join(e["contentBlockDelta"]["delta"]["text"] for e in stream if "contentBlockDelta" in e)
        whole = client.converse(modelId="support-chat", messages=messages)
        return said, whole["output"]["message"]["content"][0]["text"], whole["ResponseMetadata"]["Crossfade"]["region"]
jobs = [gevent.spawn(ask, number) for number in range(20)]
gevent.joinall(jobs, raise_error=True, timeout=50)
expected = [(f"text {n}", f"text {n}", "us-west-2") for n in range(20)]
assert [job.value for job in jobs] == expected, [job.value for job in jobs]
"""


def test_greenlets_share_a_client_and_a_hanging_region_is_left_in_time(
    controller: Any, settings: Any, snapshot: Any, model: Any, fast: Any, sandbox: Any
) -> None:
    controller.serve_snapshot(snapshot(model("blue"), policy=replace(fast, deadline=2.0, first_token=0.5)))
    sandbox.fault("hang", region="us-east-1")
    done = started(PROGRAM, controller, settings, seconds=90, options=("-W", "ignore"))
    said = done.stderr.splitlines()
    assert (done.returncode, len(said)) == (0, 1)
    assert said[0].startswith("Bedrock in us-east-1 was asked in vain (timed_out: ")
    assert controller.total("calls") == controller.total("keyed") == 40, "delivered at the process's end"
    assert controller.total("outcomes") == {"ok": 40}
    assert controller.total("attempts")["timed_out"] > 0
