"""dev.py: what it says, what it needs, how it gives up. A stand-in for .venv keeps these tests short."""

from __future__ import annotations

import ast
import fcntl
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
DEV = CHECKOUT / "dev.py"


def dev(*arguments: str, script: Path = DEV, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, script, *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, **env},
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with dev.py, the lock and the project file, and no .venv."""
    locks = ("tests/compat/requirements.lock", "tests/compat/boto3-floor.lock")
    (tmp_path / "tests" / "compat").mkdir(parents=True)
    for name in ("dev.py", "requirements.lock", "pyproject.toml", *locks):
        shutil.copy(CHECKOUT / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def made(checkout: Path) -> Path:
    """A checkout whose venvs are made: their python is a script that says how it was called."""
    names = runpy.run_path(str(checkout / "dev.py"))
    for venv in (names["MAIN"], names["FRAMEWORKS"], names["FLOOR"]):
        venv.python.parent.mkdir(parents=True)
        venv.python.write_text('#!/bin/sh\necho "$@"\necho "VIRTUAL_ENV=$VIRTUAL_ENV"\n')
        venv.python.chmod(0o755)
        venv.stamp.write_text(names["stamp"](venv))
    return checkout


def test_help_fits_one_screen_and_names_every_command() -> None:
    done = dev("--help")
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert all(f"\n  {command} " in done.stdout for command in runpy.run_path(str(DEV))["COMMANDS"])


def test_an_unknown_command_is_one_line_and_exit_code_2() -> None:
    done = dev("dance")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "dance" in done.stderr
    assert "demo, up, test, check, bench" in done.stderr


def test_only_the_standard_library_is_imported() -> None:
    tree = ast.parse(DEV.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def test_an_older_python_can_read_it_and_is_told_what_it_needs() -> None:
    ast.parse(DEV.read_text(), feature_version=(3, 7))
    pretend = f"import sys; sys.version_info = (3, 9, 2); exec(open({str(DEV)!r}).read())"
    done = subprocess.run([sys.executable, "-c", pretend], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "dev.py: needs Python 3.11 or newer and this is 3.9: try python3.12 dev.py\n"


def test_a_made_venv_costs_nothing_and_every_argument_is_passed_on(made: Path) -> None:
    began = time.monotonic()
    done = dev("demo", "--scenario", "worse", "--seed", "7", script=made / "dev.py")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "-P -m crossfade.demo --scenario worse --seed 7",
        f"VIRTUAL_ENV={made / '.venv'}",
    ]
    assert done.stderr == ""
    assert time.monotonic() - began < 30
    assert dev("up", "--port", "0", script=made / "dev.py").stdout.startswith("-P -m crossfade up --port 0\n")


AT_THE_FLOOR = " ".join(runpy.run_path(str(DEV))["AT_THE_FLOOR"])
TESTED = [
    ((), "", [".venv -m pytest -m not slow"]),
    (("-k", "x"), "", [".venv -m pytest -m not slow -k x"]),
    (
        ("-k", "x"),
        "true",
        [
            ".venv -m pytest -k x",
            ".venv-compat -m pytest -k x tests/compat",
            f".venv-floor -m pytest -k x {AT_THE_FLOOR}",
        ],
    ),
    (
        ("--full",),
        "",
        [".venv -m pytest", ".venv-compat -m pytest tests/compat", f".venv-floor -m pytest {AT_THE_FLOOR}"],
    ),
    (("--full", "tests/core"), "", [".venv -m pytest tests/core"]),
    (("tests/compat", "--write-page"), "", [".venv-compat -m pytest --write-page tests/compat"]),
    (
        ("tests/core", "tests/compat/test_page.py", "-x"),
        "",
        [".venv -m pytest -m not slow tests/core -x", ".venv-compat -m pytest -x tests/compat/test_page.py"],
    ),
]


def run_tests(made: Path, *arguments: str, ci: str = "") -> subprocess.CompletedProcess[str]:
    browser = made / "chromium"
    browser.write_text("#!/bin/sh\n")
    browser.chmod(0o755)
    return dev("test", *arguments, script=made / "dev.py", PATH=f"{made}:{os.environ['PATH']}", CI=ci)


@pytest.mark.parametrize(("arguments", "ci", "expected"), TESTED)
def test_what_is_tested_and_in_which_venv(made: Path, arguments: tuple[str, ...], ci: str, expected: list[str]) -> None:
    done = run_tests(made, *arguments, ci=ci)
    lines = done.stdout.splitlines()
    venvs = [Path(line.partition("=")[2]).name for line in lines[1::2]]
    assert [f"{venv} {line}" for venv, line in zip(venvs, lines[::2], strict=True)] == expected
    left_out = "left out: tests/compat and the lowest boto3" in done.stderr
    assert left_out is (len(expected) == 1 and "tests" not in expected[0])
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("codes", "arguments", "expected"),
    [
        ({".venv": 5}, ["-k", "x"], 0),  # it matched in another venv
        ({".venv": 5, ".venv-compat": 5, ".venv-floor": 5}, ["-k", "x"], 1),
        ({".venv-compat": 5}, [], 1),
        ({".venv-floor": 1}, [], 1),
        ({".venv-compat": 4}, [], 2),
    ],
)
def test_the_worst_of_the_venvs_decides(made: Path, codes: dict[str, int], arguments: list[str], expected: int) -> None:
    for name, code in codes.items():
        (made / name / "bin" / "python").write_text(f"#!/bin/sh\nexit {code}\n")
    assert run_tests(made, "--full", *arguments).returncode == expected


def test_check_runs_everything_and_fails_if_one_part_does(made: Path) -> None:
    python = made / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\ncase "$*" in *mypy*) exit 3;; esac\n')
    done = dev("check", script=made / "dev.py")
    assert done.returncode == 1
    assert "ruff check: ok, ruff format: ok, mypy: failed, import contract: ok" in done.stdout


@pytest.fixture
def benched(made: Path) -> Path:
    """A made checkout with one benchmark, and a package beside it that is none."""
    for name, text in (("fast/__main__.py", '"""Says how fast.\n\nMore."""\n'), ("helpers/__init__.py", "")):
        path = made / "benchmarks" / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return made


def test_bench_without_a_name_lists_the_benchmarks_and_what_each_is(benched: Path) -> None:
    done = dev("bench", script=benched / "dev.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["fast", "Says", "how", "fast."]


def test_bench_hands_every_further_argument_to_the_benchmark(benched: Path) -> None:
    done = dev("bench", "fast", "--runs", "7", script=benched / "dev.py")
    assert done.returncode == 0
    assert done.stdout.startswith("-m benchmarks.fast --runs 7\n")


def test_an_unknown_benchmark_is_one_line_and_exit_code_2(benched: Path) -> None:
    done = dev("bench", "helpers", script=benched / "dev.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "dev.py: no benchmark 'helpers': there is fast\n"


@pytest.mark.parametrize("change", ["requirements.lock", "pyproject.toml"])
def test_a_venv_made_from_something_else_is_not_taken_for_made(made: Path, change: str) -> None:
    is_made = runpy.run_path(str(made / "dev.py"))["is_made"]
    assert is_made()
    (made / change).write_text((made / change).read_text() + "\n# changed\n")
    assert not is_made()


def test_a_moved_checkout_is_not_taken_for_made(made: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    moved = tmp_path_factory.mktemp("moved") / "checkout"
    shutil.copytree(made, moved)
    assert not runpy.run_path(str(moved / "dev.py"))["is_made"]()


def test_without_packages_it_gives_up_in_one_line_and_the_half_made_venv_is_no_obstacle(checkout: Path) -> None:
    nowhere = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(checkout / "empty"), "PIP_CONFIG_FILE": os.devnull}
    done = dev("check", script=checkout / "dev.py", **nowhere)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("dev.py: pip could not install packages: ")
    assert "Traceback" not in done.stderr
    assert not (checkout / ".venv" / "crossfade.stamp").exists()
    again = dev("check", script=checkout / "dev.py", **nowhere)
    assert again.stderr.splitlines()[0] == "dev.py: making .venv"


def test_a_second_one_waits_for_the_first_to_make_the_venv(made: Path) -> None:
    stamp = made / ".venv" / "crossfade.stamp"
    said = stamp.read_text()
    stamp.unlink()
    folder = os.open(made, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    with subprocess.Popen(
        [sys.executable, made / "dev.py", "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert "waiting for another dev.py" in process.stderr.readline()
        stamp.write_text(said)
        os.close(folder)
        out, _ = process.communicate(timeout=30)
    assert out.startswith("-P -m crossfade.demo")


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_ends_quietly_when_told_to_and_so_does_what_it_runs(made: Path, signum: int, code: int) -> None:
    (made / ".venv" / "bin" / "python").write_text("#!/bin/sh\necho started\nexec sleep 60\n")
    with subprocess.Popen(
        [sys.executable, made / "dev.py", "check"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell's background job ignores Ctrl-C and hands that down; a terminal's foreground job does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "-- ruff check\n"
        assert process.stdout.readline() == "started\n"
        if signum == signal.SIGINT:
            os.killpg(process.pid, signum)  # as a terminal does
        else:
            process.send_signal(signum)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (code, "")
