"""`crossfade simulate`: rollouts over made-up traffic, before there are any over yours. Needs no controller."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import active_children, get_context
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console, Group, RenderableType
from rich.status import Status
from rich.text import Text

from crossfade.cli.case import read_case
from crossfade.cli.columns import columns
from crossfade.cli.options import Output, console, json_option
from crossfade.errors import SetupError
from crossfade.server.processes import end_on_signals

if TYPE_CHECKING:
    from crossfade.simulation.play import Ended
    from crossfade.simulation.simulate import Block, Case, Each, Result, Share

TROUBLES = ("drift", "outage", "turn", "burst", "sticky", "late", "graded")
"""Options for what may go wrong; shown as typed, where given."""


@click.command()
@click.option("--base", metavar="RATE", required=True, help="Blue's error rate, such as 0.01 or 1%.")
@click.option("--green", metavar="RATE", required=True, help="Green's error rate.")
@click.option("--metric", default="error_rate", show_default=True, help="Or score.NAME: the rates are mean scores.")
@click.option("--margin", metavar="POINTS", default="0.5", show_default=True, help="How much worse green may be.")
@click.option("--steps", metavar="W,W,...", help="Green's weights in percent.  [default: 1,5,25,50]")
@click.option("--weight", metavar="W", help="One weight from the first call to the last, instead of --steps.")
@click.option("--alpha", metavar="RATE", default="5%", show_default=True, help="Chance of a wrong roll-back allowed.")
@click.option("--beta", metavar="RATE", default="5%", show_default=True, help="Chance of a wrong promotion allowed.")
@click.option("--calls-per-bucket", metavar="N", default="100", show_default=True, help="Calls of both variants.")
@click.option("--most-calls", metavar="N", default="200000", show_default=True, help="When to give a rollout up.")
@click.option("--runs", metavar="N", default="1000", show_default=True, help="How many rollouts to play.")
@click.option("--seed", metavar="N", default="1", show_default=True, help="The same seed gives the same result.")
@click.option("--drift", metavar="RATE", help="What --base becomes over the first 50,000 calls; green moves along.")
@click.option("--outage", metavar="FROM:TO", help="Between these calls half of all calls of both variants fail.")
@click.option("--turn", metavar="POINTS@CALLS", help="Green is worse by so many points from that call on.")
@click.option("--burst", metavar="K", help="Calls come in groups of K that share variant and fate.")
@click.option(
    "--sticky", metavar="USERS", help="So many users, who keep their variant and fail each at a rate of theirs."
)
@click.option("--late", is_flag=True, help="Labels come late, and sooner when they are bad.")
@click.option("--graded", is_flag=True, help="Scores lie anywhere in 0 to 1, not at the ends; for score.NAME.")
@json_option
def simulate(as_json: bool, **given: Any) -> None:
    """Play a rollout many times over made-up traffic. Says how it ends, and after how many calls.

    The code that judges and decides is the scheduler's. Neither a controller nor a token is needed.
    """
    from crossfade.simulation.simulate import simulate

    case = read_case(given)
    end_on_signals()
    output = Output(json=as_json, console=console())
    with _shared(case) as each:
        result = simulate(case, each)
    output.show(_document(case, result, given), lambda: _render(case, result))


@contextmanager
def _shared(case: Case) -> Iterator[Each]:
    """Plays blocks on all processors, with a line on the terminal that says how far it is."""
    from crossfade.simulation.simulate import blocks

    processes = min(os.cpu_count() or 1, len(blocks(case)))
    with Console(stderr=True).status("Starting") as status:
        if processes == 1:
            yield _told(map, case, status)
            return
        try:
            with ProcessPoolExecutor(processes, get_context("spawn"), initializer=_end_on_interrupt) as pool:
                try:
                    yield _told(partial(_by, pool), case, status)
                except KeyboardInterrupt:
                    for process in active_children():
                        process.terminate()
                    raise
        except BrokenProcessPool:
            raise SetupError(
                "a process of the simulation was ended from outside, perhaps for want of memory;"
                " try a smaller --calls-per-bucket, or fewer users by --sticky"
            ) from None


def _by(pool: Executor, play: Callable[[Block], list[Ended]], blocks: Sequence[Block]) -> Iterator[list[Ended]]:
    """Not `pool.map`, which on Ctrl-C cancels what the pool then wants to say has failed, with a traceback."""
    for future in [pool.submit(play, block) for block in blocks]:
        yield future.result()


def _end_on_interrupt() -> None:
    """Ctrl-C goes to these processes too: they end, and the one that shares the work says so."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _told(each: Each, case: Case, status: Status) -> Each:
    def played(play: Callable[[Block], list[Ended]], blocks: Sequence[Block]) -> Iterator[list[Ended]]:
        done = 0
        status.update(f"Playing {case.runs:,} rollouts")
        for block, ended in zip(blocks, each(play, blocks), strict=True):
            done += block.runs
            status.update(f"Played {done:,} of {case.runs:,} rollouts")
            yield ended

    return played


