"""A real sandbox Bedrock over sockets, and a controller faked at its narrowest seam: HTTP."""

from __future__ import annotations

import itertools
import json
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.eventstream import EventStream

import crossfade
from crossfade.core.model import Model, Price, Target
from crossfade.core.observation import read_batch
from crossfade.core.policy import Settings
from crossfade.core.route import Route
from crossfade.core.snapshot import Entry, Live, Snapshot, sign, snapshot_to_bytes
from crossfade.errors import Invalid
from crossfade.sandbox.running import Sandbox
from crossfade.shim import client as shim_client
from crossfade.shim import context, runtime
from crossfade.shim import settings as shim_settings

from .beside import Port, sidecar

sys.path.insert(0, str(Path(__file__).parent))  # for `service`: test files are not a package

TOKEN = "cft_test"
SIGNING_KEY = bytes(range(32))
ROUTE = "support-chat"
EAST, WEST, EU = "us-east-1", "us-west-2", "eu-west-1"
FAST = Settings(
    throttled_base=0.01,
    not_ready_base=0.01,
    breaker_in_a_row=1000,
    breaker_least=10_000,
    retry_per_second=1000,
    deadline=10,
    connect=1,
)
"""Small waits, and breakers that stay out of the way where they are not what is tested."""


class FakeController(ThreadingHTTPServer):
    """Serves one snapshot, keeps what it is sent, and misbehaves as told. `seen` maps (shim, sequence) to bodies."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.body = b""
        self.version = 0
        self.changed = threading.Condition()
        self.status = 0
        """Answer this to every POST instead of taking it."""
        self.refuse_scores: set[int] = set()
        self.signature: str | None = None
        self.snapshot_status = 0
        self.batches: list[dict[str, Any]] = []
        self.seen: dict[tuple[str, int], list[bytes]] = {}
        self.scores: list[dict[str, Any]] = []
        self.posts = 0
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def serve_snapshot(self, snapshot: Snapshot | bytes) -> None:
        with self.changed:
            self.version += 1
            self.body = (
                snapshot if isinstance(snapshot, bytes) else snapshot_to_bytes(replace(snapshot, version=self.version))
            )
            self.changed.notify_all()

    def stop(self) -> None:
        with self.changed:
            self.version = -1
            self.changed.notify_all()
        self.shutdown()
        self.server_close()
        self._thread.join()

    def rows(self) -> list[dict[str, Any]]:
        return [row for batch in self.batches for row in batch["rows"]]

    def total(self, name: str) -> Any:
        """A count summed over all rows, or a Counter for `outcomes` and `attempts`."""
        if name in ("outcomes", "attempts"):
            found: Counter[str] = Counter()
            for row in self.rows():
                found.update(row.get(name, {}))
            return dict(found)
        return sum(row.get(name, 0) for row in self.rows())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeController

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        known = self.headers.get("If-None-Match")
        until = time.monotonic() + min(2.0, float(self.path.partition("wait=")[2] or 0))
        with server.changed:
            while known == f'"{server.version}"' and (left := until - time.monotonic()) > 0:
                server.changed.wait(left)
            body, version = server.body, server.version
        if server.snapshot_status:
            return self._answer(server.snapshot_status, b"{}")
        if known == f'"{version}"':
            return self._answer(304, b"")
        signature = server.signature or sign(TOKEN, body)
        return self._answer(200, body, {"ETag": f'"{version}"', "X-Crossfade-Signature": signature})

    def do_POST(self) -> None:
        server = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.posts += 1
        if server.status:
            return self._answer(server.status, b'{"detail": "as the test asked"}')
        document = json.loads(body)
        if self.path == "/v1/scores":
            bad = [i for i in range(len(document["scores"])) if i in server.refuse_scores]
            if bad:
                server.refuse_scores = set()
                problems = [{"path": f"scores[{i}].call_id", "message": "is altered"} for i in bad]
                return self._answer(422, json.dumps({"detail": "refused", "problems": problems}).encode())
            server.scores += document["scores"]
            return self._answer(200, b'{"accepted": 1}')
        try:
            read_batch(document, now=time.time(), oldest=time.time() - 86_400)
        except Invalid as error:
            return self._answer(422, json.dumps({"detail": str(error)}).encode())
        key = (document["shim"], document["sequence"])
        first = key not in server.seen
        server.seen.setdefault(key, []).append(body)
        if first:
            server.batches.append(document)
        return self._answer(200, json.dumps({"counted": first}).encode())

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        try:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            if status != 304:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True


@pytest.fixture(scope="session")
def sandbox_process() -> Iterator[Sandbox]:
    with Sandbox(models=("echo",)) as running:
        yield running


@pytest.fixture
def sandbox(sandbox_process: Sandbox) -> Sandbox:
    sandbox_process.clear()
    sandbox_process.clear_log()
    return sandbox_process


@pytest.fixture
def controller() -> Iterator[FakeController]:
    found = FakeController()
    yield found
    runtime.end(1.0)
    found.stop()


@pytest.fixture(scope="session")
def port() -> Iterator[Port]:
    with Port() as listening:
        yield listening


_ids = itertools.count(1)


@pytest.fixture
def model(sandbox: Sandbox) -> Callable[..., Model]:
    """Makes a Model of the sandbox's echo in the given regions."""

    def make(name: str, *regions: str, family: str | None = "anthropic") -> Model:
        # A number in the id keeps what one test does to a target out of every other test.
        model_id = f"crossfade.echo-{name}{next(_ids)}-v1:0"
        targets = tuple(
            Target(region=r, model_id=model_id, endpoint_url=sandbox.endpoint(r)) for r in regions or (EAST, WEST)
        )
        return Model(name=name, targets=targets, body_family=family, price=Price(input_per_1k=1.0, output_per_1k=2.0))

    return make


