"""docker-compose.yml and Dockerfile, as far as they can be checked without running a container."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
COMPOSE = CHECKOUT / "docker-compose.yml"
SECRETS = {"CROSSFADE_SECRET": "0" * 32, "CROSSFADE_DB_PASSWORD": "none"}


def compose() -> list[str]:
    if shutil.which("docker") and not subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    pytest.skip("neither `docker compose` nor docker-compose is installed here")


def config(**secrets: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*compose(), "--file", COMPOSE, "--profile", "demo", "--profile", "sidecar", "config"],
        capture_output=True,
        text=True,
        env={**os.environ, **secrets},
        timeout=60,
        check=False,
    )


def test_compose_accepts_the_file() -> None:
    done = config(**SECRETS)
    assert done.returncode == 0, done.stderr
    assert {"postgres:", "migrate:", "controller:", "scheduler:", "sidecar:", "demo:"} <= set(done.stdout.split())


@pytest.mark.parametrize("secret", SECRETS)
def test_compose_refuses_to_start_without_a_secret(secret: str) -> None:
    done = config(**{name: value for name, value in SECRETS.items() if name != secret})
    assert done.returncode != 0
    assert "keep it" in done.stderr


def test_the_containers_run_the_commands_that_exist() -> None:
    from crossfade.cli.processes import COMMANDS

    used = set(re.findall(r"command: \[crossfade, (\w+)\]", COMPOSE.read_text()))
    assert used == {"migrate", "controller", "scheduler", "sidecar", "demo"}
    assert used <= {command.name for command in COMMANDS}


def test_the_image_copies_only_what_the_build_context_holds() -> None:
    kept = set(re.findall(r"^!(.+)$", (CHECKOUT / ".dockerignore").read_text(), re.MULTILINE))
    copied = {
        name
        for line in re.findall(r"^COPY (.+)$", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE)
        for name in line.split()[:-1]
    }
    assert copied == kept
    assert all((CHECKOUT / name).exists() for name in kept)


def test_the_image_leaves_out_what_only_a_developer_needs() -> None:
    (gone,) = re.findall(r"pip uninstall --yes (.+)$", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE)
    locked = set(re.findall(r"^([a-z0-9-]+)==", (CHECKOUT / "requirements.lock").read_text(), re.MULTILINE))
    assert set(gone.split()) <= locked
    assert "playwright" in gone
