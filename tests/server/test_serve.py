"""The controller as a process: finishes what it began, lets those who wait go, and says in one line why it cannot."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from plane import DECLARED, SECRET  # type: ignore[import-not-found]

from crossfade.server import database
from crossfade.server.usecases import apply
from crossfade.server.usecases.tokens import create_token


def environment(url: str, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": url,
        "CROSSFADE_SECRET": SECRET,
        "PYTHONUNBUFFERED": "1",
        **more,
    }


@contextmanager
def controller(url: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "crossfade", "controller", "--port", "0"],
        env=environment(url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        port = int(re.findall(r":(\d+)", process.stdout.readline())[-1])
        yield process, port
    finally:
        process.kill()
        process.communicate(timeout=20)


def get(port: int, path: str, **headers: str) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=40)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, dict(answer.headers)
    finally:
        connection.close()


def test_a_stop_lets_waiting_shims_go_and_finishes_in_time(database_url: str) -> None:
    engine = database.connect(database_url)
    now = datetime.now(UTC)
    apply.apply_declarations(engine, DECLARED, actor="ann", now=now)
    _, token = create_token(engine, {"name": "s", "role": "shim"}, actor="ann", now=now, secret=SECRET)
    engine.dispose()
    answers: list[int] = []
    with controller(database_url) as (process, port):
        bearer = {"Authorization": f"Bearer {token}"}
        status, headers = get(port, "/v1/snapshot", **bearer)
        assert status == 200
        tag = headers["ETag"]

        def wait() -> None:
            answers.append(get(port, "/v1/snapshot?wait=30", **bearer, **{"If-None-Match": tag})[0])

        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(1)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        waiting.join(20)
        assert time.monotonic() - began < 10
        assert process.returncode == 0
    assert answers == [304]


def test_a_taken_port_is_one_line_and_exit_2(database_url: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = _run(database_url, "--port", str(port))
    assert ended.returncode == 2
    assert len(ended.stderr.strip().splitlines()) == 1
    assert f"port {port}" in ended.stderr
    assert "CROSSFADE_PORT" in ended.stderr


def test_a_database_that_cannot_be_used_is_one_line_and_exit_2() -> None:
    for url, word in (("mysql://x", "DATABASE_URL"), ("postgresql://x@127.0.0.1:1/x", "DATABASE_URL")):
        ended = _run(url)
        assert ended.returncode == 2
        assert len(ended.stderr.strip().splitlines()) == 1
        assert word in ended.stderr


def _run(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "crossfade", "controller", *arguments],
        env=environment(url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
