"""What the command line says when there is no controller, or nothing that could be asked of one."""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from crossfade.errors import SetupError
from crossfade.sandbox.model import ECHO, LANGDETECT, PY3LANGID
from crossfade.server.serve import bind

NOWHERE = {"CROSSFADE_URL": "http://127.0.0.1:9", "CROSSFADE_TOKEN": "cft_x"}


def test_without_a_token_it_says_how_to_get_one_and_exits_2(anywhere: Any) -> None:
    ran = anywhere("list")
    assert ran.code == 2
    assert "CROSSFADE_TOKEN" in ran.err


def test_controller_away_is_one_line_and_exit_3(anywhere: Any) -> None:
    ran = anywhere("list", **NOWHERE)
    assert ran.code == 3
    assert ran.err.count("\n") == 1
    assert "http://127.0.0.1:9 cannot be reached (Connection refused)" in ran.err


def test_address_that_is_none_exits_2(anywhere: Any) -> None:
    ran = anywhere("list", "--url", "localhost", CROSSFADE_TOKEN="cft_x")
    assert ran.code == 2
    assert "'localhost' is not an address" in ran.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("register", "chat", "--check", "error_rate=0.5"), "no candidate"),
        (("register", "chat", "--green", "next", "--check", "error_rate"), "METRIC=MARGIN"),
        (("register", "chat", "--green", "next", "--check", "latency=1", "--limit", "latency"), "METRIC=VALUE"),
        (
            ("register", "chat", "--green", "next", "--check", "error_rate=1", "--limit", "cost=1"),
            "--check cost=MARGIN",
        ),
        (("register", "chat", "--green", "next", "--steps", "1,many"), "list of numbers"),
        (("plan", "--check", "error_rate=0.5"), "give ROUTE, or --traffic and a --base"),
        (("plan", "--traffic", "2", "--base", "error_rate", "--check", "error_rate=1"), "METRIC=RATE"),
        (("pause", "3"), "--reason"),
        (("apply",), "--file"),
        (("apply", "-f", "none.toml"), "none.toml: No such file"),
        (("frobnicate",), "frobnicate"),
    ],
)
def test_wrong_command_line_exits_2_and_says_what(anywhere: Any, arguments: tuple[str, ...], said: str) -> None:
    ran = anywhere(*arguments, **NOWHERE)
    assert ran.code == 2
    assert said in ran.err


def test_broken_file_is_named_with_its_line(anywhere: Any) -> None:
    ran = anywhere("apply", "-f", "-", stdin="[[models]\n", **NOWHERE)
    assert ran.code == 2
    assert ran.err.startswith("standard input: ")
    assert "line 1" in ran.err


def test_migrate_without_a_database_exits_2(anywhere: Any) -> None:
    ran = anywhere("migrate")
    assert ran.code == 2
    assert "DATABASE_URL" in ran.err


def test_misspelt_setting_is_refused(anywhere: Any) -> None:
    ran = anywhere("scheduler", CROSSFADE_SECRT="x", DATABASE_URL="postgresql://localhost/none")
    assert ran.code == 2
    assert "did you mean CROSSFADE_SECRET?" in ran.err


def test_taken_port_is_one_line_and_exit_2(anywhere: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = anywhere(
            "controller", "--port", port, CROSSFADE_SECRET="x" * 40, DATABASE_URL="postgresql://127.0.0.1:9/none"
        )
    assert ran.code == 2
    assert ran.err.count("\n") == 1
    assert f"port {port} on 127.0.0.1 is taken" in ran.err or "127.0.0.1" in ran.err
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SetupError, match="another by --port or CROSS"):
        bind("127.0.0.1", taken.getsockname()[1])


def test_sandbox_and_demo_show_their_own_options(anywhere: Any) -> None:
    of_sandbox = anywhere("sandbox", "--help").out
    assert of_sandbox.startswith("usage: crossfade sandbox ")
    assert "--control-port" in of_sandbox
    assert all(model_id in of_sandbox for model_id in (LANGDETECT, PY3LANGID, ECHO))
    assert "--scenario" in anywhere("demo", "--help").out


