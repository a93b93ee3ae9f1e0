"""A service under uwsgi with several processes: it is loaded, and Crossfade set up, before uwsgi forks its workers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

EAST, WEST = "us-east-1", "us-west-2"
CALLS = 60

SERVICE = """
import json, os
import boto3, crossfade
client = crossfade.enable(boto3.client("bedrock-runtime"), wait=5)
loaded_in = os.getpid()

def application(environ, start_response):
    text = environ["QUERY_STRING"]
    with crossfade.context(key=text):
        answer = client.converse(modelId="support-chat", messages=[{"role": "user", "content": [{"text": text}]}])
    start_response("200 OK", [])
    said = {"text": answer["output"]["message"]["content"][0]["text"], "loaded_in": loaded_in, "process": os.getpid(),
            "shim": crossfade.health()["shim"], "attempts": answer["ResponseMetadata"]["Crossfade"]["attempts"]}
    return [json.dumps(said).encode()]
"""


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_idle(stats: Path) -> None:
    """A worker in the middle of a request would leave out Python's exit handlers, and the last delivery with them."""
    until = time.monotonic() + 30
    while True:
        with closing(socket.socket(socket.AF_UNIX)) as asking, asking.makefile("rb") as answer:
            asking.connect(str(stats))
            workers = json.load(answer)["workers"]
        busy = any(core["in_request"] for worker in workers for core in worker["cores"])
        if not busy and all(worker["apps"] for worker in workers):  # a worker of --lazy-apps may be loading yet
            return
        assert time.monotonic() < until, workers
        time.sleep(0.05)


@contextmanager
def uwsgi(options: list[str], folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """The address of the service; at the end uwsgi is told to end, and each of its workers must, by itself."""
    (folder / "service.py").write_text(SERVICE)
    log = folder / "uwsgi.log"
    port, stats = free_port(), folder / "stats.sock"
    command = [
        *(sys.executable, "-c", "import pyuwsgi; pyuwsgi.run()", "--master", "--processes", "3", "--need-app"),
        *("--http-socket", f"127.0.0.1:{port}", "--wsgi-file", str(folder / "service.py"), "--stats", str(stats)),
        *("--die-on-term", "--worker-reload-mercy", "20", "--disable-logging", *options),
    ]
    with log.open("w") as said, subprocess.Popen(command, env=environment, stdout=said, stderr=said) as process:
        try:
            until = time.monotonic() + 30
            while True:
                with closing(socket.socket()) as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert time.monotonic() < until, log.read_text()
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}/"
            wait_until_idle(stats)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
    assert "NO MERCY" not in log.read_text(), "a worker hung at its end"
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.mark.parametrize(
    ("options", "flush_seconds"),
    [
        ("--enable-threads", 0.1),
        ("--threads 4", 600),
        ("--threads 4", 0.1),
        ("--threads 4 --py-call-uwsgi-fork-hooks", 600),
        ("--enable-threads --py-call-osafterfork", 600),
        ("--enable-threads --lazy-apps", 600),
        ("--enable-threads --lazy-apps", 0.1),
        ("", 600),
    ],
)
def test_every_worker_has_a_shim_of_its_own_and_nothing_is_lost_or_counted_twice(
    controller: Any, settings: Any, snapshot: Any, model: Any, calls: Any, sandbox: Any, tmp_path: Path,
    options: str, flush_seconds: float,
) -> None:  # fmt: skip
    """Deliveries every 0.1 s are many; every 600 s there is one, by the exit handlers of each worker."""
    controller.serve_snapshot(snapshot(model("blue"), model("green"), weight=50))
    environment = os.environ | {
        "CROSSFADE_URL": controller.url,
        "CROSSFADE_TOKEN": settings["token"],
        "CROSSFADE_STATE_DIR": str(settings["state_dir"]),
        "CROSSFADE_FLUSH_SECONDS": str(flush_seconds),
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": EAST,
    }
    sandbox.fault("unavailable", region=EAST, probability=0.3)
    with uwsgi(options.split(), tmp_path, environment) as address:

        def ask(number: int) -> dict[str, Any]:
            with urllib.request.urlopen(f"{address}?user-{number}", timeout=60) as answer:
                return dict(json.load(answer))

        with ThreadPoolExecutor(8) as pool:
            said = list(pool.map(ask, range(CALLS)))
    assert [one["text"] for one in said] == [f"user-{number}" for number in range(CALLS)]
    shims = {one["process"]: one["shim"] for one in said}
    assert len(set(shims.values())) == len(shims), "two workers share a shim"
    assert {(one["process"], one["shim"]) for one in said} == set(shims.items()), "a worker has more than one"
    assert all((one["loaded_in"] == one["process"]) == ("--lazy-apps" in options) for one in said)
    counted = Counter[str]()
    for batch in controller.batches:
        counted[batch["shim"]] += sum(row["calls"] for row in batch["rows"])
    assert counted == Counter(one["shim"] for one in said), "lost, or counted twice"
    for shim in shims.values():
        numbers = sorted(number for of, number in controller.seen if of == shim)
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert all(len(bodies) == 1 for bodies in controller.seen.values()), "a batch was sent again"
    assert controller.total("keyed") == controller.total("calls") == CALLS
    assert sum(controller.total("attempts").values()) == len(calls()) == sum(one["attempts"] for one in said)