@pytest.fixture
def snapshot() -> Callable[..., Snapshot]:
    """Makes a snapshot of one route; with `green`, in a rollout at `weight` percent."""

    def make(
        blue: Model,
        green: Model | None = None,
        *,
        weight: float = 100.0,
        fallbacks: tuple[Model, ...] = (),
        policy: Settings = FAST,
        route: Route | None = None,
        more: tuple[Entry, ...] = (),
    ) -> Snapshot:
        named = route or Route(name=ROUTE, blue=blue.name, fallbacks=tuple(m.name for m in fallbacks), policy=policy)
        live = Live(rollout=12, step=1, weight=weight, salt="s", green=green.name) if green else None
        models = [blue, *([green] if green else []), *fallbacks]
        return Snapshot(
            version=1,
            issued_at=time.time(),
            bucket_seconds=10,
            signing_key=SIGNING_KEY,
            entries={e.route.name: e for e in (Entry(id=3, route=named, live=live), *more)},
            models={m.name: m for m in models},
        )

    return make


@pytest.fixture
def settings(controller: FakeController, tmp_path: Path) -> dict[str, Any]:
    return {
        "url": controller.url,
        "token": TOKEN,
        "state_dir": tmp_path / "state",
        "flush_seconds": 60,
        "service": "tests",
        "wait": 5,
    }


@pytest.fixture(scope="session")
def loader() -> Any:
    """botocore's own reader of service models, with what it has read: that takes longer than most tests."""
    return boto3.session.Session()._session.get_component("data_loader")


@pytest.fixture
def session(loader: Any) -> boto3.session.Session:
    made = boto3.session.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=EAST)
    made._session.register_component("data_loader", loader)
    return made


CONTRACT = (
    "test_policy_rules",
    "test_policy_table",
    "test_streams",
    "test_counted",
    "test_routing",
    "test_hedge",
    "test_shadow",
    "test_never_twice",
    "test_passing",
    "test_telemetry",
    "test_trouble",
    "test_validator",
    "test_slow_regions",
)
"""What these modules say holds for both faces: in the client, and beside it."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    chosen = any("face" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "face" in metafunc.fixturenames and not chosen:
        both = metafunc.module.__name__.rpartition(".")[2] in CONTRACT
        metafunc.parametrize("face", ["shim", "sidecar"] if both else ["shim"], indirect=True)


@pytest.fixture
def face(request: pytest.FixtureRequest) -> str:
    """Through which face a test's client is routed."""
    return str(request.param)


