"""Past: explain a decision to the last number, and replay a rollout under another plan."""

from __future__ import annotations

from typing import Any

import click

from crossfade.cli import arithmetic
from crossfade.cli.client import Client
from crossfade.cli.options import Output, on_controller
from crossfade.cli.plan import margins, overlaid, plan_options, read_file, with_options
from crossfade.cli.rollouts import find_rollout

LAST_BUCKETS = 20


@click.command()
@click.argument("rollout", metavar="ROLLOUT|ROUTE")
@click.option(
    "--decision", type=click.IntRange(min=1), metavar="N", help="An entry of the journal; else the last look."
)
@click.option("--buckets", is_flag=True, help=f"All judged buckets, not the last {LAST_BUCKETS}.")
@on_controller
def explain(client: Client, output: Output, rollout: str, decision: int | None, buckets: bool) -> None:
    """Show the arithmetic of a decision to the last number. It is done anew from the evidence that is kept."""
    number = find_rollout(client, rollout)
    place = f"/decisions/{decision}" if decision else ""
    most = "all" if buckets or output.json else LAST_BUCKETS
    found = client.get(f"/v1/rollouts/{number}{place}/explanation", buckets=most)
    output.show(found, lambda: arithmetic.explanation(found))


@click.command()
@click.argument("rollout", metavar="ROLLOUT|ROUTE")
@click.option(
    "--margin", "over", multiple=True, metavar="[METRIC=]POINTS", help="score.accuracy=2, or 2 for every check."
)
@plan_options
@on_controller
def replay(
    client: Client,
    output: Output,
    rollout: str,
    over: tuple[str, ...],
    file: str | None,
    steps: str | None,
    bake: float | None,
    alpha: float | None,
    beta: float | None,
) -> None:
    """Run a rollout's recorded evidence through another plan. Says when and how it would have ended.

    What is not given stays as it was; with nothing given it is the rollout's own plan.
    """
    number = find_rollout(client, rollout)

    def own() -> dict[str, Any]:
        plan: dict[str, Any] = client.get(f"/v1/rollouts/{number}")["plan"]
        return plan

    plan, _ = read_file(file)
    plan = with_options(
        plan,
        steps=steps,
        bake=bake,
        alpha=alpha,
        beta=beta,
        weights=lambda: [step["weight"] for step in (own() | plan)["steps"]],
    )
    if over:
        checks = margins(over, "--margin", lambda: [check["metric"] for check in own()["checks"]])
        plan["checks"] = overlaid(plan.get("checks"), checks)
    found = client.post(f"/v1/rollouts/{number}/replay", {"plan": plan})
    output.show(found, lambda: arithmetic.replay(found))


COMMANDS: tuple[click.Command, ...] = (explain, replay)
