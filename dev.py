#!/usr/bin/env python3
"""Makes .venv from requirements.lock, then runs Crossfade's commands in it. Needs only the standard library."""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036 (this file is what an older Python is handed)
    version = ".".join(map(str, sys.version_info[:2]))
    print(f"dev.py: needs Python 3.11 or newer and this is {version}: try python3.12 dev.py", file=sys.stderr)
    sys.exit(2)

import ast
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

HELP = """\
python3 dev.py COMMAND [ARGUMENT...]      Crossfade from this checkout

  demo    Postgres, controller, scheduler, a local Bedrock and two services, all
          real processes; watch a candidate earn its promotion, or lose it.
          [--scenario better|worse|broken|throttled|outage|same]
          [--headless] [--seed N] [--report FILE] [--port N]
  up      controller, scheduler and Postgres for real use (DATABASE_URL if set)
  test    pytest, page tests in Chromium included (found, else installed)
          [--full] adds the tests marked slow, and in venvs of their own the
          frameworks (tests/compat) and the lowest boto3; the rest is pytest's
  check   ruff, ruff format --check, mypy --strict, the import contract
  bench   [NAME [ARGUMENT...]] runs one of benchmarks/; without NAME: a list

The first command makes .venv from requirements.lock (about a minute, online);
from then on nothing is fetched. `rm -r .venv` undoes it. demo --help and
up --help say more about those two.

Exit codes: 0 all well, 1 it failed, 2 it could not start (one line says what
to do), 130 Ctrl-C. CI=true: test is --full, and a missing browser fails it.
"""

ROOT = Path(__file__).resolve().parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
COMPAT = "tests/compat"
JAVASCRIPT = ROOT / COMPAT / "javascript"
AT_THE_FLOOR = [
    f"tests/shim/test_{name}.py" for name in ("boto3", "client", "counted", "interrupted", "policy_rules", "streams")
]
CHECKS = {
    "ruff check": ["-m", "ruff", "check", "."],
    "ruff format": ["-m", "ruff", "format", "--check", "."],
    "mypy": ["-m", "mypy"],
    "import contract": ["-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-logo"],
}


class Trouble(Exception):  # noqa: N818 (a noun reads better at the raise)
    """Something about this machine keeps us from starting: one line, what, where, what to do."""


# The virtual environments


class Venv:
    """A virtual environment in the checkout: `name` is its folder's, `lock` the hashed packages it is made of."""

    def __init__(self, name: str, lock: str) -> None:
        self.name = name
        self.path = ROOT / name
        self.python = self.path / "bin" / "python"
        self.stamp = self.path / "crossfade.stamp"
        self.log = self.path / "install.log"
        self.lock = ROOT / lock


MAIN = Venv(".venv", "requirements.lock")
FRAMEWORKS = Venv(".venv-compat", "tests/compat/requirements.lock")
FLOOR = Venv(".venv-floor", "tests/compat/boto3-floor.lock")


def stamp(venv: Venv = MAIN) -> str:
    """What it was made from: another lock, Python, place or project file means that it must be brought up."""
    parts = [sys.implementation.cache_tag or "", sys.version, str(ROOT)]
    parts += [hashlib.sha256(path.read_bytes()).hexdigest() for path in (venv.lock, ROOT / "pyproject.toml")]
    return "\n".join(parts) + "\n"


def is_made(venv: Venv = MAIN) -> bool:
    return venv.python.exists() and venv.stamp.exists() and venv.stamp.read_text() == stamp(venv)


