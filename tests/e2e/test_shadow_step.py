"""A shadow step from the services' calls to the decision: a real controller, a real Bedrock's sandbox, both faces."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from werkzeug.serving import make_server

import crossfade
from crossfade.sandbox.running import Sandbox
from crossfade.server import database
from crossfade.server.settings import load
from crossfade.server.usecases import apply
from crossfade.server.usecases.snapshot import configure
from crossfade.server.usecases.tokens import create_token
from crossfade.server.views.rollout import rollout as read_rollout
from crossfade.server.web import create_app
from crossfade.shim import runtime

from ..server.plane import SECRET, KnowsAll, Plane
from ..sidecar.conftest import Process
from ..sidecar.test_process import ready, until

EAST = "us-east-1"
ROUTE = "chat"
CALLS = 90
MESSAGES = [{"role": "user", "content": [{"text": "bonjour tout le monde"}]}]
PLAN = {
    "steps": [{"shadow": 100, "bake": 60}, {"weight": 50, "bake": 60}],
    "checks": [{"metric": "error_rate", "margin": 10, "maturity": 20}],
    "least_buckets": 2,
}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(models=("echo",)) as running:
        yield running


@pytest.fixture
def plane(database_url: str, sandbox: Sandbox) -> Iterator[Plane]:
    """Its time is the world's, until it is told to move on."""
    engine = database.connect(database_url)
    plane = Plane(engine)
    plane.now = datetime.now(UTC)
    configure(engine, bucket_seconds=1, now=plane.now)
    price = {"input_per_1k": 1.0, "output_per_1k": 2.0}
    models = [{"name": name, "price": price, "targets": [_target(sandbox, name)]} for name in ("serving", "candidate")]
    policy = {"shadow_per_second": 1000, "shadow_concurrent": 32}
    declared = {"models": models, "routes": [{"name": ROUTE, "blue": "serving", "policy": policy}]}
    apply.apply_declarations(engine, declared, actor="ann", now=plane.now)
    yield plane
    engine.dispose()


def _target(sandbox: Sandbox, name: str) -> dict[str, str]:
    return {"region": EAST, "model_id": f"crossfade.echo-{name}-v1:0", "endpoint_url": sandbox.endpoint(EAST)}


@pytest.fixture
def rollout(plane: Plane) -> int:
    return plane.register(ROUTE, "candidate", plan=PLAN).id


@pytest.fixture
def environment(plane: Plane, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What a service needs to know of a controller that runs."""
    asked = {"name": "services", "role": "shim"}
    _, token = create_token(plane.engine, asked, actor="test", now=datetime.now(UTC), secret=SECRET)
    app = create_app(load({}, secret=SECRET), plane.engine, lookup=KnowsAll())
    server = make_server("127.0.0.1", 0, app, threaded=True)
    server.daemon_threads = False  # so that server_close waits for requests that still hold a connection to Postgres
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    yield {
        "CROSSFADE_URL": f"http://127.0.0.1:{server.port}",
        "CROSSFADE_TOKEN": token,
        "CROSSFADE_STATE_DIR": str(tmp_path),
        "CROSSFADE_FLUSH_SECONDS": "0.2",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": EAST,
        "AWS_DEFAULT_REGION": EAST,
    }
    app.extensions["crossfade"].watcher.close()
    server.shutdown()
    serving.join()
    server.server_close()


@pytest.fixture(params=["shim", "sidecar"])
def client(request: Any, rollout: int, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A boto3 client, routed in its own process or by a sidecar of two workers."""
    session = boto3.session.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=EAST)
    config = Config(retries={"total_max_attempts": 1}, max_pool_connections=50)
    with ExitStack() as stack:
        if request.param == "sidecar":
            process = stack.enter_context(Process("--workers", "2", **environment))
            ready(process)
            made = session.client("bedrock-runtime", endpoint_url=f"http://127.0.0.1:{process.port}", config=config)
        else:
            for name, value in environment.items():
                monkeypatch.setenv(name, value)
            crossfade.install(session, wait=5)
            stack.callback(runtime.end)
            made = session.client("bedrock-runtime", config=Config(max_pool_connections=50))
        stack.callback(made.close)
        yield made


@pytest.mark.parametrize(
    ("fault", "phase", "said"),
    [
        (None, ("progressing", 1), "Advanced from a shadow of 100 % to 50 %: error rate"),
        ("model_error", ("rolled_back", 0), "Rolled back from a shadow of 100 %: error rate"),
    ],
)
def test_a_shadow_step_is_judged_by_the_copies_of_what_a_service_asks(
    plane: Plane,
    rollout: int,
    client: Any,
    sandbox: Sandbox,
    fault: str | None,
    phase: tuple[str, int],
    said: str,
) -> None:
    if fault:
        sandbox.fault(fault, model="crossfade.echo-candidate-v1:0")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: ask(client), range(CALLS)))
    assert {answer["stopReason"] for answer in answers} == {"end_turn"}
    until(lambda: shadow(plane, rollout).copies == CALLS)
    plane.now = datetime.now(UTC) + timedelta(seconds=90)
    plane.tick()
    view = read_rollout(plane.engine, rollout, now=plane.now)
    assert (view.phase, view.step) == phase
    assert view.journal[0].sentence.startswith(said)
    found = shadow(plane, rollout)
    assert (found.calls, found.copies, found.answered) == (CALLS, CALLS, 0 if fault else CALLS)
    assert (found.cost is not None) is (fault is None)


def ask(client: Any) -> Any:
    time.sleep(0.25)  # so that there are several time buckets: none decides alone
    return client.converse(modelId=ROUTE, messages=MESSAGES)


def shadow(plane: Plane, rollout: int) -> Any:
    """What the rollout's page shows of its copies."""
    return read_rollout(plane.engine, rollout, now=datetime.now(UTC)).shadow
