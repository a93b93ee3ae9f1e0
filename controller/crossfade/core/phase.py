"""Phase: where a rollout stands, and every legal move in one table."""

from __future__ import annotations

from enum import StrEnum

from crossfade.errors import Conflict


class Phase(StrEnum):
    """`rolled_back` is by the controller, `aborted` by a person; `superseded` is a promotion since replaced."""

    PENDING = "pending"
    PROGRESSING = "progressing"
    PAUSED = "paused"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"
    SUPERSEDED = "superseded"

    @property
    def said(self) -> str:
        return self.replace("_", " ")


class Verb(StrEnum):
    """What moves a rollout. The last two are the controller's alone."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    ADVANCE = "advance"
    PROMOTE = "promote"
    ABORT = "abort"
    UNDO = "undo"
    ROLL_BACK = "roll_back"
    SUPERSEDE = "supersede"

    @property
    def said(self) -> str:
        return self.replace("_", " ")


LIVE = frozenset({Phase.PENDING, Phase.PROGRESSING, Phase.PAUSED})
"""A route has at most one rollout in these."""

PERSONS_VERBS = (Verb.START, Verb.PAUSE, Verb.RESUME, Verb.ADVANCE, Verb.PROMOTE, Verb.ABORT, Verb.UNDO)

MOVES: dict[Phase, dict[Verb, Phase]] = {
    Phase.PENDING: {
        Verb.START: Phase.PROGRESSING,
        Verb.ABORT: Phase.ABORTED,
    },
    Phase.PROGRESSING: {
        Verb.PAUSE: Phase.PAUSED,
        Verb.ADVANCE: Phase.PROGRESSING,
        Verb.PROMOTE: Phase.PROMOTED,
        Verb.ABORT: Phase.ABORTED,
        Verb.ROLL_BACK: Phase.ROLLED_BACK,
    },
    Phase.PAUSED: {
        Verb.RESUME: Phase.PROGRESSING,
        Verb.ADVANCE: Phase.PROGRESSING,
        Verb.PROMOTE: Phase.PROMOTED,
        Verb.ABORT: Phase.ABORTED,
        Verb.ROLL_BACK: Phase.ROLLED_BACK,
    },
    Phase.PROMOTED: {
        Verb.UNDO: Phase.ABORTED,
        Verb.SUPERSEDE: Phase.SUPERSEDED,
    },
    Phase.ROLLED_BACK: {},
    Phase.ABORTED: {},
    Phase.SUPERSEDED: {},
}


def move(phase: Phase, verb: Verb) -> Phase:
    """The phase after `verb`; raises `Conflict`, saying what is allowed, if the move is not legal."""
    try:
        return MOVES[phase][verb]
    except KeyError:
        allowed = [str(v) for v in MOVES[phase] if v in PERSONS_VERBS]
        raise Conflict(
            f"the rollout is {phase.said}; {verb.said} is not possible there"
            f" ({'possible: ' + ', '.join(allowed) if allowed else 'it has ended'})"
        ) from None