def ensure_venv(venv: Venv = MAIN) -> None:
    """Makes it if there is none that fits. Says nothing and costs nothing if there is."""
    if is_made(venv):
        return
    with only_one():
        if not is_made(venv):
            make_venv(venv)


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Holds off a second dev.py that would make the same one. The lock is on the folder: no file is left."""
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another dev.py, which is making a venv")
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def make_venv(venv: Venv) -> None:
    if importlib.util.find_spec("ensurepip") is None:
        raise Trouble(
            f"{sys.executable} has no ensurepip to make {venv.name} with: install it (apt-get install python3-venv)"
        )
    began = time.monotonic()
    *base, lock, _project = stamp(venv).splitlines()
    there = venv.python.exists() and venv.stamp.exists()
    *old_base, old_lock, _ = venv.stamp.read_text().splitlines() if there else ("", "")
    # The same Python at the same place: only what differs is brought up. Anything else, half-made or copied from
    # elsewhere, is made anew.
    if old_base != base:
        say(f"making {venv.name}")
        create_venv(venv)
        old_lock = ""
    venv.stamp.unlink(missing_ok=True)
    venv.log.unlink(missing_ok=True)
    if old_lock != lock:
        pip(venv, "packages", "--no-deps", "--require-hashes", "-r", str(venv.lock))
    pip(venv, "crossfade", "--no-deps", "--no-build-isolation", "-e", str(ROOT))
    venv.stamp.write_text(stamp(venv))
    say(f"made {venv.name} in {time.monotonic() - began:.0f} s")


def create_venv(venv: Venv) -> None:
    if venv.path.exists():
        shutil.rmtree(venv.path)
    python = getattr(sys, "_base_executable", sys.executable)  # ours may be the one just removed
    made = subprocess.run([python, "-m", "venv", venv.path], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise Trouble(f"cannot make {venv.path}: {last_line(made.stdout + made.stderr)}")


def pip(venv: Venv, what: str, *arguments: str) -> None:
    """Runs `pip install`, showing how far it is; its whole output goes to a log."""
    command = [str(venv.python), "-I", "-m", "pip", "install", "--progress-bar", "off", "--no-input", *arguments]
    # Where pip looks for packages is this machine's business; where it puts them is ours.
    astray = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_DRY_RUN", "PIP_NO_DEPS", "PIP_REQUIREMENT")
    env = {name: value for name, value in os.environ.items() if name not in astray}
    env.update(PIP_USER="0", PIP_DISABLE_PIP_VERSION_CHECK="1", PYTHONUNBUFFERED="1")
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, cwd=ROOT
    )
    try:
        said = follow(process, venv, what)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait()
    with venv.log.open("a") as log:
        log.write(said)
    if process.returncode != 0:
        errors = re.findall(r"^ERROR: (.+)$", said, re.MULTILINE)
        reason = errors[0] if errors else last_line(said)
        hint = "free some space" if "No space left" in said else "check the network and pip's settings, then try again"
        raise Trouble(f"pip could not install {what}: {reason}: {hint} (all it said: {venv.log})")


def follow(process: subprocess.Popen[bytes], venv: Venv, what: str) -> str:
    """Reads pip's output to its end and shows progress: packages fetched, then packages installed, of how many."""
    assert process.stdout is not None
    total = len(re.findall(r"^[A-Za-z0-9]", venv.lock.read_text(), re.MULTILINE)) if what == "packages" else 1
    before = installed(venv)
    meter = Meter()
    text, name = "", ""
    while True:
        ready, _, _ = select.select([process.stdout], [], [], 0.25)
        if ready:
            read = os.read(process.stdout.fileno(), 65536)
            if not read:
                break
            text += read.decode(errors="replace")
        seen = re.findall(r"^(?:Collecting|Requirement already satisfied:) ([A-Za-z0-9._-]+)", text, re.MULTILINE)
        name = seen[-1] if seen else name
        of = max(total - len(re.findall(r"^Ignoring ", text, re.MULTILINE)), len(seen))
        if "\nInstalling collected packages" in text:
            meter.show(f"{what}: installed {min(installed(venv) - before, of)} of {of}")
        else:
            meter.show(f"{what}: fetched {len(seen)} of {of} {name}")
    meter.end()
    return text


def installed(venv: Venv) -> int:
    return sum(1 for _ in venv.path.glob("lib/python*/site-packages/*.dist-info"))


