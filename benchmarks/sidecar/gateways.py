"""Gateways: what stands between caller and Bedrock, each with one worker: the floor, the sidecar, LiteLLM's proxy."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.controller import controller, snapshot_of
from crossfade.core.model import Model, Price, Target
from crossfade.core.route import Route
from crossfade.core.snapshot import Entry, Live, Snapshot

CHECKOUT = Path(__file__).resolve().parents[2]
MODELS = ("instant", "late", "burst", "paced", "held")
"""Names of routes, and of what the upstream knows."""
FLOOR, SIDECAR, LITELLM = "floor", "sidecar", "litellm"
_REGIONS = ("us-east-1", "us-west-2")
_START_SECONDS = 90
_STOP_SECONDS = 15
KEY = f"sk-{secrets.token_hex(32)}"
"""LiteLLM's proxy does not start without one."""
_KEYS = {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "benchmark", "AWS_REGION": _REGIONS[0]}


class Gateway:
    """A process that listens at `port`, and its children."""

    def __init__(self, name: str, process: subprocess.Popen[str], port: int) -> None:
        self.name = name
        self.port = port
        self._process = process

    def cpu(self) -> float:
        """Seconds of the processor that all its processes have had, in nanoseconds' detail."""
        return sum(time.clock_gettime(_clock(pid)) for pid in self._pids())

    def resident(self) -> int:
        """Bytes of memory they hold."""
        pages = (int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self._pids())
        return sum(pages) * resource.getpagesize()

    def _pids(self) -> list[int]:
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/children")
        return [self._process.pid, *(int(pid) for task in tasks for pid in task.read_text().split())]


def _clock(pid: int) -> int:
    """The clock of another process's CPU time, as clock_getcpuclockid(3) would name it. Linux only."""
    return (~pid << 3) | 2


@contextlib.contextmanager
def floor(upstream: int) -> Iterator[Gateway]:
    command = [sys.executable, "-m", "benchmarks.sidecar.floor", f"http://127.0.0.1:{upstream}"]
    with _running(FLOOR, command, {}, "/model/instant/converse") as gateway:
        yield gateway


@contextlib.contextmanager
def sidecar(upstream: int) -> Iterator[Gateway]:
    """Every route has a live rollout at 50 %, and Models with two regions."""
    with controller(_snapshot(upstream)) as settings:
        told = {
            "CROSSFADE_URL": str(settings["url"]),
            "CROSSFADE_TOKEN": str(settings["token"]),
            "CROSSFADE_STATE_DIR": str(settings["state_dir"]),
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": f"http://127.0.0.1:{upstream}",
        }
        command = [sys.executable, "-m", "crossfade", "sidecar", "--port", "0"]
        with _running(SIDECAR, command, told, "/readyz") as gateway:
            yield gateway


@contextlib.contextmanager
def litellm(upstream: int, python: str) -> Iterator[Gateway]:
    """Raises `OSError` where that Python has none."""
    with TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(json.dumps({"model_list": [_deployment(name, upstream) for name in MODELS]}))
        port = _free()
        start = f"import litellm; print('http://127.0.0.1:{port}', flush=True); litellm.run_server()"
        command = [python, "-c", start, "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
        # It asks the network at its start otherwise.
        told = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "CRITICAL", "LITELLM_MASTER_KEY": KEY}
        with _running(LITELLM, command, told, "/health/liveliness") as gateway:
            yield gateway


@contextlib.contextmanager
def _running(name: str, command: Sequence[str], told: Mapping[str, str], ready: str) -> Iterator[Gateway]:
    """The command's process, once it has said where it listens and answers GET `ready` with 200."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "CROSSFADE_"))}
    process = subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env={**clean, **_KEYS, **told},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise OSError(f"its process ended with exit code {process.wait()}")
        port = int(line.rpartition(":")[2])
        _wait(process, port, ready)
        yield Gateway(name, process, port)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _wait(process: subprocess.Popen[str], port: int, path: str) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise OSError(f"its process ended with exit code {process.returncode}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    raise OSError(f"it did not answer within {_START_SECONDS} s")


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _snapshot(upstream: int) -> Snapshot:
    models = {}
    for name in MODELS:
        targets = tuple(
            Target(region=region, model_id=name, endpoint_url=f"http://127.0.0.1:{upstream}") for region in _REGIONS
        )
        for variant in ("blue", "green"):
            price = Price(input_per_1k=0.001, output_per_1k=0.005)
            models[f"{name}-{variant}"] = Model(name=f"{name}-{variant}", targets=targets, price=price)
    entries = (
        Entry(
            id=number,
            route=Route(name=name, blue=f"{name}-blue"),
            live=Live(rollout=number, step=1, weight=50.0, salt=name, green=f"{name}-green"),
        )
        for number, name in enumerate(MODELS, 1)
    )
    return snapshot_of(entries, models.values())


def _deployment(name: str, upstream: int) -> dict[str, object]:
    where = {
        "aws_bedrock_runtime_endpoint": f"http://127.0.0.1:{upstream}",
        "aws_access_key_id": "benchmark",
        "aws_secret_access_key": "benchmark",
        "aws_region_name": _REGIONS[0],
    }
    return {"model_name": name, "litellm_params": {"model": f"bedrock/converse/{name}", **where}}
