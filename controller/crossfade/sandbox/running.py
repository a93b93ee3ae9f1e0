"""A sandbox as a child process, for tests and demos. Needs the extra `crossfade[demo]` in this environment.

with Sandbox() as sandbox:
    client = sandbox.client("us-east-1")
    sandbox.fault("throttle", region="us-east-1", count=2)
    ...
    sandbox.log()
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from functools import cached_property
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from crossfade.errors import Invalid, NotFound, Problem, SetupError, Unavailable

REGIONS = ("us-east-1", "us-west-2", "eu-west-1")
_START_SECONDS = 30
_STOP_SECONDS = 5
_PAGE = 10_000


class Sandbox:
    """A running sandbox. It ends with `stop()`, at the end of the `with`, and with this process at the latest.

    `models` is which to load: the echo alone starts in a fifth of the time. `client()` and `start()` raise
    SetupError, the others Unavailable when the sandbox is gone, Invalid and NotFound as the control port says.
    """

    def __init__(
        self,
        regions: Sequence[str] = REGIONS,
        *,
        ports: Sequence[int] = (),
        control_port: int = 0,
        models: Sequence[str] = ("langdetect", "py3langid", "echo"),
        seed: int = 0,
    ) -> None:
        self.regions = tuple(regions)
        self.control_url = ""
        self._arguments = [
            "--regions", ",".join(regions), "--ports", ",".join(map(str, ports)),
            "--control-port", str(control_port), "--models", ",".join(models), "--seed", str(seed),
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self._endpoints: dict[str, str] = {}
        self._session_lock = threading.Lock()

    # life

    def start(self) -> Self:
        """Start and wait until every port listens."""
        command = [
            sys.executable, "-m", "crossfade.sandbox", *self._arguments,
            "--print-json", "--until-stdin-closes", "--parent", str(os.getpid()),
        ]  # fmt: skip
        with tempfile.TemporaryFile() as complaints:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints)
            assert self._process.stdout is not None
            answered, _, _ = select.select([self._process.stdout], [], [], _START_SECONDS)
            line = self._process.stdout.readline() if answered else b""
            if not line:
                self.stop()
                complaints.seek(0)
                why = complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
                raise SetupError(why or f"the sandbox was not ready within {_START_SECONDS} s")
        ready = json.loads(line)
        self._endpoints = ready["regions"]
        self.control_url = ready["control_url"]
        return self

    def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL after five seconds. Safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    # calling it

    def endpoint(self, region: str) -> str:
        """The URL of a region, for `endpoint_url`; runtime and control plane share it."""
        return self._endpoints[region]

    def client(self, region: str, service: str = "bedrock-runtime", **config: Any) -> Any:
        """A boto3 client for a region: throwaway credentials, one attempt, read timeout 10 s; `config` overrides."""
        from botocore.config import Config

        settings = {"retries": {"total_max_attempts": 1}, "read_timeout": 10, "connect_timeout": 3, **config}
        with self._session_lock:
            return self._session.client(
                service,
                region_name=region,
                endpoint_url=self.endpoint(region),
                aws_access_key_id="sandbox",
                aws_secret_access_key="sandbox",  # noqa: S106  (the sandbox verifies nothing)
                config=Config(**settings),
            )

    @cached_property
    def _session(self) -> Any:
        # One for all clients: reading Bedrock's service model takes 100 ms a session.
        import boto3

        return boto3.session.Session()

    # faults and quotas

    def fault(
        self,
        kind: str,
        *,
        region: str | None = None,
        model: str | None = None,
        operation: str | None = None,
        count: int | None = None,
        probability: float = 1.0,
        **params: Any,
    ) -> int:
        """Put a fault in force (kinds and params: README.md beside this file); its id, for `clear`."""
        order = {
            "kind": kind,
            "region": region,
            "model": model,
            "operation": operation,
            "count": count,
            "probability": probability,
            "params": params,
        }
        return int(self._ask("POST", "/faults", order)["id"])

    def faults(self) -> list[dict[str, Any]]:
        """The faults in force, with how often each was met (`hits`)."""
        return list(self._ask("GET", "/faults")["faults"])

    def clear(self, fault_id: int | None = None) -> None:
        """End one fault, or all faults and quotas."""
        if fault_id is not None:
            self._ask("DELETE", f"/faults/{fault_id}")
            return
        self._ask("DELETE", "/faults")
        self._ask("DELETE", "/quota")

    def quota(
        self,
        *,
        region: str | None = None,
        model: str | None = None,
        tokens_per_minute: float | None = None,
        requests_per_second: float | None = None,
        burst: float | None = None,
    ) -> None:
        """Limit each (region, model) in scope; above it the sandbox answers 429 ThrottlingException."""
        order = {
            "region": region,
            "model": model,
            "tokens_per_minute": tokens_per_minute,
            "requests_per_second": requests_per_second,
            "burst": burst,
        }
        self._ask("PUT", "/quota", order)

    # the log

    def log(self, since: int = 0) -> list[dict[str, Any]]:
        """Every call that ended after entry number `since`, oldest first (of the newest 200 000)."""
        entries: list[dict[str, Any]] = []
        while True:
            page = self._ask("GET", f"/log?since={since}&limit={_PAGE}")["entries"]
            entries += page
            if len(page) < _PAGE:
                return entries
            since = page[-1]["seq"]

    def counts(self) -> dict[str, Any]:
        """{"in_flight", "rows": [{"region", "model", "operation", "outcome", "calls"}]}, never truncated."""
        return self._ask("GET", "/counts")

    def clear_log(self) -> None:
        """Empty the log and start the totals from 0."""
        self._ask("DELETE", "/log")

    def settle(self, seconds: float = 5.0) -> None:
        """Wait until no call is in flight. Raises Unavailable after `seconds`."""
        end = time.monotonic() + seconds
        while self.counts()["in_flight"]:
            if time.monotonic() > end:
                raise Unavailable(f"calls are still in flight after {seconds:g} s; clear the fault that holds them")
            time.sleep(0.01)

    def _ask(self, method: str, path: str, order: dict[str, Any] | None = None) -> dict[str, Any]:
        location = urlsplit(self.control_url)
        connection = http.client.HTTPConnection(location.hostname or "", location.port, timeout=10)
        body = None if order is None else json.dumps(order)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if order else {})
            reply = connection.getresponse()
            document: dict[str, Any] = json.loads(reply.read())
        except OSError as error:
            raise Unavailable(
                f"the sandbox at {self.control_url or '(not started)'} does not answer: {error}"
            ) from None
        finally:
            connection.close()
        if reply.status == 422:
            raise Invalid([Problem(problem["path"], problem["message"]) for problem in document["problems"]])
        if reply.status == 404:
            raise NotFound(document["detail"])
        if reply.status >= 400:
            raise Unavailable(f"the sandbox refused {method} {path}: {document['detail']}")
        return document
