"""`crossfade simulate`: needs nothing but itself, says what it found, and refuses what makes no sense."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from crossfade.cli.main import run
from crossfade.server.bring_up import clean_environment

WORSE = ("--base", "1%", "--green", "6%", "--weight", "10", "--runs", "30")
SHARES = ("rolled_back", "promoted", "undecided")


def played(anywhere: Any, *arguments: str) -> dict[str, Any]:
    ran = anywhere("simulate", *arguments, "--json")
    assert ran.code == 0, ran.err
    assert ran.err == ""
    document: dict[str, Any] = json.loads(ran.out)
    return document


def test_json_has_shares_calls_errors_and_inputs(anywhere: Any) -> None:
    document = played(anywhere, *WORSE)
    assert sum(document[name] for name in SHARES) == pytest.approx(1)
    assert all(0 < document[f"{name}_error"] < 0.1 for name in SHARES)
    assert document["rolled_back"] == 1
    assert document["bound_calls"] < document["median_calls"] <= document["p90_calls"]
    assert document["green_calls"] > 0
    assert document["harm"] > 0
    inputs = document["inputs"]
    assert (inputs["base"], inputs["green"], inputs["steps"], inputs["margin"]) == (0.01, 0.06, [10.0], 0.5)


def test_percent_and_fraction_are_the_same_and_the_seed_decides(anywhere: Any) -> None:
    once = played(anywhere, *WORSE)
    assert played(anywhere, "--base", "0.01", "--green", "0.06", *WORSE[4:]) == once
    assert played(anywhere, *WORSE, "--seed", "2") != once


def test_a_person_reads_a_table_and_one_sentence(anywhere: Any) -> None:
    ran = anywhere("simulate", "--base", "1%", "--green", "1%", "--runs", "20", "--most-calls", "500")
    assert ran.code == 0
    assert "undecided              100.0 % (+- " in ran.out
    said = " ".join(ran.out.split())
    assert "no rollout decided" in said
    assert "of 20 rollouts of a green that is no worse; alpha allows 5 %." in said
    assert "100 % had not decided after 500 calls; --most-calls lets them go on." in said
    assert ran.err == ""


def test_a_worse_green_is_told_against_beta(anywhere: Any) -> None:
    said = " ".join(anywhere("simulate", *WORSE).out.split())
    assert "of 30 rollouts of a green that is worse by 5 points, and the margin is 0.5; beta allows 5 %." in said
    small = ("--base", "1%", "--green", "2%", "--runs", "5", "--most-calls", "500")
    assert "of a green that is worse by 1 point, and" in " ".join(anywhere("simulate", *small).out.split())


def test_a_score_is_better_when_it_is_higher(anywhere: Any) -> None:
    document = played(
        anywhere, "--metric", "score.accuracy", "--base", "85%", "--green", "0.6", "--weight", "50", "--runs", "5"
    )
    assert document["rolled_back"] == 1
    assert (document["inputs"]["base"], document["inputs"]["green"]) == (0.85, 0.6)


@pytest.mark.parametrize(
    "trouble",
    [
        ("--drift", "3%"),
        ("--burst", "4"),
        ("--sticky", "200"),
        ("--late",),
        ("--outage", "200:400"),
        ("--turn", "4@200"),
        ("--graded", "--metric", "score.grade"),
    ],
)
def test_what_may_go_wrong_can_be_played_and_is_named_in_the_inputs(anywhere: Any, trouble: tuple[str, ...]) -> None:
    document = played(anywhere, "--base", "5%", "--green", "5%", "--runs", "3", "--most-calls", "1000", *trouble)
    assert trouble[0].removeprefix("--") in document["inputs"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--base", "much"), "--base: 'much' is not a rate; write 0.01 or 1%"),
        (("--base", "nan"), "--base: 'nan' is not a rate; write 0.01 or 1%"),
        (("--base", "1"), "--base: is 1; must be at least 0 and below 1; 1 in a hundred is 1%"),
        (("--green", "-1%"), "--green: is -0.01; must be at least 0 and below 1"),
        (("--metric", "score.accuracy", "--base", "0"), "--base: is 0; must be above 0 and at most 1"),
        (("--metric", "speed"), "--metric: 'speed' cannot be simulated; allowed: error_rate, or score.NAME with"),
        (("--metric", "latency"), "--metric: 'latency' cannot be simulated; allowed: error_rate, or score.NAME with"),
        (("--metric", "score.No"), "--metric: 'score.No' cannot be simulated; allowed: error_rate, or score.NAME"),
        (("--margin", "0"), "--margin: is 0; must be at least 0.001 and at most 50 percentage points"),
        (("--steps", "5,1"), "--steps: is 1; weights must rise, and the step before has 5"),
        (
            ("--steps", "1,many"),
            "--steps: must be a number (at least 0.001 and below 100 percent), not the text 'many'",
        ),
        (("--weight", "100"), "--weight: is 100; must be at least 0.001 and below 100 percent"),
        (("--weight", "5", "--steps", "1,5"), "--weight: cannot be given together with --steps"),
        (("--alpha", "60%"), "--alpha: is 0.6; must be above 0 and at most 0.5"),
        (("--beta", "0"), "--beta: is 0; must be above 0"),
        (("--calls-per-bucket", "1.5"), "--calls-per-bucket: must be a whole number"),
        (("--most-calls", "50"), "--most-calls: is 50; must be at least 100"),
        (("--runs", "0"), "--runs: is 0; must be at least 1"),
        (("--seed", "-1"), "--seed: is -1; must be at least 0"),
        (("--drift", "5"), "--drift: is 5; must be at least 0 and below 1; 5 in a hundred is 5%"),
        (("--burst", "7"), "--burst: is 7; groups of that size do not fill the 100 calls of a bucket"),
        (("--sticky", "1"), "--sticky: is 1; must be at least 2"),
        (("--burst", "2", "--late"), "--late: cannot be given together with --burst; one kind of traffic at a time"),
        (("--graded",), "--graded: needs --metric score.NAME"),
        (("--outage", "5"), "--outage: '5' is not FROM:TO in calls, such as 5000:6000"),
        (("--outage", "9:5"), "--outage: ends at 5 and begins at 9; give FROM below TO"),
        (("--turn", "4"), "--turn: '4' is not POINTS@CALLS, such as 4@50000"),
        (("--turn", "101@5"), "--turn: is 101 points; must be at least 0 and at most 100"),
    ],
)
def test_bad_value_is_one_line_that_names_the_option(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert run(["simulate", "--base", "1%", "--green", "1%", "--runs", "1", *arguments]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert told.startswith(said)


def test_every_problem_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", "--base", "x", "--green", "y", "--runs", "none"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["--base", "--green", "--runs"]


def test_on_a_terminal_it_says_how_far_it_is_and_ctrl_c_ends_all_its_processes(tmp_path: Path) -> None:
    terminal, its_end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "crossfade", "simulate", *WORSE[:-1], "100000"],
        stderr=its_end,
        cwd=tmp_path,
        env=clean_environment({"PATH": os.environ["PATH"], "TERM": "xterm"}),
        start_new_session=True,
    )
    os.close(its_end)
    said = read_until(terminal, b"Played ")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130
    said += read_until(terminal, b"")
    os.close(terminal)
    assert b"of 100,000 rollouts" in said
    assert b"Traceback" not in said, said.decode()[-3000:]


def read_until(terminal: int, text: bytes) -> bytes:
    """What was printed until `text` came; without it until the last process that could print has ended."""
    said = b""
    while not text or text not in said:
        ready, _, _ = select.select([terminal], [], [], 90)
        assert ready, said
        try:
            read = os.read(terminal, 65536)
        except OSError:  # Linux: nobody is at the other end
            break
        if not read:
            break
        said += read
    return said
