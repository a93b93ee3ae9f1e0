"""The real app on a real port over a real Postgres with a rollout half way, and a browser to look at it."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from sqlalchemy import Engine
from werkzeug.serving import make_server

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

from plane import SECRET, KnowsAll, Plane

from crossfade.server import auth, database
from crossfade.server.settings import load
from crossfade.server.usecases.tokens import Token, create_token
from crossfade.server.web import create_app

SIZES = {"wide": {"width": 1280, "height": 900}, "narrow": {"width": 390, "height": 844}}


@dataclass(frozen=True, kw_only=True)
class Site:
    """A running app. `live` is a rollout half way on the first route, `plane` acts on what is behind it."""

    address: str
    engine: Engine
    plane: Plane
    live: int
    tokens: dict[str, tuple[Token, str]]

    def link(self, role: str = "operator") -> str:
        return self.address + auth.login_link(SECRET, self.tokens[role][0].id, role)


@pytest.fixture
def site(database_url: str) -> Iterator[Site]:
    engine = database.connect(database_url)
    now = datetime.now(UTC)
    tokens = {
        role: create_token(engine, {"name": f"{role} ann", "role": role}, actor="test", now=now, secret=SECRET)
        for role in ("viewer", "operator", "admin", "shim")
    }
    plane = Plane(engine)
    plane.now = now - timedelta(seconds=200)
    live = plane.register().id
    run(plane, live, until=now)
    server = make_server("127.0.0.1", 0, create_app(load({}, secret=SECRET), engine, lookup=KnowsAll()), threaded=True)
    server.daemon_threads = False  # so that server_close waits for requests that still hold a connection to Postgres
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    yield Site(address=f"http://127.0.0.1:{server.port}", engine=engine, plane=plane, live=live, tokens=tokens)
    server.shutdown()
    serving.join()
    server.server_close()
    engine.dispose()


def run(plane: Plane, rollout: int, *, until: datetime, every: int = 10) -> None:
    """Traffic and evaluations, every ten seconds up to `until`: two equal Models, seeded."""
    dice = random.Random(7)
    while plane.now < until:
        found = plane.sql("SELECT step, phase FROM rollouts WHERE id = :id", id=rollout)[0]
        green = {0: 20, 1: 100}[found.step]
        rows = []
        for variant, calls in (("blue", 200 - green), ("green", green)):
            errors = sum(dice.random() < 0.02 for _ in range(calls))
            rows.append(plane.row(variant, calls, errors, rollout=rollout, step=found.step, **_measured(dice, calls)))
            scored = [
                (plane.call_id(rollout, variant, step=found.step), float(dice.random() < 0.9))
                for _ in range(calls // 4)
            ]
            plane.score(*scored)
        plane.observe(*rows)
        plane.tick()
        plane.later(every)


def _measured(dice: random.Random, calls: int) -> dict[str, Any]:
    slow = dice.randint(340, 360)
    return {
        "latency": {slow: calls // 2, slow + 20: calls - calls // 2},
        "first_token": {slow - 60: calls // 2},
        "tokens_in": 400 * calls,
        "tokens_out": 80 * calls,
        "cost_n": calls,
        "cost_sum": 0.0002 * calls,
        "cost_sq": 0.0002**2 * calls,
        "retries": 2,
    }


@pytest.fixture(scope="session")
def browser(chromium: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


class Window:
    """A browser window that remembers what went wrong in it."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.faults: list[str] = []

    def open(self, address: str) -> Page:
        page = self.context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on(
            "console",
            lambda said: (
                self.faults.append(said.text) if said.type == "error" and "status of 4" not in said.text else None
            ),
        )
        page.goto(address)
        return page


@pytest.fixture
def window(browser: Browser) -> Iterator[Window]:
    """A window in which no script may fail and nothing may break the content policy."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    window = Window(context)
    yield window
    context.close()
    assert window.faults == []
