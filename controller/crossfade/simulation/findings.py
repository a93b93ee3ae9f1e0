"""Findings: what a replay came to in words, and the honest notes on what it cannot know."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from crossfade.core.metric import BAD_ANSWERS, metric_of
from crossfade.core.phase import Phase
from crossfade.core.sentence import duration, harm, metric_name, sentence
from crossfade.simulation.exposure import Borrowed, Exposure
from crossfade.simulation.replay import Amended, Recorded, Replayed

_WORDS = {
    Phase.PROMOTED: "promoted",
    Phase.SUPERSEDED: "promoted",
    Phase.ROLLED_BACK: "rolled back",
    Phase.ABORTED: "aborted",
}


def outcome(recorded: Recorded, replayed: Replayed) -> str:
    """When and how it would have ended, against when and how it did."""
    rollout, last = replayed.rollout, replayed.last
    if last is None and rollout.started_at is None:
        return "It was never started: there is nothing to replay."
    if last is None:
        return "Nothing was looked at while it ran: there is nothing to replay."
    if replayed.is_live:
        until = "now" if recorded.ended is None else f"when the record ends at {_time(recorded.ended)}"
        since = " The checks were amended since, and await a look." if rollout.plan != last.rollout.plan else ""
        return f"It would still be at {rollout.weight:g} % {until}. {sentence(last)}{since}"
    ended = rollout.ended_at or last.at
    if (ended, rollout.phase) == (recorded.ended, recorded.phase):
        return f"It would have ended as it did: {_WORDS[rollout.phase]} at {_time(ended)}."
    said = f"It would have been {_WORDS[rollout.phase]} at {_time(ended)}, {_after(rollout.started_at, ended)}"
    return f"{said}{_against(recorded, ended)}. {sentence(last) if last.at == ended else ''}".rstrip()


def notes(recorded: Recorded, replayed: Replayed, exposed: Exposure, *, own_plan: bool) -> tuple[str, ...]:
    """What it would have meant for calls and answers, what was taken in place of what is not known, where it ends."""
    found = []
    amended = [event for event in recorded.events if isinstance(event, Amended)]
    if amended and not own_plan:
        times = " and ".join(_time(event.at) for event in amended)
        found.append(
            f"The rollout's checks were amended at {times}. This plan holds from the start instead: every check on all"
            " its evidence, with alpha shared equally."
        )
    if exposed.more_green_calls or any(abs(bad) >= 0.05 for bad in exposed.more_bad.values()):
        limits = {check.metric: check.limit for check in replayed.rollout.plan.checks}
        found.append(_meaning(exposed, limits))
    if exposed.unknown_from:
        found.append(
            f"From {_time(exposed.unknown_from)} on green would have served every call. How those would have gone is"
            " not known; they are not counted here."
        )
    found += [_borrowed(each) for each in exposed.borrowed]
    if replayed.is_live and recorded.ended:
        found.append(
            f"The rollout was {_WORDS[recorded.phase]} at {_time(recorded.ended)}: after that no calls of both variants"
            " exist, so what this plan would have decided later cannot be known."
        )
    found += [
        f"A person's {moved.verb} at {_time(moved.at)} was not possible here and is left out."
        for moved in replayed.refused
    ]
    return tuple(found)


def _meaning(exposed: Exposure, limits: Mapping[str, float | None]) -> str:
    about = "about " if exposed.estimated else ""
    bad = "; ".join(
        f"{about}{_harm(metric, limits.get(metric), more)}"
        for metric, more in exposed.more_bad.items()
        if abs(more) >= 0.05
    )
    calls = exposed.more_green_calls
    text = (
        f"{about}{abs(calls):,} {'more' if calls > 0 else 'fewer'} green calls than the {exposed.green_calls:,} judged"
    )
    return f"{text[:1].upper()}{text[1:]}{f'; {bad}, against what blue would have given' if bad else ''}."


def _harm(metric: str, limit: float | None, more: float) -> str:
    known = metric_of(metric)
    said = harm(metric, limit, more)
    return f"{said} by {metric_name(metric)}" if known.harms == BAD_ANSWERS and not known.is_money else said


def _borrowed(each: Borrowed) -> str:
    weights = " and ".join(f"{weight:g} %" for weight in each.recorded_weights)
    more = all(each.weight > weight for weight in each.recorded_weights)
    return (
        f"What green would have answered at {each.weight:g} % (step {each.step + 1}) is not known: its"
        f" {each.green_calls:,} calls at {weights} were used instead."
        + (" With more green calls it would probably have been decided sooner." if more else "")
    )


def _against(recorded: Recorded, ended: datetime) -> str:
    if recorded.ended is None:
        return "; it still runs"
    was = f"it was {_WORDS[recorded.phase]} at {_time(recorded.ended)}"
    seconds = (ended - recorded.ended).total_seconds()
    if not seconds:
        return f"; {was}"
    return f", {duration(abs(seconds))} {'later' if seconds > 0 else 'earlier'}: {was}"


def _after(started: datetime | None, ended: datetime) -> str:
    return f"{duration((ended - started).total_seconds())} after the start" if started else "without a start"


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