class Meter:
    """One living line on a terminal; elsewhere a line every few seconds."""

    def __init__(self) -> None:
        self.living = sys.stderr.isatty()
        self.began = self.last = time.monotonic()

    def show(self, line: str) -> None:
        now = time.monotonic()
        line = f"{line} ({now - self.began:.0f} s)"
        if self.living:
            print(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}", end="", file=sys.stderr, flush=True)
        elif now - self.last >= 5:
            self.last = now
            say(line)

    def end(self) -> None:
        if self.living:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


# The browser for the page tests


def ensure_browser() -> None:
    """Chromium if there is one, else playwright's own, else Debian's package; else the tests say why they skip."""
    gave_up = MAIN.path / "no-browser"
    if any(map(shutil.which, BROWSERS)) or playwrights_own_runs():
        return
    if gave_up.exists() and time.time() - gave_up.stat().st_mtime < 3600:
        say("no browser; tried to get one within the last hour")
        return
    say("no Chromium found: asking playwright for its own")
    attempt([MAIN.python, "-m", "playwright", "install", "chromium"], seconds=300)
    if playwrights_own_runs():
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        say("playwright has none that runs here: installing Debian's chromium")
        attempt(["apt-get", "update"], seconds=120)
        attempt(["apt-get", "install", "-y", "--no-install-recommends", "chromium"], seconds=600)
    if not any(map(shutil.which, BROWSERS)):
        gave_up.touch()
        say("no browser can be had here: page tests will be skipped (install chromium to run them)")


def playwrights_own_runs() -> bool:
    """It may be there and not run, for want of system libraries."""
    ask = "from playwright.sync_api import sync_playwright as s\nwith s() as p: print(p.chromium.executable_path)"
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        path = subprocess.run(
            [MAIN.python, "-c", ask], capture_output=True, text=True, timeout=60, check=True
        ).stdout.strip()
        return subprocess.run([path, "--version"], capture_output=True, timeout=60, check=False).returncode == 0
    return False


def ensure_javascript() -> None:
    """The AWS SDK for JavaScript, from its lock, for tests/compat; without npm they say why they skip."""
    lock, made = JAVASCRIPT / "package-lock.json", JAVASCRIPT / "node_modules" / "crossfade.stamp"
    if not lock.exists() or (made.exists() and made.read_text() == lock.read_text()):
        return
    if shutil.which("npm") is None:
        say("no npm found: what asks from JavaScript is skipped (install nodejs and npm to run it)")
        return
    attempt(["npm", "ci", "--prefix", JAVASCRIPT, "--ignore-scripts", "--no-audit", "--no-fund"], seconds=300)
    if made.parent.exists():
        made.write_text(lock.read_text())


