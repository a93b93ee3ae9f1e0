"""The plan on the command line: the options that every command on a plan shares."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from crossfade.cli.document import read_document
from crossfade.core.plan import DEFAULT_WEIGHTS


def plan_options(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """Adds -f, --steps, --bake, --alpha and --beta; the command hands what it gets for them to `read_plan_options`."""
    for option in (
        click.option(
            "--beta", type=float, metavar="CHANCE", help="Of promoting a green worse by a margin. Default: 0.05."
        ),
        click.option("--alpha", type=float, metavar="CHANCE", help="Of rolling back a green no worse. Default: 0.05."),
        click.option("--bake", type=float, metavar="SECONDS", help="The shortest stay at each step."),
        click.option("--steps", metavar="W,W,...", help="Green's weights in percent, such as 1,5,25,50."),
        click.option("-f", "--file", help="The plan in TOML or JSON; `green` and `reason` may stand in it too."),
    ):
        command = option(command)
    return command


def read_file(file: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the plan, what stands beside it: `green` and `reason`)."""
    plan = read_document(file) if file else {}
    return plan, {name: plan.pop(name) for name in ("green", "reason") if name in plan}


def with_options(
    plan: dict[str, Any],
    *,
    steps: str | None,
    bake: float | None,
    alpha: float | None,
    beta: float | None,
    weights: Callable[[], list[float]] | None = None,
) -> dict[str, Any]:
    """`plan` with the options laid over it. `weights` says which --bake means when there is no --steps; else it means
    the default ones."""
    given = {name: value for name, value in (("alpha", alpha), ("beta", beta)) if value is not None}
    if steps is not None:
        found = _numbers(steps)
    elif bake is not None and weights is not None:
        found = weights()
    elif bake is not None and "steps" in plan:
        raise click.UsageError("--bake: each step of the file has its own; set it there, or give --steps too")
    elif bake is not None:
        found = list(DEFAULT_WEIGHTS)
    else:
        return plan | given
    return plan | given | {"steps": [{"weight": w} | ({} if bake is None else {"bake": bake}) for w in found]}


def margins(
    texts: tuple[str, ...], option: str, metrics: Callable[[], list[str]] | None = None
) -> list[dict[str, Any]]:
    """`METRIC=MARGIN` as checks; where `metrics` says which there are, `MARGIN` alone means all of them."""
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        metric, equals, points = text.rpartition("=")
        try:
            margin = float(points)
        except ValueError:
            like = "METRIC=MARGIN such as score.accuracy=1" + (", or MARGIN for every check" if metrics else "")
            raise click.BadParameter(f"{text!r} is not {like}", param_hint=option) from None
        if not equals and metrics is None:
            raise click.BadParameter(f"{text!r} is not METRIC=MARGIN such as score.accuracy=1", param_hint=option)
        for name in [metric] if equals else metrics() if metrics else []:
            if equals and name in found and metrics is None:
                raise click.UsageError(f"{option} {name}: is given twice; keep one")
            found[name] = {"metric": name, "margin": margin}
    return list(found.values())


@dataclass(frozen=True, kw_only=True)
class Laid:
    """An option given as `METRIC=VALUE`, any number of times: it sets the `field` it is named after. `like` is said to
    whoever writes something else."""

    field: str
    texts: tuple[str, ...]
    like: str
    read: Callable[[str], Any] = float


def set_in_checks(plan: dict[str, Any], *given: Laid) -> None:
    """Lays the options over the plan's checks; tells all that is wrong with them at once."""
    checks = plan.get("checks")
    by_metric = {c.get("metric"): c for c in checks if isinstance(c, dict)} if isinstance(checks, list) else {}
    faults = []
    for each in given:
        option = f"--{each.field.replace('_', '-')}"
        for text in each.texts:
            try:
                metric, value = metric_and_value(text, option, each.like, each.read)
            except click.BadParameter as error:
                faults.append(f"{option}: {error.message}")
                continue
            if metric in by_metric:
                by_metric[metric][each.field] = value
            else:
                faults.append(f"{option} {metric} needs a check of {metric}: give --check {metric}=MARGIN too")
    if faults:
        raise click.UsageError("\n".join(faults))


def overlaid(checks: Any, over: list[dict[str, Any]]) -> Any:
    """A file's checks with margins laid over them by metric; what is no list of objects is left to be refused."""
    if not isinstance(checks, list) or not all(isinstance(check, Mapping) for check in checks):
        return checks if checks is not None else over
    new = {check["metric"]: check for check in over}
    merged = [dict(check) | new.pop(str(check.get("metric")), {}) for check in checks]
    return [*merged, *new.values()]


def whole_plan(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """`plan_options`, --check, --limit, --overdispersion and --maturity; hands the command the `plan` they say, as a
    document.

    What else stands in the file, such as `green` and `reason`, is left in it.
    """

    @plan_options
    @click.option(
        "--check",
        "checks",
        multiple=True,
        metavar="METRIC=MARGIN",
        help="error_rate=0.5, latency=1; in points.",
    )
    @click.option(
        "--limit",
        "limits",
        multiple=True,
        metavar="METRIC=VALUE",
        help="latency=1.8 (seconds), cost=0.04 (US dollars) for a --check; without one, from blue's last day.",
    )
    @click.option(
        "--overdispersion",
        "overdispersions",
        multiple=True,
        metavar="METRIC=PHI",
        help="What a --check starts with; without one, as measured on blue's own calls.",
    )
    @click.option("--maturity", type=float, metavar="SECONDS", help="How long each --check waits for late scores.")
    @functools.wraps(command)
    def wrapped(
        file: str | None,
        steps: str | None,
        bake: float | None,
        alpha: float | None,
        beta: float | None,
        checks: tuple[str, ...],
        limits: tuple[str, ...],
        overdispersions: tuple[str, ...],
        maturity: float | None,
        **given: Any,
    ) -> int | None:
        plan, beside = read_file(file)
        plan = with_options(plan, steps=steps, bake=bake, alpha=alpha, beta=beta)
        if checks:
            waits = {} if maturity is None else {"maturity": maturity}
            plan["checks"] = [check | waits for check in margins(checks, "--check")]
        if "checks" not in plan:
            raise click.UsageError("no check: give --check METRIC=MARGIN such as error_rate=0.5, or `checks` in --file")
        set_in_checks(
            plan,
            Laid(field="limit", texts=limits, like="METRIC=VALUE such as latency=1.8"),
            Laid(field="overdispersion", texts=overdispersions, like="METRIC=PHI such as error_rate=2"),
        )
        return command(plan=plan | beside, **given)

    return wrapped


def metric_and_value(text: str, option: str, like: str, read: Callable[[str], Any] = float) -> tuple[str, Any]:
    """("score.accuracy", 1.0) of "score.accuracy=1"; `like` is said to whoever writes something else."""
    metric, equals, value = text.partition("=")
    try:
        if not equals:
            raise ValueError
        return metric, read(value)
    except (ValueError, KeyError):
        raise click.BadParameter(f"{text!r} is not {like}", param_hint=option) from None


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a list of numbers such as 1,5,25,50", param_hint="--steps") from None
