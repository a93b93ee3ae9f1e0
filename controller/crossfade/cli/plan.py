"""Plan: the options that say a plan, on every command that takes one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from crossfade.cli.document import read_document


def plan_options(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """Adds -f, --steps, --bake, --check and --maturity, and hands the command the `plan` they say, as a document.

    What else stands in the file, such as `green` and `reason`, is left in it.
    """

    @click.option("-f", "--file", help="The plan in TOML or JSON; `green` and `reason` may stand in it too.")
    @click.option("--steps", metavar="W,W,...", help="Green's weights in percent, such as 1,5,25,50.")
    @click.option("--bake", type=float, metavar="SECONDS", help="The shortest stay at each of --steps.")
    @click.option(
        "--check",
        "checks",
        multiple=True,
        metavar="METRIC=MARGIN",
        help="error_rate=0.5, score.accuracy=1; in points.",
    )
    @click.option("--maturity", type=float, metavar="SECONDS", help="How long each --check waits for late scores.")
    @functools.wraps(command)
    def wrapped(
        file: str | None,
        steps: str | None,
        bake: float | None,
        checks: tuple[str, ...],
        maturity: float | None,
        **given: Any,
    ) -> int | None:
        plan = read_document(file) if file else {}
        if steps is not None:
            plan["steps"] = [{"weight": w} | ({} if bake is None else {"bake": bake}) for w in _numbers(steps)]
        elif bake is not None:
            raise click.UsageError("--bake needs --steps; in a file each step has its own bake")
        if checks:
            plan["checks"] = [_check(text, maturity) for text in checks]
        return command(plan=plan, **given)

    return wrapped


def metric_and_number(text: str, option: str, like: str) -> tuple[str, float]:
    """("score.accuracy", 1.0) of "score.accuracy=1"; `like` is said to whoever writes something else."""
    metric, _, number = text.partition("=")
    try:
        return metric, float(number)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not {like}", param_hint=option) from None


def _check(text: str, maturity: float | None) -> dict[str, Any]:
    metric, margin = metric_and_number(text, "--check", "METRIC=MARGIN such as score.accuracy=1")
    check: dict[str, Any] = {"metric": metric, "margin": margin}
    return check if maturity is None else check | {"maturity": maturity}


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list of numbers such as 1,5,25,50", param_hint="--steps") from None
