"""Rail: the steps of a rollout as stations, and promotion as the last."""

from __future__ import annotations

from dataclasses import dataclass

from crossfade.core.phase import Phase
from crossfade.core.sentence import duration
from crossfade.server.pages.words import share
from crossfade.server.views.rollout import RolloutView, StepView


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """`state` is done, current, to_come or stopped, said in `words` too; `notes` say times and the gate."""

    weight: str
    state: str
    words: str
    notes: tuple[str, ...]


def rail(view: RolloutView) -> list[Station]:
    stations = [_station(view, step) for step in view.steps]
    promoted = view.phase in (Phase.PROMOTED, Phase.SUPERSEDED)
    end = Station(
        weight="100 %",
        state="done" if promoted else "to_come",
        words="done" if promoted else "to come",
        notes=("promoted" if promoted else "promotion",),
    )
    return [*stations, end]


def _station(view: RolloutView, step: StepView) -> Station:
    state = step.state
    notes: list[str] = []
    if state == "done":
        notes.append(f"took {duration(step.spent_seconds)}" if step.spent_seconds else "done")
    elif state == "current" and step.spent_seconds is not None:
        notes.append(f"{duration(step.spent_seconds)} spent")
        left = step.left_seconds or 0.0
        notes.append(f"{duration(left)} of bake left" if left > 0 else "bake time over")
    elif state == "stopped":
        ended = "rolled back" if view.phase == Phase.ROLLED_BACK else "aborted"
        notes.append(f"{ended} after {duration(step.spent_seconds)}" if step.spent_seconds else ended)
    else:
        notes.append(f"{duration(step.bake)} at least" if step.bake else "no bake time")
    if step.approve and state in ("current", "to_come"):
        notes.append("a person opens its gate")
    words = {"done": "done", "current": "current", "stopped": "ended here"}.get(state, "to come")
    if step.shadow:
        notes.append(f"green gets copies of {share(step.shadow)} of the calls")
    return Station(weight="shadow" if step.shadow else share(step.weight), state=state, words=words, notes=tuple(notes))
