"""The sidecar as processes: workers share one feed and one recorder, and what is under way is finished at the end."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .conftest import EAST, ROUTE, WEST, Caller, Process


def until(holds: Any, seconds: float = 15.0) -> None:
    """Waits until `holds()`, or fails."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.05)


def ready(process: Process) -> Caller:
    caller = Caller(process.port)

    def answers() -> bool:
        try:
            return caller.ask("GET", "/readyz").status == 200
        except OSError:
            return False

    until(answers)
    return caller


def test_two_workers_count_every_call_once_under_one_shim(
    snapshot, model, sandbox, controller, environment, calls
) -> None:
    controller.serve_snapshot(snapshot(model("blue"), model("green"), weight=50))
    with Process("--workers", "2", **environment) as process:
        caller = ready(process)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda i: caller.converse(x_crossfade_key=f"user-{i % 7}"), range(60)))
        assert {answer.status for answer in answers} == {200}
        by_key = {(i % 7, answer.headers["x-crossfade-variant"]) for i, answer in enumerate(answers)}
        assert len(by_key) == 7, "a key is on one variant, whichever worker answers"
        until(lambda: controller.total("calls") == 60)
        assert {batch["shim"] for batch in controller.batches} == {controller.batches[0]["shim"]}
        until(lambda: _sum(caller, "crossfade_calls_total") == 60)
        until(lambda: "crossfade_workers 2" in caller.ask("GET", "/metrics").body.decode())
    assert process.wait() == 0
    assert process.said == []


def _sum(caller: Caller, name: str) -> float:
    lines = caller.ask("GET", "/metrics").body.decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{"))


def test_a_new_snapshot_reaches_the_workers_and_a_worker_that_dies_is_replaced(
    snapshot, model, sandbox, controller, environment
) -> None:
    blue, green = model("blue"), model("green")
    controller.serve_snapshot(snapshot(blue, green, weight=0))
    with Process(**environment) as process:
        caller = ready(process)
        assert caller.converse().headers["x-crossfade-model"] == "blue"
        controller.serve_snapshot(snapshot(blue, green, weight=100))
        until(lambda: caller.converse().headers["x-crossfade-model"] == "green")
        [worker] = _children(process.pid)
        os.kill(worker, signal.SIGKILL)
        until(lambda: _children(process.pid) not in ([], [worker]))
        ready(process)
        until(lambda: caller.converse().headers.get("x-crossfade-model") == "green")


def _children(pid: int) -> list[int]:
    """The worker processes, without multiprocessing's own helper."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and "resource_tracker" not in (folder / "cmdline").read_text():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def test_at_sigterm_calls_under_way_are_finished_and_counted(snapshot, model, sandbox, controller, environment) -> None:
    controller.serve_snapshot(snapshot(model("blue")))
    sandbox.fault("latency", seconds=1.0)
    with Process(**environment) as process:
        caller = ready(process)
        replies: list[Any] = []
        asking = threading.Thread(target=lambda: replies.append(caller.converse()))
        asking.start()
        until(lambda: sandbox.counts()["in_flight"] == 1)
        process.terminate()
        asking.join(10)
        assert process.wait() == 0
    assert [reply.status for reply in replies] == [200]
    assert controller.total("calls") == 1


def test_workers_end_when_the_first_process_is_gone(snapshot, model, sandbox, controller, environment) -> None:
    controller.serve_snapshot(snapshot(model("blue")))
    with Process(**environment) as process:
        ready(process)
        workers = _children(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in workers))


def test_it_listens_on_a_unix_socket_only_for_its_own_user(
    snapshot, model, sandbox, controller, environment, tmp_path
) -> None:
    controller.serve_snapshot(snapshot(model("blue")))
    path = tmp_path / "sidecar.sock"

    def answers() -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            if connection.connect_ex(str(path)) != 0:
                return False
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return connection.recv(1000).startswith(b"HTTP/1.1 200")

    for _ in range(2):  # the socket of one that was killed is no obstacle
        with Process("--socket", str(path), **environment) as process:
            until(answers)
            assert path.stat().st_mode & 0o077 == 0
            for pid in [*_children(process.pid), process.pid]:
                os.kill(pid, signal.SIGKILL)
            process.wait()


def test_it_listens_on_the_address_of_a_name(snapshot, model, sandbox, controller, environment) -> None:
    controller.serve_snapshot(snapshot(model("blue")))
    with Process("--host", "localhost", **environment) as process:
        assert ready(process).converse().status == 200
        assert _children(process.pid)
    assert process.wait() == 0


def test_without_credentials_it_says_so_at_the_start_and_once_for_all_calls_refused(
    snapshot, model, sandbox, controller, environment, tmp_path
) -> None:
    controller.serve_snapshot(snapshot(model("blue")))
    nobody = environment | {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)}
    del nobody["AWS_ACCESS_KEY_ID"], nobody["AWS_SECRET_ACCESS_KEY"]
    with Process(**nobody) as process:
        caller = ready(process)
        replies = [caller.converse(model_id) for model_id in (ROUTE, ROUTE, "us.no-route-v1:0")]
    assert process.wait() == 0
    assert [reply.status for reply in replies] == [403, 403, 403]
    assert len(process.said) == 2
    assert "WARNING the sidecar has found no AWS credentials" in process.said[0]
    assert "was asked in vain (credentials: Unable to locate credentials)" in process.said[1]


def test_each_kind_of_failure_is_one_line_however_many_calls_meet_it(
    snapshot, model, sandbox, controller, environment
) -> None:
    controller.serve_snapshot(snapshot(model("blue")))
    with Process(**environment) as process:
        caller = ready(process)
        assert caller.converse().status == 200
        sandbox.fault("access_denied")
        assert [caller.converse().status for _ in range(3)] == [403, 403, 403]
        sandbox.clear()
        sandbox.fault("validation")
        assert caller.converse().status == 400
    assert process.wait() == 0
    [line] = process.said
    assert "was asked in vain (denied: " in line


def test_another_region_is_asked_and_the_signature_is_for_it(snapshot, model, sandbox, controller, environment) -> None:
    controller.serve_snapshot(snapshot(model("blue")))
    sandbox.fault("unavailable", region=EAST)
    with Process(**environment) as process:
        reply = ready(process).converse(ROUTE)
    assert (reply.headers["x-crossfade-region"], reply.headers["x-crossfade-attempts"]) == (WEST, "2")
    sandbox.settle()
    assert [(entry["region"], entry["signed_region"]) for entry in sandbox.log()] == [(EAST, EAST), (WEST, WEST)]
