"""Simulate: one case played many times, and what its rollouts came to.

Runs are played in blocks, each with random numbers of its own: the result depends on the seed alone, not on how many
processes share the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from math import sqrt

import numpy as np

from crossfade.core.decision import Act
from crossfade.core.plan import Plan
from crossfade.simulation.bound import Losses, bound_calls
from crossfade.simulation.play import Ended, play
from crossfade.simulation.traffic import Graded, Independent, Late, Sticky, Traffic
from crossfade.simulation.truth import Truth

BLOCK = 100
"""Runs played side by side: enough for NumPy to be quick, few enough that two processes end at about the same time."""

WIDE = 1.96
"""Standard errors in half of a 95 % interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """Traffic of so many users who keep their variant; drawn anew for each block of runs."""

    count: int

    def of(self, rng: np.random.Generator, runs: int) -> Traffic:
        return Sticky(rng, runs, users=self.count)


Kind = Independent | Graded | Late | Users
"""How a case's calls hang together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What to play: `runs` rollouts of `plan`, each until it ends or `most_calls` were made, `calls` a bucket.

    One truth for each check of the plan, in losses.
    """

    plan: Plan
    truths: tuple[Truth, ...]
    traffic: Kind = Independent()  # noqa: RUF009 (frozen)
    calls: int = 100
    most_calls: int = 200_000
    runs: int = 1_000
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share of the runs, and half the width of its 95 % interval (Wilson 1927), which is not 0 at 0 or 1."""

    share: float
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the rollouts of a case came to. Calls are of both variants, and those judged: with late labels, the
    labelled ones.
    """

    runs: int
    rolled_back: Share
    promoted: Share
    undecided: Share
    """Neither, at the end of the simulation; or waiting for a person."""
    median_calls: int | None
    """Until the decision, of the runs that decided; None where none did."""
    p90_calls: int | None
    green_calls: int
    """The median over all runs."""
    harm: float
    """Bad answers more than blue would have given, to be expected of green's calls; the mean over all runs."""
    bound_calls: int | None
    """The information bound; None where there is no one figure: rates that move, sticky users, late labels."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some of a case's runs and where their random numbers come from."""

    seed: np.random.SeedSequence
    runs: int


Each = Callable[[Callable[[Block], list[Ended]], Sequence[Block]], Iterable[list[Ended]]]
"""`map`, or the like of it that shares the work between processes and keeps the order."""


def simulate(case: Case, each: Each = map) -> Result:
    """Plays the case and sums up; `each` plays the blocks."""
    return summed_up(case, [ended for block in each(partial(play_block, case), blocks(case)) for ended in block])


def blocks(case: Case) -> list[Block]:
    """The case's runs in blocks, the last one perhaps smaller."""
    sizes = [min(BLOCK, case.runs - start) for start in range(0, case.runs, BLOCK)]
    seeds = np.random.SeedSequence(case.seed).spawn(len(sizes))
    return [Block(seed, runs) for seed, runs in zip(seeds, sizes, strict=True)]


def play_block(case: Case, block: Block) -> list[Ended]:
    """One block of a case, played to its end."""
    rng = np.random.default_rng(block.seed)
    return play(
        case.plan,
        case.truths,
        case.traffic.of(rng, block.runs) if isinstance(case.traffic, Users) else case.traffic,
        rng=rng,
        runs=block.runs,
        calls=case.calls,
        most_calls=case.most_calls,
    )


def summed_up(case: Case, ended: Sequence[Ended]) -> Result:
    """The result of a case from how each of its runs ended."""
    decided = [one.calls for one in ended if one.act in (Act.ROLL_BACK, Act.PROMOTE)]
    runs = len(ended)
    return Result(
        runs=runs,
        rolled_back=share_of(sum(one.act is Act.ROLL_BACK for one in ended), runs),
        promoted=share_of(sum(one.act is Act.PROMOTE for one in ended), runs),
        undecided=share_of(runs - len(decided), runs),
        median_calls=round(float(np.median(decided))) if decided else None,
        p90_calls=round(float(np.quantile(decided, 0.9))) if decided else None,
        green_calls=round(float(np.median([one.green_calls for one in ended]))),
        harm=float(np.mean([one.harm for one in ended])),
        bound_calls=bound_of(case),
    )


def share_of(count: int, runs: int) -> Share:
    share = count / runs
    error = WIDE * sqrt(share * (1 - share) / runs + (WIDE / runs) ** 2 / 4) / (1 + WIDE**2 / runs)
    return Share(share=share, error=error)


def bound_of(case: Case) -> int | None:
    """The fewest calls by information (`bound.bound_calls`). Groups of K calls tell as much as one call each."""
    if isinstance(case.traffic, Users | Late) or any(truth.moves for truth in case.truths):
        return None
    losses = [_losses(truth, case.traffic) for truth in case.truths]
    size = case.traffic.size if isinstance(case.traffic, Independent) else 1
    return round(size * bound_calls(case.plan, losses))


def _losses(truth: Truth, traffic: Independent | Graded) -> Losses:
    variance = traffic.square(truth.blue) - truth.blue**2 if isinstance(traffic, Graded) else None
    return Losses(blue=truth.blue, green=truth.green, variance=variance)