def attempt(command: list[str | Path], *, seconds: float) -> None:
    """Runs a command that may fail, in bounded time; says its last line if it does."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=env,
        start_new_session=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=seconds)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGTERM)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            said = f"no answer within {seconds:.0f} s"
    if process.returncode != 0:
        said = next((line for line in said.splitlines() if re.match(r"E:|Error:|.*Error", line)), last_line(said))
        say(f"  {' '.join(map(str, command[:4]))} failed: {said.strip()}")


# Commands


def demo(arguments: list[str]) -> NoReturn:
    become("-m", "crossfade.demo", *arguments)


def up(arguments: list[str]) -> NoReturn:
    become("-m", "crossfade", "up", *arguments)


def test(arguments: list[str]) -> int:
    full = "--full" in arguments or os.environ.get("CI") == "true"
    arguments = [argument for argument in arguments if argument != "--full"]
    paths = [argument for argument in arguments if argument.startswith("tests")]
    compat = [path for path in paths if path.startswith(COMPAT)]
    selection = [argument for argument in arguments if argument not in compat]
    codes = []
    if not paths or paths != compat:
        ensure_venv()
        ensure_browser()
        codes.append(run("-m", "pytest", *([] if full else ["-m", "not slow"]), *selection))
    if compat or (full and not paths):
        ensure_venv(FRAMEWORKS)
        ensure_javascript()
        options = [argument for argument in arguments if argument not in paths]
        codes.append(run("-m", "pytest", *options, *(compat or [COMPAT]), venv=FRAMEWORKS))
        if not paths:
            ensure_venv(FLOOR)
            codes.append(run("-m", "pytest", *options, *AT_THE_FLOOR, venv=FLOOR))
    elif not paths:
        say(f"left out: {COMPAT} and the lowest boto3, which need venvs of their own (--full makes them, online)")
    if set(codes) == {5}:
        say("no test matches")
    elif arguments:  # a selection need not match in each of the venvs
        codes = [code for code in codes if code != 5]
    return max({0: 0, 4: 2}.get(code, 1) for code in codes)


def check(arguments: list[str]) -> int:
    if arguments:
        raise Trouble(f"dev.py check takes no argument, and got {arguments[0]}")
    ensure_venv()
    results = {}
    for name, command in CHECKS.items():
        print(f"-- {name}", flush=True)
        results[name] = run(*command)
    print("-- " + ", ".join(f"{name}: {'failed' if code else 'ok'}" for name, code in results.items()))
    return 1 if any(results.values()) else 0


def bench(arguments: list[str]) -> int:
    there = benchmarks()
    if not arguments:
        print("\n".join(f"{name:<10} {what}" for name, what in there.items()))
        return 0
    name, *rest = arguments
    if name not in there:
        raise Trouble(f"no benchmark {name!r}: there is {', '.join(there)}")
    ensure_venv()
    return run("-m", f"benchmarks.{name}", *rest)


def benchmarks() -> dict[str, str]:
    """The packages of benchmarks/ that can be run, and the first line of what each says of itself."""
    return {
        main.parent.name: (ast.get_docstring(ast.parse(main.read_text())) or "").partition("\n")[0]
        for main in sorted(ROOT.glob("benchmarks/*/__main__.py"))
    }


def become(*arguments: str) -> NoReturn:
    """Replaces this process, so that signals and the exit code are the command's own."""
    ensure_venv()
    sys.stdout.flush()
    os.execve(MAIN.python, [str(MAIN.python), "-P", *arguments], environment())  # noqa: S606


def run(*arguments: str, venv: Venv = MAIN) -> int:
    """Runs a venv's Python in the checkout and waits until it has ended, whatever signal we get meanwhile."""
    told: list[int] = []

    def pass_on(signum: int, _frame: object) -> None:
        told.append(signum)
        if signum == signal.SIGTERM:  # Ctrl-C the terminal tells the child as well
            process.terminate()

    process = subprocess.Popen([venv.python, *arguments], cwd=ROOT, env=environment(venv))
    before = {signum: signal.signal(signum, pass_on) for signum in (signal.SIGINT, signal.SIGTERM)}
    code = process.wait()
    for signum, handler in before.items():
        signal.signal(signum, handler)
    if told:
        sys.exit(128 + told[0])
    return code


def environment(venv: Venv = MAIN) -> dict[str, str]:
    """Ours, without what would let in packages from outside the venv; its programs come first on PATH."""
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    env["PATH"] = f"{venv.path / 'bin'}{os.pathsep}{env.get('PATH', os.defpath)}"
    env["VIRTUAL_ENV"] = str(venv.path)
    return env


def say(line: str) -> None:
    print(f"dev.py: {line}", file=sys.stderr, flush=True)


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


COMMANDS: dict[str, Callable[[list[str]], int]] = {"demo": demo, "up": up, "test": test, "check": check, "bench": bench}


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0 if arguments else 2
    command = COMMANDS.get(arguments[0])
    if command is None:
        raise Trouble(f"no command {arguments[0]!r}: there is {', '.join(COMMANDS)} (dev.py --help)")
    return command(arguments[1:])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Trouble as trouble:
        say(str(trouble))
        sys.exit(2)
    except OSError as error:
        say(f"{error.filename or ROOT}: {error.strerror}: correct that and try again")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
