"""Stage: every part of the demo as a real process, and the addresses and tokens to speak to them."""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import tempfile
from contextlib import ExitStack, closing
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from crossfade.demo.api import Api
from crossfade.demo.cast import REGIONS
from crossfade.demo.control import Control
from crossfade.demo.counted import Counted, Settings
from crossfade.demo.scenarios import BUCKET_SECONDS, FLUSH_SECONDS
from crossfade.errors import CrossfadeError
from crossfade.server.bring_up import address_of, clean_environment, start_controller, start_scheduler
from crossfade.server.processes import Part, Processes

if TYPE_CHECKING:
    from sqlalchemy import Engine

SERVICES = ("inbox", "tickets")
SERVICE_STOP_SECONDS = 40.0
_AWS = {
    # Throwaway credentials: the sandbox verifies nothing, and nothing leaves this machine.
    "AWS_ACCESS_KEY_ID": "sandbox",
    "AWS_SECRET_ACCESS_KEY": "sandbox",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_DEFAULT_REGION": REGIONS[0],
}


class Stage:
    """A context manager: everything runs inside it, and nothing is left after it.

    Every secret is new each time; all files are in one temporary folder.
    """

    def __init__(self, *, seed: int, port: int) -> None:
        self._seed = seed
        self._port = port
        self._stack = ExitStack()
        self._secret = secrets.token_hex(32)
        self._services: list[Part] = []
        self.endpoints: dict[str, str] = {}
        self.address = ""
        self.admin = ""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.folder = Path(tempfile.mkdtemp(prefix="crossfade-demo-"))
            self.folder.chmod(0o711)  # the account that Postgres runs under must be able to pass through
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.processes = stack.enter_context(Processes(self.folder / "logs", remove=[self.folder]))
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        """Starts all parts but the services: those that take long first, each as soon as what it needs is there."""
        sandbox = self.processes.start(
            "sandbox", [*_PYTHON, "crossfade.sandbox", *self._sandbox_options()], clean_environment({})
        )
        from crossfade.server.postgres import start  # while the sandbox loads its models

        postgres = stack.enter_context(start(self.folder / "postgres", fast=True))
        if postgres.process is not None:
            self.processes.adopt("postgres", postgres.process, self.folder / "postgres" / "postgres.log")
        stack.callback(self.processes.end_all)  # before Postgres, which they need to the last

        from crossfade.server.database import connect
        from crossfade.server.migrate import upgrade

        upgrade(postgres.url)
        self.engine: Engine = connect(postgres.url)
        stack.callback(self.engine.dispose)
        environment = clean_environment(
            {
                "DATABASE_URL": postgres.url,
                "CROSSFADE_SECRET": self._secret,
                "CROSSFADE_PORT": str(self._port),
                "CROSSFADE_BUCKET_SECONDS": str(BUCKET_SECONDS),
                **_AWS,
            }
        )
        controller = start_controller(self.processes, environment)
        start_scheduler(self.processes, environment)
        self.admin = self._token("demo")
        ready = self._sandbox_ready(sandbox)
        self.endpoints = ready["regions"]
        self.control = Control(ready["control_url"])
        self.address = address_of(self.processes, controller)

    def login_link(self, page: str) -> str:
        """An address that signs whoever opens it in, and shows `page`."""
        with closing(Api(self.address, self.admin)) as api:
            return api.login_link(page)

    def start_services(self, model_id: str, rate: float) -> None:
        """Starts the service processes; they know the controller, Bedrock's address, and nothing else of the demo."""
        for number, name in enumerate(SERVICES):
            settings = Settings(
                model_id=model_id, seed=self._seed * len(SERVICES) + number, rate=rate, report=str(self._report(name))
            )
            environment = clean_environment(
                {
                    "CROSSFADE_URL": self.address,
                    "CROSSFADE_TOKEN": self._token(name, role="shim"),
                    "CROSSFADE_SERVICE": name,
                    "CROSSFADE_STATE_DIR": str(self.folder / name),
                    "CROSSFADE_FLUSH_SECONDS": str(FLUSH_SECONDS),
                    "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self.endpoints[REGIONS[0]],
                    **_AWS,
                }
            )
            command = [*_PYTHON, "crossfade.demo.service", json.dumps(asdict(settings))]
            self._services.append(self.processes.start(name, command, environment))

    def stop_services(self) -> list[Counted]:
        """Has the services finish their calls and deliver what they know; what each has counted."""
        self.processes.finish(self._services, seconds=SERVICE_STOP_SECONDS)
        counted = []
        for part in self._services:
            try:
                document = json.loads(self._report(part.name).read_text())
            except FileNotFoundError:
                said = "".join(f"\n  {part.name} | {line}" for line in part.last_lines())
                raise CrossfadeError(f"the service {part.name} left no report:{said}") from None
            counted.append(Counted(**document))
        self._services.clear()
        return counted

    def _report(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _sandbox_options(self) -> list[str]:
        return [
            "--regions",
            ",".join(REGIONS),
            "--models",
            "langdetect,py3langid",
            "--seed",
            str(self._seed),
            "--print-json",
        ]

    def _sandbox_ready(self, sandbox: Part) -> dict[str, Any]:
        self.processes.wait_until(
            lambda: sandbox.log.read_bytes().endswith(b"}\n"), seconds=60, what="the sandbox's start"
        )
        ready: dict[str, Any] = json.loads(sandbox.last_lines(1)[0])
        return ready

    def _token(self, name: str, role: str = "admin") -> str:
        from crossfade.server.usecases.tokens import create_token

        body = {"name": name, "role": role}
        _, text = create_token(self.engine, body, actor="demo", now=datetime.now(UTC), secret=self._secret)
        return text


_PYTHON = (sys.executable, "-m")