@pytest.fixture
def routed(
    face: str,
    request: pytest.FixtureRequest,
    controller: FakeController,
    settings: dict[str, Any],
    session: boto3.session.Session,
) -> Iterator[Callable[..., Any]]:
    """Installs Crossfade with a snapshot and makes a client; `config` goes to botocore's Config."""
    with ExitStack() as stack:

        def make(snapshot: Snapshot, **config: Any) -> Any:
            controller.serve_snapshot(snapshot)
            shim_client._warned.clear()
            if face == "sidecar":
                port = request.getfixturevalue("port")
                client = stack.enter_context(beside(port, session, settings, config))
            else:
                crossfade.install(session, **settings)
                client = session.client("bedrock-runtime", config=Config(**config))
            stack.callback(client.close)
            return client

        yield make


class Closing(EventStream):
    """A plain boto3 stream that is closed when it broke or nobody has it any more, as the shim's own closes itself."""

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream
        self._events = iter(stream)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        try:
            for event in self._events:  # noqa: UP028 (`yield from` would end the events with the first reader)
                yield event
        except Exception:
            self.close()
            raise
        self.close()
        self._events = iter(())

    def close(self) -> None:
        self._stream.close()

    def __del__(self) -> None:
        self.close()


@contextmanager
def beside(
    port: Port, session: boto3.session.Session, settings: dict[str, Any], config: dict[str, Any]
) -> Iterator[Any]:
    """A plain client of a sidecar's, whose shim is this process's. What the sidecar says in headers, and is told in
    them, stands where the shim has it."""
    shim = runtime.begin(shim_settings.read_settings(settings))
    shim.feed.wait_for_first(5)
    with sidecar(port, shim, session._session):
        client = session.client(
            "bedrock-runtime",
            endpoint_url=port.url,
            config=Config(**{"retries": {"total_max_attempts": 1}, "read_timeout": 30} | config),
        )

        def say(params: dict[str, Any], **_: Any) -> None:
            told = context.said({})
            names = ("key", "conversation", "tier", "deadline")
            found = {name: getattr(told, name) for name in names} | {f"label-{k}": v for k, v in told.labels.items()}
            params["headers"] |= {f"x-crossfade-{k}": str(v) for k, v in found.items() if v is not None}

        def hear(parsed: dict[str, Any], **_: Any) -> None:
            metadata = parsed["ResponseMetadata"]
            found = {
                name.removeprefix("x-crossfade-").replace("-", "_"): int(value) if value.isdecimal() else value
                for name, value in metadata["HTTPHeaders"].items()
                if name.startswith("x-crossfade-")
            }
            if found:
                metadata["Crossfade"] = found | {name: found[name] == "true" for name in ("busy", "hedged")}

            for name in ("stream", "body"):
                if isinstance(parsed.get(name), EventStream):
                    parsed[name] = Closing(parsed[name])

        client.meta.events.register("before-call.bedrock-runtime", say)
        client.meta.events.register("after-call.bedrock-runtime", hear)
        yield client


@pytest.fixture
def renew(controller: FakeController) -> Callable[[Snapshot], None]:
    """Puts another snapshot in force, for clients that are there already."""

    def put(snapshot: Snapshot) -> None:
        controller.serve_snapshot(snapshot)
        until = time.monotonic() + 10
        while crossfade.health()["snapshot_version"] != controller.version:
            assert time.monotonic() < until, "the snapshot did not arrive"
            time.sleep(0.01)

    return put


MESSAGES = [{"role": "user", "content": [{"text": "bonjour tout le monde"}]}]


@pytest.fixture
def fast() -> Settings:
    return FAST


@pytest.fixture
def ask() -> Callable[..., Any]:
    """One Converse call to the route."""

    def call(client: Any, text: str = "bonjour tout le monde", **more: Any) -> Any:
        messages = [{"role": "user", "content": [{"text": text}]}]
        return client.converse(**{"modelId": ROUTE, "messages": messages, "inferenceConfig": {"maxTokens": 64}} | more)

    return call


@pytest.fixture
def calls(sandbox: Sandbox) -> Callable[[], list[tuple[str, str, str]]]:
    """What the sandbox was asked, oldest first: (region, name of the Model, outcome)."""

    def read() -> list[tuple[str, str, str]]:
        sandbox.settle()
        entries = sorted(sandbox.log(), key=lambda entry: (entry["at"], entry["seq"]))
        return [(e["region"], re.sub(r".*echo-(\D+)\d+-v1:0", r"\1", e["model"]), e["outcome"]) for e in entries]

    return read
