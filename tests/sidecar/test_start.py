"""What keeps the sidecar from starting is one line, and what it starts with is light."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import Any

import pytest

from crossfade.cli.codes import Code


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "CROSSFADE_"))}
    return subprocess.run(
        [sys.executable, "-m", "crossfade", "sidecar", *arguments],
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["--host", "0.0.0.0"], {}, "could spend this machine's AWS credentials"),
        (
            ["--host", "no-such-host.invalid"],
            {"CROSSFADE_SIDECAR_TOKEN": "x" * 16},
            "cannot listen on no-such-host.invalid: ",
        ),
        (["--host", "a..b"], {"CROSSFADE_SIDECAR_TOKEN": "x" * 16}, "cannot listen on a..b: "),
        (
            ["--port", "0"],
            {"CROSSFADE_URL": "http://x", "CROSSFADE_TOKEN": "t", "AWS_PROFILE": "no-such"},
            "the AWS credentials cannot be read: The config profile (no-such) could not be found",
        ),
        ([], {"CROSSFADE_SIDCAR_TOKEN": "x" * 16}, "did you mean CROSSFADE_SIDECAR_TOKEN?"),
        ([], {}, "CROSSFADE_URL is not set"),
        ([], {"CROSSFADE_URL": "http://127.0.0.1:9"}, "CROSSFADE_TOKEN is not"),
        (
            ["--socket", "/nowhere/at/all.sock"],
            {"CROSSFADE_URL": "http://x", "CROSSFADE_TOKEN": "t"},
            "there is no folder",
        ),
        (
            ["--socket", f"/tmp/{'a' * 120}"],
            {"CROSSFADE_URL": "http://x", "CROSSFADE_TOKEN": "t"},
            "cannot listen on /tmp/aaaa",
        ),
        (
            ["--socket", "/proc/a.sock"],
            {"CROSSFADE_URL": "http://x", "CROSSFADE_TOKEN": "t"},
            "cannot listen on /proc/a.sock: ",
        ),
    ],
    ids=["strangers", "name", "no name", "profile", "misspelt", "url", "token", "folder", "too long", "nowhere"],
)
def test_what_keeps_it_from_starting_is_one_line(arguments: list[str], environment: dict[str, str], words: str) -> None:
    done = run(*arguments, **environment)
    assert done.returncode == Code.SETUP
    assert len(done.stderr.strip().splitlines()) == 1
    assert words in done.stderr


def test_a_taken_port_or_socket_is_one_line_and_is_left_to_whom_it_belongs(tmp_path: Any) -> None:
    known = {"CROSSFADE_URL": "http://127.0.0.1:9", "CROSSFADE_TOKEN": "t", "CROSSFADE_STATE_DIR": str(tmp_path)}
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        port = taken.getsockname()[1]
        done = run("--port", str(port), **known)
        assert (done.returncode, f"127.0.0.1:{port}" in done.stderr) == (Code.SETUP, True)
    path = tmp_path / "taken.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        done = run("--socket", str(path), **known)
        assert (done.returncode, str(path) in done.stderr) == (Code.SETUP, True)
        assert path.is_socket()


def test_it_brings_in_nothing_of_the_controllers() -> None:
    heavy = ("sqlalchemy", "alembic", "flask", "apscheduler", "scipy", "numpy", "pydantic", "crossfade.stats")
    program = (
        "import sys, crossfade.cli.main, crossfade.sidecar.serve\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_a_temporary_folder_whose_name_is_too_long_is_one_line(tmp_path: Any) -> None:
    folder = tmp_path / ("b" * 100)
    folder.mkdir()
    known = {"CROSSFADE_URL": "http://127.0.0.1:9", "CROSSFADE_TOKEN": "t", "CROSSFADE_STATE_DIR": str(tmp_path)}
    quick = {"CROSSFADE_WAIT": "0.1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    done = run("--port", "0", TMPDIR=str(folder), **known, **quick)
    assert done.returncode == Code.SETUP
    assert "set TMPDIR: AF_UNIX path too long" in done.stderr
    assert "Traceback" not in done.stderr
