"""A controller as a process of its own on a database of its own, and the command line as people start it."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import sqlalchemy
from psycopg import sql

from crossfade.server.bring_up import address_of, clean_environment, start_controller
from crossfade.server.database import connect
from crossfade.server.processes import Processes
from crossfade.server.usecases.tokens import create_token

SECRET = "a secret that only these tests know, 32 characters and more"


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


Cli = Callable[..., Ran]


@dataclass(frozen=True, kw_only=True)
class Place:
    """A running controller and an admin's token for it."""

    url: str
    token: str
    database_url: str
    secret: str


@pytest.fixture(scope="session")
def controller_database(postgres_url: str, migrated_template: str) -> Iterator[str]:
    name = f"crossfade_cli_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres_url.replace("+psycopg:", ":", 1), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(migrated_template))
        )
        yield sqlalchemy.make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def controller(controller_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Bedrock is not to be had here: the AWS credentials lead nowhere."""
    environment = clean_environment(
        {
            "DATABASE_URL": controller_database,
            "CROSSFADE_SECRET": SECRET,
            "CROSSFADE_PORT": "0",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    )
    engine = connect(controller_database)
    _, token = create_token(
        engine, {"name": "tests", "role": "admin"}, actor="tests", now=datetime.now(UTC), secret=SECRET
    )
    engine.dispose()
    with Processes(tmp_path_factory.mktemp("controller")) as processes:
        part = start_controller(processes, environment)
        yield Place(url=address_of(processes, part), token=token, database_url=controller_database, secret=SECRET)


@pytest.fixture
def anywhere(tmp_path: Path) -> Cli:
    """`crossfade ARGUMENTS` with no controller set up, in an empty folder."""

    def run(*arguments: str, stdin: str = "", seconds: float = 60, **environment: str) -> Ran:
        ended = subprocess.run(
            [sys.executable, "-m", "crossfade", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            cwd=tmp_path,
            env=clean_environment({"PATH": os.environ["PATH"], **environment}),
            check=False,
        )
        assert "Traceback" not in ended.stderr
        return Ran(code=ended.returncode, out=ended.stdout, err=ended.stderr)

    return run


@pytest.fixture
def cli(anywhere: Cli, controller: Place) -> Cli:
    """`crossfade ARGUMENTS` as the admin of a running controller."""

    def run(*arguments: str, stdin: str = "", **environment: str) -> Ran:
        where = {"CROSSFADE_URL": controller.url, "CROSSFADE_TOKEN": controller.token}
        return anywhere(*arguments, stdin=stdin, **where | environment)

    return run


ROUTES = """
[[models]]
name = "{name}-now"
targets = [{{ region = "us-east-1", model_id = "{name}.now-v1:0" }}]
price = {{ input_per_1k = 0.003, output_per_1k = 0.015 }}

[[models]]
name = "{name}-next"
targets = [{{ region = "us-east-1", model_id = "{name}.next-v1:0" }}]
price = {{ input_per_1k = 0.001, output_per_1k = 0.005 }}

[[routes]]
name = "{name}"
blue = "{name}-now"
"""


@pytest.fixture
def route(cli: Cli) -> str:
    """A declared route NAME with blue NAME-now and another Model NAME-next."""
    name = f"chat-{uuid.uuid4().hex[:6]}"
    assert cli("apply", "-f", "-", stdin=ROUTES.format(name=name)).code == 0
    return name
