"""Amend: the checks of a running rollout, changed from the command line."""

from __future__ import annotations

from typing import Any

import click

from crossfade.cli import render
from crossfade.cli.client import Client
from crossfade.cli.options import Output, on_controller
from crossfade.cli.plan import Laid, margins, set_in_checks
from crossfade.cli.rollouts import find_rollout
from crossfade.core.plan import Breach


@click.command()
@click.argument("rollout", metavar="ROLLOUT|ROUTE")
@click.option(
    "--margin", "over", multiple=True, metavar="METRIC=POINTS", help="Another margin of a check: it starts anew."
)
@click.option("--check", "new", multiple=True, metavar="METRIC=MARGIN", help="A check more, as for `register`.")
@click.option("--limit", "limits", multiple=True, metavar="METRIC=VALUE", help="latency=1.8, as for `register`.")
@click.option("--overdispersion", "overdispersions", multiple=True, metavar="METRIC=PHI", help="As for `register`.")
@click.option(
    "--maturity", "maturities", multiple=True, metavar="METRIC=SECONDS", help="How long it waits: it starts anew."
)
@click.option(
    "--on-breach", "breaches", multiple=True, metavar="METRIC=ACT", help=f"What its breach does: {', '.join(Breach)}."
)
@click.option("--gating", "gatings", multiple=True, metavar="METRIC=yes|no", help="Whether it gates.")
@click.option("--remove", "gone", multiple=True, metavar="METRIC", help="A check less.")
@click.option("--reason", required=True, help="Why, for the journal.")
@click.option(
    "--version",
    type=int,
    help="Refuse if the rollout has changed since this version. Default: since this command looked.",
)
@on_controller
def amend(
    client: Client,
    output: Output,
    rollout: str,
    over: tuple[str, ...],
    new: tuple[str, ...],
    limits: tuple[str, ...],
    overdispersions: tuple[str, ...],
    maturities: tuple[str, ...],
    breaches: tuple[str, ...],
    gatings: tuple[str, ...],
    gone: tuple[str, ...],
    reason: str,
    version: int | None,
) -> None:
    """Change the checks of a rollout while it runs. A changed or new one starts its evidence anew."""
    number = find_rollout(client, rollout)
    seen = client.get(f"/v1/rollouts/{number}")
    there = {check["metric"]: {"metric": check["metric"]} for check in seen["plan"]["checks"]}
    for metric in gone:
        _known(metric, "--remove", there)
    for check in margins(over, "--margin"):
        _known(check["metric"], "--margin", there)
        there[check["metric"]] = check
    for check in margins(new, "--check"):
        if check["metric"] in there:
            raise click.UsageError(f"--check {check['metric']}: it is checked already; --margin changes its margin")
        there[check["metric"]] = check
    plan = {"checks": list(there.values())}
    set_in_checks(
        plan,
        Laid(field="limit", texts=limits, like="METRIC=VALUE such as latency=1.8"),
        Laid(field="overdispersion", texts=overdispersions, like="METRIC=PHI such as error_rate=2"),
        Laid(field="maturity", texts=maturities, like="METRIC=SECONDS such as score.accuracy=3600"),
        Laid(field="on_breach", texts=breaches, like=f"METRIC=ACT, which is one of {', '.join(Breach)}", read=Breach),
        Laid(field="gating", texts=gatings, like="METRIC=yes or METRIC=no", read=_yes_or_no),
    )
    for metric in gone:
        if len(there[metric]) > 1:
            raise click.UsageError(f"--remove {metric}: something else is given for it too; leave one out")
    wanted = [check for check in plan["checks"] if check["metric"] not in gone]
    body = {"checks": wanted, "reason": reason, "version": seen["version"] if version is None else version}
    amended = client.post(f"/v1/rollouts/{number}/checks", body)
    output.show(amended, lambda: render.amended(amended))


def _yes_or_no(text: str) -> bool:
    return {"yes": True, "no": False}[text]


def _known(metric: str, option: str, there: dict[str, Any]) -> None:
    if metric not in there:
        known = ", ".join(there)
        raise click.UsageError(f"{option} {metric}: the rollout has no such check; it has {known} (--check adds one)")


COMMANDS: tuple[click.Command, ...] = (amend,)
