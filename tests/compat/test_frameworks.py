"""Each framework as its users use it, but for one line, through good days and bad ones."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest

import crossfade
from crossfade.core.model import Model
from crossfade.core.route import Route
from crossfade.shim import runtime
from crossfade.shim.settings import read_settings

from ..shim.beside import Port
from ..shim.beside import sidecar as sidecar_at
from .frameworks import EVERY, IN_PROCESS, find

ROUTE = "us.anthropic.claude-3-5-haiku-20241022-v1:0"
"""The id services send today: frameworks read their own things into it."""
TEXT = "bonjour tout le monde"
CALL = 'call weather {"city": "Oslo"}'
EAST, WEST = "us-east-1", "us-west-2"

CALLERS = {
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",
    "AWS_DEFAULT_REGION": EAST,
    "AWS_REGION": EAST,
    "AWS_REGION_NAME": EAST,
    "OPENAI_API_KEY": "any",
}
"""What the sidecar's callers are set up with: it signs anew, with what it has itself."""
NODE = Path(__file__).parent / "javascript" / "node_modules"
WAYS = ("answer", "stream", "tool", "asynchronous")

pytestmark = pytest.mark.filterwarnings("ignore")  # the frameworks' own


def require_node(framework: str) -> None:
    if framework == "JavaScript" and not NODE.exists():
        reason = "the AWS SDK for JavaScript is not installed: `npm ci` in tests/compat/javascript"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


@pytest.fixture(params=EVERY)
def framework(
    request: pytest.FixtureRequest,
    session: Any,
    controller: Any,
    settings: Any,
    rollout: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """A framework on a session that Crossfade is installed in, or before a sidecar; all calls are green's."""
    controller.serve_snapshot(rollout)
    if request.param in IN_PROCESS:
        crossfade.install(session, **settings)
        return find(request.param)(session, ROUTE)
    require_node(request.param)
    assert runtime.begin(read_settings(settings)).feed.wait_for_first(5)
    sidecar = request.getfixturevalue("sidecar")
    framework = find(request.param)
    name, rest = framework.environment
    for variable, value in (CALLERS | {name: sidecar.url + rest}).items():
        monkeypatch.setenv(variable, value)
    return framework(ROUTE)


class OfNow:
    """The shim of this process, whichever it is now: each test has its own, and all have one sidecar."""

    def __getattr__(self, name: str) -> Any:
        return getattr(runtime.current(), name)


@pytest.fixture(scope="module")
def sidecar(session: Any) -> Iterator[Port]:
    with Port() as port, sidecar_at(port, OfNow(), session._session):
        yield port


@pytest.fixture(scope="module")
def session() -> Any:
    """One for all: reading Bedrock's service model takes longer than the calls."""
    return boto3.session.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=EAST)


@pytest.fixture(scope="module", autouse=True)
def _collected() -> Iterator[None]:
    """Frameworks leave event loops and sockets to the garbage collector: what it says of them is not ours."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


@pytest.fixture
def models(model: Callable[..., Model]) -> tuple[Model, Model]:
    return model("blue"), model("green")


@pytest.fixture
def rollout(models: tuple[Model, Model], snapshot: Any, fast: Any) -> Any:
    return snapshot(*models, route=Route(name=ROUTE, blue="blue", policy=fast))


def ask(framework: Any, way: str) -> str:
    """Asks in one of WAYS, checks what came, and skips what the framework cannot."""
    if way in framework.cannot:
        pytest.skip(framework.cannot[way])
    if way == "tool":
        said = framework.tool(CALL)
        assert "rain in Oslo" in said
    elif way == "asynchronous":
        said = asyncio.run(framework.asynchronous(TEXT))
        assert said == TEXT
    else:
        said = getattr(framework, way)(TEXT)
        assert said == TEXT
    return str(said)


def recorded(controller: Any, expected: int) -> tuple[dict[str, int], dict[str, int]]:
    """Outcomes and attempts by outcome, after checking that each call stands there once and under green."""
    assert crossfade.flush()
    assert controller.total("calls") == expected
    assert {row["variant"] for row in controller.rows()} == {"green"}
    assert controller.total("raised") == controller.total("busy") == 0
    return controller.total("outcomes"), controller.total("attempts")


@pytest.mark.parametrize("way", WAYS)
def test_on_a_good_day_every_call_is_answered_by_green_and_recorded_once(framework, way, calls, controller) -> None:
    ask(framework, way)
    made = calls()
    assert set(made) == {(EAST, "green", "answered")}
    assert len(made) in ((1, 2) if way == "tool" else (1,))
    assert recorded(controller, len(made)) == ({"ok": len(made)}, {"ok": len(made)})


@pytest.mark.parametrize("way", WAYS)
def test_throttled_then_fine(framework, way, calls, controller, sandbox) -> None:
    sandbox.fault("throttle", count=1)
    ask(framework, way)
    made = calls()
    assert made[0] == (EAST, "green", "ThrottlingException")
    assert {(name, outcome) for _, name, outcome in made[1:]} == {("green", "answered")}  # there, or in the next region
    answered = len(made) - 1
    assert recorded(controller, answered) == ({"ok": answered}, {"throttled": 1, "ok": answered})


@pytest.mark.parametrize("way", WAYS)
def test_a_region_that_is_down_is_left_for_the_next(framework, way, calls, controller, sandbox) -> None:
    sandbox.fault("refuse", region=EAST)
    ask(framework, way)
    made = calls()
    assert set(made) == {(WEST, "green", "answered")}
    assert recorded(controller, len(made)) == ({"ok": len(made)}, {"outage": len(made), "ok": len(made)})


@pytest.mark.parametrize("way", WAYS)
def test_where_green_fails_blue_serves_and_green_is_charged(framework, way, calls, controller, sandbox, models) -> None:
    sandbox.fault("model_error", model=models[1].targets[0].model_id)
    ask(framework, way)
    made = calls()
    answered = sum(outcome == "answered" for *_, outcome in made)
    assert {(name, outcome) for _, name, outcome in made} == {("green", "ModelErrorException"), ("blue", "answered")}
    assert recorded(controller, answered) == (
        {"model_error": answered},
        {"model_error": 2 * answered, "ok": answered},
    )
    assert controller.total("errors") == answered


@pytest.mark.parametrize("way", WAYS)
def test_the_key_of_the_context_reaches_the_call(framework, way, calls, controller) -> None:
    with crossfade.context(key="ann"):
        ask(framework, way)
    made = calls()
    recorded(controller, len(made))
    assert controller.total("keyed") == (0 if "key" in framework.cannot else len(made))


class Carrying(ThreadPoolExecutor):
    """As docs/compatibility.md shows it."""

    def submit(self, do: Any, /, *args: Any, **more: Any) -> Any:
        return super().submit(contextvars.copy_context().run, do, *args, **more)


@pytest.mark.parametrize("framework", ["SemanticKernel"], indirect=True)
def test_an_executor_that_copies_the_context_brings_the_key_to_where_it_does_not_reach(framework, controller) -> None:
    async def asked() -> str:
        asyncio.get_running_loop().set_default_executor(Carrying())
        return str(await framework.asynchronous(TEXT))

    with crossfade.context(key="ann"):
        assert asyncio.run(asked()) == TEXT
    recorded(controller, 1)
    assert controller.total("keyed") == 1