def _document(case: Case, result: Result, given: dict[str, Any]) -> dict[str, Any]:
    shares = {name: getattr(result, name) for name in ("rolled_back", "promoted", "undecided")}
    return {
        **{name: share.share for name, share in shares.items()},
        **{f"{name}_error": share.error for name, share in shares.items()},
        "median_calls": result.median_calls,
        "p90_calls": result.p90_calls,
        "green_calls": result.green_calls,
        "harm": result.harm,
        "bound_calls": result.bound_calls,
        "runs": result.runs,
        "inputs": _inputs(case) | {name: given[name] for name in TROUBLES if given[name]},
    }


def _inputs(case: Case) -> dict[str, Any]:
    """What was played, as numbers; rates in the metric's own sense."""
    check, truth = case.plan.checks[0], case.truths[0]
    base, green = (round(1 - p if check.is_score else p, 12) for p in (truth.blue, truth.green))
    return {
        "metric": check.metric,
        "base": base,
        "green": green,
        "margin": check.margin,
        "steps": [step.weight for step in case.plan.steps],
        "alpha": case.plan.alpha,
        "beta": case.plan.beta,
        "calls_per_bucket": case.calls,
        "most_calls": case.most_calls,
        "seed": case.seed,
    }


def _render(case: Case, result: Result) -> RenderableType:
    table = columns("", "", header=False)
    for name in ("rolled_back", "promoted", "undecided"):
        table.add_row(name.replace("_", " "), _percent(getattr(result, name)))
    decided = "no rollout decided"
    if result.median_calls is not None and result.p90_calls is not None:
        decided = f"{result.median_calls:,} at the median, at most {result.p90_calls:,} in nine of ten"
    table.add_row("calls to the decision", decided)
    if result.bound_calls is not None:
        table.add_row("the information bound", f"{result.bound_calls:,} calls on average, by any test")
    table.add_row("green's calls", f"{result.green_calls:,} at the median")
    table.add_row("harm", f"{result.harm:,.1f} bad answers more than blue would have given, on average")
    return Group(table, Text(), Text(sentence(case, result)))


def sentence(case: Case, result: Result) -> str:
    """What the result means, in the terms of what the plan allows."""
    check, truth = case.plan.checks[0], case.truths[0]
    worse = round(100 * (truth.green - truth.blue + truth.turn), 9)
    rolled_back, promoted = _percent(result.rolled_back), _percent(result.promoted)
    rollouts = "one rollout" if result.runs == 1 else f"{result.runs:,} rollouts"
    by = f"{worse:g} point{'' if worse == 1 else 's'}"
    since = f" from call {truth.turns_at:,.0f} on" if truth.turn else ""
    if worse <= 0:
        allowed = _rate(case.plan.alpha)
        said = f"Rolled back {rolled_back} of {rollouts} of a green that is no worse; alpha allows {allowed}."
    elif worse < check.margin:
        said = (
            f"Rolled back {rolled_back} and promoted {promoted} of {rollouts} of a green that is worse by"
            f" {by}{since}, less than the margin of {check.margin:g}: either end is right."
        )
    else:
        said = (
            f"Promoted {promoted} of {rollouts} of a green that is worse by {by}{since}, and the margin is"
            f" {check.margin:g}; beta allows {_rate(case.plan.beta)}."
        )
    if result.undecided.share:
        left = f" {_rate(result.undecided.share)} had not decided after {case.most_calls:,} calls; --most-calls"
        said += left + " lets them go on."
    return said


def _percent(share: Share) -> str:
    return f"{100 * share.share:.1f} % (+- {100 * share.error:.1f})"


def _rate(rate: float) -> str:
    return f"{100 * rate:.3g} %"


COMMANDS = (simulate,)
