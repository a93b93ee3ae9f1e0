"""The verbs over the REST API of a running controller."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import signal
import stat
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import HTTPCookieProcessor, build_opener

import pytest

from crossfade.cli.up import LOOK_SECONDS, _relay
from crossfade.server.bring_up import clean_environment, is_healthy

CHECKS = ("--check", "error_rate=0.5", "--check", "score.accuracy=1")


def register(cli: Any, route: str, *more: str) -> dict[str, Any]:
    ran = cli("register", route, "--green", f"{route}-next", *CHECKS, "--json", *more)
    assert ran.code == 0, ran.err
    made: dict[str, Any] = json.loads(ran.out)
    return made


def test_apply_prints_the_differences_and_then_has_nothing_to_change(cli: Any, tmp_path: Path) -> None:
    name = f"summary-{uuid.uuid4().hex[:6]}"
    file = tmp_path / "routes.toml"
    file.write_text(
        f'[[models]]\nname = "{name}"\ntargets = [{{ region = "us-east-1", model_id = "x.y-v1:0" }}]\n'
        f'[[routes]]\nname = "{name}"\nblue = "{name}"\nbusy_text = "soon"\n'
    )
    dry = cli("apply", "-f", str(file), "--dry-run")
    assert dry.code == 0
    assert f"+ route {name}" in dry.out
    assert cli("route", "show", name).code == 1
    done = cli("apply", "-f", str(file))
    assert "Applied: 2 changed." in done.out
    again = cli("apply", "-f", str(file))
    assert (again.code, "Nothing to change." in again.out) == (0, True)
    file.write_text(file.read_text().replace("soon", "later"))
    changed = cli("apply", "-f", str(file))
    assert '- busy_text = "soon"' in changed.out
    assert '+ busy_text = "later"' in changed.out
    assert name in cli("route", "list").out
    assert json.loads(cli("model", "show", name, "--json").out)["name"] == name
    assert json.loads(cli("route", "show", name, "--json").out)["policy"] == {}
    assert cli("route", "delete", name, "--yes").code == 0
    assert cli("model", "delete", name, "--yes").code == 0


def test_route_show_tells_every_number_in_force_declared_or_not(cli: Any, tmp_path: Path) -> None:
    name = f"policy-{uuid.uuid4().hex[:6]}"
    file = tmp_path / "routes.toml"
    file.write_text(
        f'[[models]]\nname = "{name}"\ntargets = [{{ region = "us-east-1", model_id = "x.y-v1:0" }}]\n'
        f'[[routes]]\nname = "{name}"\nblue = "{name}"\npolicy = {{ outage_tries = 3, busy = false }}\n'
    )
    assert cli("apply", "-f", str(file)).code == 0
    found = json.loads(cli("route", "show", name, "--json").out)
    assert found["policy"] == {"outage_tries": 3, "busy": False}
    in_force = {item["name"]: item for item in found["policy_in_force"]}
    assert (in_force["outage_tries"]["value"], in_force["outage_tries"]["default"]) == (3, 2)
    assert (in_force["first_token"]["value"], in_force["first_token"]["most"]) == (10.0, 600)
    assert (in_force["busy"]["value"], "least" in in_force["busy"]) == (False, False)
    shown = cli("route", "show", name).out
    assert re.search(r"^\* +outage_tries +3 +2 +1 to 10 +outage: at one target \(tries\)", shown, re.MULTILINE)
    assert re.search(r"^ +stall +20 +20 +0\.05 to 600 +between two events of a stream \(seconds\)", shown, re.MULTILINE)
    assert re.search(r"^\* +busy +no +yes +yes, no +answer politely", shown, re.MULTILINE)
    assert re.search(rf"blue +{name} +us-east-1 +x\.y-v1:0", shown)
    assert cli("route", "delete", name, "--yes").code == 0


def test_route_test_says_which_way_a_call_would_take(cli: Any, route: str, tmp_path: Path) -> None:
    rules = '[[routes.rules]]\nwhen = { tiers = ["free"], characters_below = 20 }\n' + f'use = "{route}-small"\n'
    small = f'[[routes]]\nname = "{route}-small"\nblue = "{route}-next"\n'
    routes = f'[[routes]]\nname = "{route}"\nblue = "{route}-now"\n{rules}{small}'
    assert cli("apply", "-f", "-", stdin=routes).code == 0
    short = cli("route", "test", route, "--prompt", "hello", "--tier", "free", "--label", "team=a", "--key", "user-1")
    assert short.code == 0, short.err
    assert f"✔ rule 1 → {route}-small: holds" in short.out
    assert f"1.  {route}-next" in short.out
    assert "Breakers and latency are not known here: each process keeps its own and reports none." in short.out
    assert "5 characters, about 2 tokens, complexity 0.00, tier free, team=a" in short.out
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"messages": [{"role": "user", "content": [{"text": "x" * 30}]}]}))
    long = cli("route", "test", route, "--file", str(file))
    assert "✖ rule 1" in long.out
    assert "characters is 30, not below 20; no tier is given, 'free' is wanted" in long.out
    found = json.loads(cli("route", "test", route, "-f", str(file), "--tier", "free", "--json").out)
    assert (found["route"], found["legs"][0]["rules"][0]["unmet"]) == (route, ["characters is 30, not below 20"])
    register(cli, route)
    split = cli("route", "test", route, "--prompt", "hello", "--conversation", "talk-1").out
    assert "By its conversation the call lies at 0." in split
    assert "green's weight of 1 %" in split


def test_route_test_refuses_what_cannot_be_meant(cli: Any, route: str) -> None:
    assert cli("route", "test", route).err.strip().startswith("prompt: is missing")
    assert cli("route", "test", route, "--prompt", "").err.strip() == "prompt: is empty; give some text"
    assert "Request: 1 character, about 1 token, " in cli("route", "test", route, "--prompt", "x").out
    assert cli("route", "test", route, "--prompt", "x", "--label", "team").err.startswith("--label 'team'")
    assert "no route is named" in cli("route", "test", "nobody", "--prompt", "x").err
    assert "operation: 'Chat' is not known" in cli("route", "test", route, "--prompt", "x", "--operation", "Chat").err


def test_plan_with_many_faults_prints_each_with_its_path_and_saves_nothing(cli: Any, route: str) -> None:
    ran = cli(
        "register", route, "--green", f"{route}-next", "--steps", "25,5,101", "--check", "eror_rate=0.5",
        "--check", "score.accuracy=0",
    )  # fmt: skip
    assert ran.code == 1
    paths = {line.partition(": ")[0] for line in ran.err.splitlines()}
    assert {"plan.steps[1].weight", "plan.steps[2].weight", "plan.checks[0].metric", "plan.checks[1].margin"} <= paths
    assert json.loads(cli("list", "--route", route, "--json").out)["rollouts"] == []


def test_amend_changes_the_checks_and_says_what_became_of_each(cli: Any, route: str) -> None:
    made = register(cli, route)
    why = ("--reason", "no scores come")
    done = cli("amend", route, "--margin", "error_rate=2", "--remove", "score.accuracy", "--check", "refusal=1", *why)
    assert done.code == 0, done.err
    assert "error rate starts anew with a margin of 2 points instead of 0.5 points, on 25 % of alpha" in done.out
    assert "accuracy is removed, its 50 % of alpha with it" in done.out
    assert "refusals is added with a margin of 1 point, on 25 % of alpha" in done.out
    again = cli("amend", route, "--margin", "error_rate=2", *why)
    assert again.code == 0
    number = made["id"]
    assert again.out.splitlines() == [
        f"Nothing was amended: the checks of rollout {number} are these already.",
        f"rollout {number} ◌ progressing",
    ]
    assert done.out.count("error rate starts anew") == 1
    limited = cli("amend", route, "--check", "latency=2", "--limit", "latency=1.8", *why, "--json")
    assert json.loads(limited.out)["plan"]["checks"][2]["limit"] == 1.8
    entry = json.loads(cli("journal", route, "--json").out)["journal"][0]
    assert (entry["act"], entry["reason"]) == ("amend", "no scores come")
    assert cli("replay", route, "--json").code == 0
    old = cli("amend", route, "--margin", "error_rate=3", "--version", str(made["version"]), *why)
    assert (old.code, "look again" in old.err) == (1, True)


def test_amend_changes_what_a_check_does_and_how_long_it_waits(cli: Any, route: str) -> None:
    register(cli, route)
    roles = ("--on-breach", "error_rate=pause", "--gating", "error_rate=no", "--maturity", "score.accuracy=3600")
    done = cli("amend", route, *roles, "--reason", "scores come late", "--json")
    assert done.code == 0, done.err
    errors, accuracy = json.loads(done.out)["plan"]["checks"]
    assert (errors["on_breach"], errors["gating"], errors.get("since")) == ("pause", False, None)
    assert (accuracy["maturity"], accuracy["since"] is None) == (3600, False)
    sentence = json.loads(done.out)["amendment"]["sentence"]
    assert "error rate keeps its evidence, on 50 % of alpha; its breach now pauses; it gates no longer" in sentence
    assert "accuracy starts anew with a maturity of 3600 s instead of 60 s" in sentence


def test_a_path_into_a_list_comes_with_a_word_on_how_it_counts(cli: Any, route: str) -> None:
    ran = cli("register", route, "--green", f"{route}-next", "--steps", "25,5", "--check", "error_rate=1")
    assert ran.err.splitlines() == [
        "plan.steps[1].weight: is 5; weights must rise, and the step before has 25",
        "(places in a list count from 0: [0] is the first)",
    ]
    assert "count from 0" not in cli("status", "999999").err


def test_a_plan_without_a_check_is_told_the_option(cli: Any, route: str) -> None:
    ran = cli("register", route, "--green", f"{route}-next", "--steps", "5,25")
    assert (ran.code, "no check: give --check METRIC=MARGIN such as error_rate=0.5" in ran.err) == (2, True)


def test_of_a_rollout_that_was_never_started_nothing_is_replayed(cli: Any, route: str) -> None:
    register(cli, route, "--pending")
    assert cli("replay", route).out.strip() == "It was never started: there is nothing to replay."


def answered(controller: Any, answer: bytes, *arguments: str) -> tuple[int, str, str]:
    """How a command ends that a person on a terminal answers: (code, standard output, standard error)."""
    ours, theirs = pty.openpty()
    asking = subprocess.Popen(
        [sys.executable, "-m", "crossfade", *arguments],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment({"CROSSFADE_URL": controller.url, "CROSSFADE_TOKEN": controller.token}),
    )
    os.write(ours, answer)
    out, err = asking.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    return asking.returncode, out, err


def test_a_deletion_asks_first_and_the_question_is_no_part_of_the_json(cli: Any, controller: Any, route: str) -> None:
    alone = cli("route", "delete", route)
    assert (alone.code, "nobody is there to answer: give --yes" in alone.err) == (2, True)
    for answer, ended, there in ((b"n\n", (130, ""), 0), (b"y\n", (0, f'{{\n  "deleted": "{route}"\n}}\n'), 1)):
        *found, asked = answered(controller, answer, "route", "delete", route, "--json")
        assert f"Delete route {route}? Services that call it go straight to Bedrock then." in asked
        assert tuple(found) == ended
        assert cli("route", "show", route).code == there


def test_deleting_the_model_that_an_undo_would_return_to_says_so(cli: Any, controller: Any, route: str) -> None:
    number = register(cli, route)["id"]
    assert cli("promote", route, "--reason", "x").code == 0
    other = json.loads(cli("register", route, "--green", f"{route}-now", *CHECKS, "--json").out)["id"]
    assert cli("abort", route, "--reason", "x").code == 0
    wrong = cli("undo", route, "--reason", "x")
    assert wrong.code == 1
    assert f"promoted '{route}-next' over '{route}-now': crossfade undo {number}" in " ".join(wrong.err.split()), other
    lost = f"Rollout {number} cannot be undone without it."
    shown = cli("model", "show", f"{route}-now").out
    assert f"rollout {number} would return to it" in shown
    *_, asked = answered(controller, b"n\n", "model", "delete", f"{route}-now")
    assert f"Delete Model {route}-now? {lost}" in asked
    gone = cli("model", "delete", f"{route}-now", "--yes")
    assert (gone.code, f"Deleted Model {route}-now. {lost}" in gone.out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--margin", "tone=1"), 2, "the rollout has no such check; it has error_rate, score.accuracy"),
        (("--remove", "tone"), 2, "the rollout has no such check"),
        (("--check", "error_rate=1"), 2, "is checked already; --margin changes its margin"),
        (("--margin", "2"), 2, "METRIC=MARGIN"),
        (("--margin", "error_rate=0"), 1, "checks[0].margin"),
        (("--remove", "error_rate", "--remove", "score.accuracy"), 1, "checks: has 0 entries"),
        (("--margin", "error_rate=2", "--remove", "error_rate"), 2, "--remove error_rate: something else is given"),
        (
            ("--gating", "error_rate=no", "--remove", "error_rate"),
            2,
            "--remove error_rate: something else is given for",
        ),
        (("--maturity", "60"), 2, "'60' is not METRIC=SECONDS such as score.accuracy=3600"),
        (("--gating", "error_rate=maybe"), 2, "'error_rate=maybe' is not METRIC=yes or METRIC=no"),
        (("--on-breach", "tone=tell"), 2, "--on-breach tone needs a check of tone: give --check tone=MARGIN too"),
        (
            ("--on-breach", "error_rate=explode", "--gating", "error_rate=maybe"),
            2,
            "--on-breach: 'error_rate=explode' is not METRIC=ACT, which is one of roll_back, pause, tell\n"
            "--gating: 'error_rate=maybe' is not METRIC=yes or METRIC=no",
        ),
    ],
)
def test_what_cannot_be_amended_names_the_check(
    cli: Any, route: str, arguments: tuple[str, ...], code: int, said: str
) -> None:
    register(cli, route)
    ran = cli("amend", route, *arguments, "--reason", "x")
    assert (ran.code, said in ran.err) == (code, True), ran.err


def test_plan_is_forecast_on_a_route_with_rates_given_by_hand(cli: Any, route: str) -> None:
    ran = cli("plan", route, "--check", "error_rate=2", "--traffic", "40", "--base", "error_rate=0.02")
    assert ran.code == 0, ran.err
    assert "At 40 calls a second, the 4 steps take about" in ran.out
    silent = cli("plan", route, *CHECKS)
    assert (silent.code, "No calls of this route" in silent.out) == (0, True)
    assert cli("plan", "nowhere", *CHECKS).code == 1
    assert "plan.steps[1].weight" in cli("plan", route, "--steps", "25,5", *CHECKS).err
    assert json.loads(cli("list", "--route", route, "--json").out)["rollouts"] == []


def test_registered_rollout_is_shown_as_a_tree(cli: Any, route: str) -> None:
    made = register(cli, route)
    assert made["phase"] == "progressing"
    shown = cli("status", route).out
    for words in (f"route {route}", f"{route}-now", f"{route}-next", "◌ progressing", "steps", "checks", "Verdict:"):
        assert words in shown
    assert f"{route}-next" in cli("list", "--route", route).out


def test_a_limit_is_given_on_the_command_line_or_asked_for(cli: Any, route: str) -> None:
    ran = cli("register", route, "--green", f"{route}-next", "--check", "error_rate=1", "--check", "latency=1")
    assert ran.code == 1
    assert "plan.checks[1].limit: blue has no recorded timed calls" in ran.err
    made = register(
        cli, route, "--check", "latency=1", "--check", "cost=2", "--limit", "latency=1.8", "--limit", "cost=0.04"
    )
    held = {check["metric"]: check["limit"] for check in made["plan"]["checks"]}
    assert (held["latency"], held["cost"]) == (1.8, 0.04)
    said = json.loads(cli("journal", route, "--json").out)["journal"][-1]["sentence"]
    assert "Counted: calls slower than 1.8 s, cost a call up to $0.0400." in said


def test_a_plan_is_calibrated_and_an_overdispersion_given_on_the_command_line(cli: Any, route: str) -> None:
    ran = cli("calibrate", route, *CHECKS)
    assert ran.code == 0, ran.err
    assert "Too little history to tell" in ran.out
    found = json.loads(cli("calibrate", route, *CHECKS, "--overdispersion", "error_rate=2", "--json").out)
    assert found["overdispersion"]["error_rate"] == 2
    assert "replays" in cli("calibrate", route, *CHECKS, "--replays", "1").err
    assert cli("calibrate", route, *CHECKS, "--overdispersion", "latency=2").code == 2
    made = register(cli, route, "--overdispersion", "error_rate=2")
    held = {check["metric"]: check["overdispersion"] for check in made["plan"]["checks"]}
    assert held["error_rate"] == 2
    said = json.loads(cli("journal", route, "--json").out)["journal"][-1]["sentence"]
    assert "Too little history to tell" in said


def test_plan_in_a_file_carries_green_and_reason(cli: Any, route: str, tmp_path: Path) -> None:
    file = tmp_path / "rollout.toml"
    file.write_text(
        f'green = "{route}-next"\nreason = "it is cheaper"\nsteps = [{{ weight = 10, bake = 60 }}]\n'
        'checks = [{ metric = "error_rate", margin = 1 }]\n'
    )
    assert cli("register", route, "-f", str(file)).code == 0
    assert "it is cheaper" in cli("journal", route).out


def test_verbs_move_a_rollout_and_the_journal_keeps_the_reasons(cli: Any, route: str) -> None:
    number = str(register(cli, route, "--pending")["id"])
    for verb, phase in (
        ("start", "progressing"),
        ("pause", "paused"),
        ("resume", "progressing"),
        ("advance", "progressing"),
        ("promote", "promoted"),
        ("undo", "aborted"),
    ):
        ran = cli(verb, number, "--reason", f"because of {verb}", "--json")
        assert ran.code == 0, ran.err
        assert json.loads(ran.out)["phase"] == phase
    rows = list(csv.DictReader(io.StringIO(cli("journal", number, "--csv").out)))
    assert {row["act"] for row in rows} >= {"start", "pause", "resume", "advance", "promote", "undo"}


def test_act_that_the_phase_does_not_allow_says_what_is_there(cli: Any, route: str) -> None:
    number = str(register(cli, route)["id"])
    ran = cli("resume", number, "--reason", "x")
    assert ran.code == 1
    assert "is progressing" in ran.err
    second = cli("register", route, "--green", f"{route}-next", *CHECKS)
    assert second.code == 1
    assert f"rollout {number}" in second.err
    stale = cli("pause", number, "--reason", "x", "--version", "1")
    assert stale.code == 1
    assert "version" in stale.err


def test_status_watch_ends_with_the_rollout_and_tells_by_exit_code(cli: Any, route: str) -> None:
    number = str(register(cli, route)["id"])
    assert cli("status", number, "--exit-code").code == 10
    cli("abort", number, "--reason", "enough")
    ran = cli("status", number, "--watch", "--exit-code", "--every", "0.2")
    assert ran.code == 11
    assert "aborted" in ran.out


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that the account Postgres runs under may pass through, as pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="crossfade-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.mark.parametrize("command", [("status", "999999"), ("status", "no-such-route"), ("route", "show", "nowhere")])
def test_what_is_not_there_is_exit_1(cli: Any, command: tuple[str, ...]) -> None:
    ran = cli(*command)
    assert ran.code == 1
    assert ran.err.strip()


def test_tokens_are_made_listed_and_revoked(cli: Any, controller: Any) -> None:
    name = f"viewer-{uuid.uuid4().hex[:6]}"
    text = cli("token", "create", name, "--role", "viewer").out.strip()
    assert cli("list", CROSSFADE_TOKEN=text).code == 0
    refused = cli("token", "list", CROSSFADE_TOKEN=text)
    assert refused.code == 1
    assert "viewer" in refused.err
    listed = json.loads(cli("token", "list", "--json").out)["tokens"]
    assert text not in json.dumps(listed)
    number = next(token["id"] for token in listed if token["name"] == name)
    unsure = cli("token", "revoke", str(number))
    assert (unsure.code, "give --yes" in unsure.err) == (2, True)
    code, _, asked = answered(controller, b"n\n", "token", "revoke", str(number))
    assert (code, f"Revoke token {number}, {name} (viewer)? Whoever uses it is refused" in asked) == (130, True)
    assert cli("list", CROSSFADE_TOKEN=text).code == 0
    assert cli("token", "revoke", str(number), "--yes").code == 0
    assert cli("list", CROSSFADE_TOKEN=text).code == 1


def test_first_admins_token_needs_no_controller(anywhere: Any, cli: Any, controller: Any) -> None:
    made = anywhere("token", "first", "root", DATABASE_URL=controller.database_url, CROSSFADE_SECRET=controller.secret)
    assert made.code == 0, made.err
    assert cli("token", "list", CROSSFADE_TOKEN=made.out.strip()).code == 0


def test_login_link_opens_a_page(cli: Any, controller: Any) -> None:
    link = json.loads(cli("login-link", "--json").out)["url"]
    assert link.startswith(controller.url)
    with build_opener(HTTPCookieProcessor()).open(link, timeout=10) as page:
        assert page.status == 200
        assert "login" not in page.url


def test_up_runs_everything_keeps_its_secrets_to_itself_and_ends_clean(open_folder: Path) -> None:
    data = open_folder / "data"
    command = [sys.executable, "-m", "crossfade", "up", "--port", "0", "--data", str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean_environment({})) as up:
        assert up.stdout is not None
        said = [up.stdout.readline() for _ in range(4)]
        address = said[0].split()[1]
        assert is_healthy(address)
        for name in ("secret", "admin-token"):
            assert stat.S_IMODE((data / name).stat().st_mode) == 0o600
        logs = {path: path.stat().st_ino for path in (data / "logs").iterdir()}
        second = subprocess.run(command, capture_output=True, text=True, env=clean_environment({}), timeout=60)
        assert (second.returncode, second.stderr.count("\n")) == (2, 1)
        assert f"this data folder is in use by pid {up.pid}" in second.stderr
        assert {path: path.stat().st_ino for path in logs} == logs, "the first one's logs are its own"
        for path in logs:
            os.truncate(path, 0)  # as a person may: no reason to end
        time.sleep(2 * LOOK_SECONDS)
        assert up.poll() is None
        assert is_healthy(address)
        up.send_signal(signal.SIGINT)
        assert up.wait(60) == 130
    assert not is_healthy(address)


def test_a_log_that_is_cut_or_taken_away_is_followed_from_its_new_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "controller.log"
    log.write_text("one\ntwo\n")
    seen = _relay("controller", log, 0)
    log.write_text("new\n")
    assert _relay("controller", log, seen) == 4
    log.unlink()
    assert _relay("controller", log, 4) == 0
    assert [line.rpartition(" ")[2] for line in capsys.readouterr().err.splitlines()] == ["one", "two", "new"]
