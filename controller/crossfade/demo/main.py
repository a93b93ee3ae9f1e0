"""`python -m crossfade.demo`: Crossfade at work, on one machine, without an AWS account.

Exit codes: 0 the scenario ended as it must, 1 it did not or a part ended by itself (said in words), 2 the command
line or the machine's set-up, 130 Ctrl-C before the end.
"""

from __future__ import annotations

import argparse
import errno
import json
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from crossfade.demo.expectations import differences
from crossfade.demo.report import report
from crossfade.demo.run import Run
from crossfade.demo.scenarios import DEFAULT, SCENARIOS
from crossfade.demo.stage import Stage
from crossfade.demo.story import story
from crossfade.demo.terminal import Terminal
from crossfade.errors import CrossfadeError, SetupError
from crossfade.server.processes import end_on_signals

SETTLE_SECONDS = 0.5


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a scenario; the exit code."""
    options = _parse(arguments)
    end_on_signals()
    try:
        return _perform(options)
    except KeyboardInterrupt:
        return 130
    except SetupError as error:
        print(error, file=sys.stderr)
        return 2
    except CrossfadeError as error:
        print(error, file=sys.stderr)
        return 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    lines = "\n".join(f"  {s.name:<10} {s.truth}: must {s.must}" for s in SCENARIOS.values())
    parser = argparse.ArgumentParser(
        prog="crossfade demo",
        description="Watch a candidate earn its promotion, or lose it: real processes around a local Bedrock.",
        epilog=f"scenarios:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--scenario", choices=sorted(SCENARIOS), default=DEFAULT, metavar="NAME", help="default: better"
    )
    parser.add_argument("--headless", action="store_true", help="exit at the end; else the page stays until Ctrl-C")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of texts, users and faults; default: 1")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write what happened as JSON")
    parser.add_argument("--port", type=_port, default=0, metavar="N", help="of the page; default: a free one")
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    port = int(text) if text.isdecimal() else -1
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return port


def _perform(options: argparse.Namespace) -> int:
    scenario = SCENARIOS[options.scenario]
    _check_writable(options.report)
    _check_free(options.port)
    with Terminal(scenario) as terminal, Stage(seed=options.seed, port=options.port) as stage:
        terminal.ready(stage.address, stage.login_link("/"))
        try:
            facts = Run(scenario, stage, terminal, seed=options.seed).play()
        except CrossfadeError:
            time.sleep(SETTLE_SECONDS)
            stage.processes.check()  # a part that has ended is the better reason
            raise
        if options.report:
            options.report.write_text(json.dumps(report(scenario, facts), indent=2) + "\n")
        differing = differences(scenario, facts)
        page = f"{stage.address}/rollouts/{facts.rollout['id']}"
        shown = f"{page} (gone with this run; without --headless it stays up)" if options.headless else page
        terminal.end(story(scenario, facts, differing, shown))
        if not options.headless:
            _stay(stage, terminal, facts.rollout["id"])
    return 1 if differing else 0


def _stay(stage: Stage, terminal: Terminal, rollout: int) -> None:
    """Keeps the page up until Ctrl-C."""
    by_hand = f"export CROSSFADE_URL={stage.address}\nexport CROSSFADE_TOKEN={stage.admin}"
    terminal.end(
        [
            f"It stays up until Ctrl-C. Login: {stage.login_link(f'/rollouts/{rollout}')}",
            f"From another terminal, for .venv/bin/crossfade status 1, explain, replay and amend:\n{by_hand}",
        ]
    )
    try:
        while True:
            stage.processes.check()
            time.sleep(0.5)
    except KeyboardInterrupt:
        return


def _check_writable(path: Path | None) -> None:
    """Before four minutes are spent."""
    if path is None:
        return
    try:
        with path.open("a"):
            pass
    except OSError as error:
        raise SetupError(f"--report {path}: {error.strerror}; choose another file") from None


def _check_free(port: int) -> None:
    """Before Postgres is started, and in the demo's own words: the controller would tell to set a variable."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = "is taken" if error.errno == errno.EADDRINUSE else error.strerror
            raise SetupError(f"--port {port}: {reason}; choose another, or leave it out for a free one") from None
