"""`crossfade`: the command line. Every error is a line or a few on stderr and an exit code, never a traceback."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

import click

from crossfade import __version__
from crossfade.cli import amend, declared, forecast, past, processes, rollouts, simulate, token
from crossfade.cli.client import Refused
from crossfade.cli.codes import Code
from crossfade.errors import CrossfadeError, Invalid, SetupError, Unavailable

_IN_A_LIST = re.compile(r"[\w.\[\]-]*\[\d+\]\S*: ")
"""How a problem begins whose path leads into a list."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="crossfade")
def crossfade() -> None:
    """Blue/green rollouts for foundation models on Amazon Bedrock.

    Commands on rollouts, routes and models speak to a controller: CROSSFADE_URL and CROSSFADE_TOKEN say where and
    as whom. `crossfade up` starts one; `crossfade demo` shows it all without an AWS account.
    """


for part in (declared, forecast, rollouts, amend, past, simulate, token, processes):
    for command in part.COMMANDS:
        crossfade.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command line and exits with its code."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line; the exit code."""
    try:
        code = crossfade.main(args=arguments, prog_name="crossfade", standalone_mode=False)
        return int(code) if isinstance(code, int) else Code.OK
    except click.exceptions.Exit as stopped:
        return stopped.exit_code
    except click.ClickException as error:
        error.show()
        return Code.SETUP
    except (click.Abort, KeyboardInterrupt):
        return Code.INTERRUPTED
    except BrokenPipeError:  # what we print to has closed, as `head` does
        sys.stderr.close()
        return Code.OK
    except CrossfadeError as error:
        return _say(error)


def _say(error: CrossfadeError) -> int:
    match error:
        case Invalid(problems=problems):
            lines, code = [str(problem) for problem in problems], Code.REFUSED
        case Refused(lines=said):
            lines, code = said, Code.REFUSED
        case SetupError():
            lines, code = [str(error)], Code.SETUP
        case Unavailable():
            lines, code = [str(error)], Code.AWAY
        case _:
            lines, code = [str(error)], Code.REFUSED
    for line in lines:
        click.echo(line, err=True)
    if any(_IN_A_LIST.match(line) for line in lines):
        click.echo("(places in a list count from 0: [0] is the first)", err=True)
    return code
