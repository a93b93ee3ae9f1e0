"""Run a local Bedrock: `crossfade sandbox --regions us-east-1,us-west-2`.

Exit codes: 0 stopped by a signal, 2 cannot start (one line on standard error says why).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from functools import partial

from crossfade.errors import SetupError
from crossfade.sandbox.bedrock import Bedrock
from crossfade.sandbox.control import Control
from crossfade.sandbox.listener import HOST, Listener
from crossfade.sandbox.model import ECHO, LANGDETECT, NAMES, PY3LANGID, load_models

_PARENT_CHECK_SECONDS = 0.5
_EPILOG = f"""\
model ids:
  {LANGDETECT}, {PY3LANGID}   answer the language of the last user message, as `fr`
  {ECHO}, crossfade.echo-ANYTHING-v1:0     answer the text they were sent
each also as a profile, `us.{ECHO}`, and as an ARN. Any AWS credentials do.
"""


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="crossfade sandbox",
        description="A local Bedrock: several regions, each on a port of 127.0.0.1, with faults on demand.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--regions",
        default="us-east-1,us-west-2,eu-west-1",
        metavar="NAMES",
        help="separated by commas; default: %(default)s",
    )
    parser.add_argument(
        "--ports", default="", metavar="PORTS", help="one a region, separated by commas; 0, the default, is a free one"
    )
    parser.add_argument(
        "--control-port",
        type=int,
        default=0,
        metavar="PORT",
        help="for faults, quotas and the log; default: a free one",
    )
    parser.add_argument(
        "--models", default=",".join(NAMES), metavar="NAMES", help="which to load; default: %(default)s, which are all"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the faults' probabilities and jitter; default: %(default)s"
    )
    parser.add_argument("--print-json", action="store_true", help="print one line of JSON with the ports when ready")
    parser.add_argument("--parent", type=int, metavar="PID", help="stop when this process is no longer the parent")
    parser.add_argument("--until-stdin-closes", action="store_true", help="stop at the end of standard input")
    return parser.parse_args(arguments)


def _ports(text: str, regions: list[str]) -> list[int]:
    names = [part for part in text.split(",") if part] or ["0"] * len(regions)
    if len(names) != len(regions) or not all(name.isdigit() and int(name) < 65536 for name in names):
        raise SetupError(f"--ports {text!r} does not fit --regions: give {len(regions)} port numbers, 0 for a free one")
    return [int(name) for name in names]


async def _serve(options: argparse.Namespace) -> None:
    regions = [name for name in options.regions.split(",") if name]
    if not regions or len(set(regions)) != len(regions):
        raise SetupError(f"--regions {options.regions!r}: give at least one region, each once")
    try:
        models = load_models(tuple(options.models.split(",")))
    except (ValueError, ImportError) as error:
        raise SetupError(f"--models {options.models}: {error}; install Crossfade with its extra [demo]") from None
    bedrock = Bedrock(models, seed=options.seed)
    listeners = {
        name: Listener(partial(bedrock.handle, name), name=f"region {name}", port=port)
        for name, port in zip(regions, _ports(options.ports, regions), strict=True)
    }
    control = Listener(Control(bedrock, listeners).handle, name="the control port", port=options.control_port)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    watchers = []
    if options.parent is not None:
        watchers.append(asyncio.create_task(_watch_parent(options.parent, stop)))
    if options.until_stdin_closes:
        loop.add_reader(sys.stdin.fileno(), _watch_stdin, stop)
    try:
        for listener in (*listeners.values(), control):
            await listener.open()
        _announce(listeners, control, as_json=options.print_json)
        await stop.wait()
    finally:
        for listener in (*listeners.values(), control):
            listener.close()
        for watcher in watchers:
            watcher.cancel()
        await asyncio.sleep(0)  # lets aborted connections close their sockets


async def _watch_parent(pid: int, stop: asyncio.Event) -> None:
    # Polled, not PR_SET_PDEATHSIG: that one fires when the *thread* that started us ends.
    while os.getppid() == pid:
        await asyncio.sleep(_PARENT_CHECK_SECONDS)
    stop.set()


def _watch_stdin(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stop.set()


def _announce(listeners: dict[str, Listener], control: Listener, *, as_json: bool) -> None:
    regions = {name: f"http://{HOST}:{listener.port}" for name, listener in listeners.items()}
    control_url = f"http://{HOST}:{control.port}"
    if as_json:
        ports = {name: listener.port for name, listener in listeners.items()}
        ready = {
            "pid": os.getpid(),
            "regions": regions,
            "ports": ports,
            "control_url": control_url,
            "control_port": control.port,
        }
        print(json.dumps(ready), flush=True)
        return
    for name, endpoint in regions.items():
        print(f"{name:<16} {endpoint}")
    print(f"{'control':<16} {control_url}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM, SIGINT or the parent's end; the exit code."""
    options = _parse(sys.argv[1:] if arguments is None else arguments)
    try:
        asyncio.run(_serve(options))
    except SetupError as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