@pytest.mark.parametrize(
    ("command", "module", "extra"),
    [("sandbox", "httptools", "demo"), ("demo", "httptools", "demo"), ("sidecar", "granian", "sidecar")],
)
def test_without_its_extra_a_command_says_which_one_to_install(
    anywhere: Any, tmp_path: Path, command: str, module: str, extra: str
) -> None:
    said = f"No module named {module!r}"
    (tmp_path / f"{module}.py").write_text(f'raise ModuleNotFoundError("{said}")\n')
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    ran = anywhere(command, PYTHONPATH=path)
    assert (ran.code, ran.err) == (2, f"{said}: install Crossfade with its extra [{extra}]\n")


PLANNED = ("plan", "--steps", "10,50", "--bake", "60", "--check", "error_rate=2", "--maturity", "0")


def test_a_plan_is_forecast_without_a_controller(anywhere: Any) -> None:
    given = ("--traffic", "20", "--base", "error_rate=0.01")
    ran = anywhere(*PLANNED, *given)
    assert ran.code == 0, ran.err
    for words in ("step", "10 %", "50 %", "green calls", "if green is worse in", "5 points", "At 20 calls a second"):
        assert words in ran.out
    forecast = json.loads(anywhere(*PLANNED, *given, "--json").out)["forecast"]
    assert len(forecast["steps"]) == 2
    assert len(forecast["chances"]) == 3


def test_a_plan_with_a_shadow_step_leaves_it_out_of_the_numbers_and_says_so(anywhere: Any, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    steps = [{"shadow": 10, "bake": 3600}, {"weight": 50, "bake": 60}]
    file.write_text(json.dumps({"steps": steps, "checks": [{"metric": "error_rate", "margin": 2}]}))
    ran = anywhere("plan", "-f", str(file), "--traffic", "20", "--base", "error_rate=0.01")
    assert ran.code == 0, ran.err
    assert re.search(r"1 +a shadow of 10 % +\? +\? +at least 60 min", ran.out)
    assert "for ever" not in ran.out
    assert "all others" in ran.out
    assert re.search(r"[0-9.]+ more bad answers", ran.out)


def test_bake_alone_is_of_the_default_steps_and_refused_beside_those_of_a_file(anywhere: Any, tmp_path: Path) -> None:
    given = ("--traffic", "20", "--base", "error_rate=1%", "--check", "error_rate=2", "--maturity", "0")
    ran = anywhere("plan", "--bake", "5000", *given, "--json")
    assert ran.code == 0, ran.err
    steps = json.loads(ran.out)["forecast"]["steps"]
    assert [(step["weight"], step["least_seconds"] >= 5000) for step in steps] == [(w, True) for w in (1, 5, 25, 50)]
    file = tmp_path / "plan.json"
    file.write_text(json.dumps({"steps": [{"weight": 50}]}))
    refused = anywhere("plan", "-f", str(file), "--bake", "5000", *given)
    assert (refused.code, "each step of the file has its own" in refused.err) == (2, True)


def test_blues_rate_may_be_in_percent_and_is_said_back(anywhere: Any) -> None:
    planned = (*PLANNED, "--check", "score.accuracy=1", "--traffic", "20", "--base", "score.accuracy=93%", "--base")
    ran = anywhere(*planned, "error_rate=1%")
    assert ran.code == 0, ran.err
    assert "Reckoned with blue at: error rate 1.00 %, accuracy 93.00 %." in ran.out
    in_percent, in_parts = (anywhere(*planned, f"error_rate={rate}", "--json").out for rate in ("1%", "0.01"))
    assert in_percent == in_parts
    assert json.loads(in_percent)["forecast"]["base"] == pytest.approx({"error_rate": 0.01, "score.accuracy": 0.93})
    whole = anywhere(*planned, "error_rate=1")
    assert whole.err == "base.error_rate: is 1; must be at least 0 and below 1 (a fraction: 1 % is 0.01)\n"


def test_a_forecast_of_nothing_is_a_sentence_and_a_wrong_rate_is_named(anywhere: Any) -> None:
    silent = anywhere(*PLANNED, "--traffic", "0", "--base", "error_rate=0.01")
    assert (silent.code, "No calls" in silent.out) == (0, True)
    wrong = anywhere(*PLANNED, "--traffic", "2", "--base", "error_rate=5", "--base", "score.x=1")
    assert wrong.code == 1
    assert {line.partition(": ")[0] for line in wrong.err.splitlines()} == {"base.error_rate", "base.score.x"}
