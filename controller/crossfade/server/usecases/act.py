"""Act: what a person does to a rollout."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Engine

from crossfade.core.decision import Act, Reason
from crossfade.core.phase import PERSONS_VERBS, Phase, Verb
from crossfade.core.plan import Breach
from crossfade.core.rollout import Rollout
from crossfade.core.sentence import standing
from crossfade.core.verdict import SAMPLE_RATIO, Ruling
from crossfade.errors import Conflict, Invalid, Problem
from crossfade.server.database import begin
from crossfade.server.store import evaluations, journal, rollouts
from crossfade.server.store.rollouts import Stored
from crossfade.server.usecases.moves import save_move

MOST_REASON = 2000


def act(
    engine: Engine,
    rollout_id: int,
    verb: str,
    *,
    reason: str,
    actor: str,
    now: datetime,
    version: int | None = None,
) -> Rollout:
    """Does `verb` (start, pause, resume, advance, promote, abort, undo) and returns the rollout after it.

    `version` is the one the person saw: an older one is refused, except for abort, which always wins: it waits for
    an evaluation that is under way and then acts on what that left.
    Raises `NotFound`; `Invalid` for an unknown verb (`verb`) or an empty reason (`reason`); `Conflict` saying the
    phase or version that is there.
    """
    known, reason = _check(verb, reason)
    with begin(engine) as connection:
        stored = rollouts.find(connection, rollout_id, lock=True)
        before = stored.rollout
        if known is not Verb.ABORT:
            refuse_older(before, version)
        return do(connection, stored, known, actor=actor, reason=reason, now=now)


def refuse_older(rollout: Rollout, version: int | None) -> None:
    """Raises `Conflict` when the rollout is not at the version that a person saw, None for whichever there is."""
    if version is not None and version != rollout.version:
        raise Conflict(
            f"rollout {rollout.id} is at version {rollout.version} ({rollout.phase.said} at {rollout.weight:g} %) and"
            f" you saw version {version}: look again, then act"
        )


def after_last_look(stored: Stored, now: datetime) -> datetime:
    """Now, but not before the last look: clocks of several controllers differ, and whoever waited for the row asked
    before the look that they waited for. So a look of the same moment always came first: the next is a second off.
    """
    return max(now, stored.evaluated_at or now)


def do(connection: Connection, stored: Stored, verb: Verb, *, actor: str, reason: str, now: datetime) -> Rollout:
    """Moves a rollout that this transaction has locked, saves it and journals it."""
    before, now = stored.rollout, after_last_look(stored, now)
    accepted = _accepted(connection, stored) if verb is Verb.RESUME else ()
    try:
        after = before.moved(verb, now, accepted=accepted)
    except Conflict as refusal:
        if verb is Verb.UNDO and (other := rollouts.undoable_on(connection, stored.route_id)):
            raise Conflict(
                f"{refusal}; rollout {other.id} promoted {other.green!r} over {other.blue!r}: crossfade undo {other.id}"
            ) from None
        raise
    sentence = said(verb, before, after, actor, reason)
    beside = {"act": None, "reason": None, "sentence": sentence}
    save_move(connection, stored, after, actor=actor, kind=journal.PERSON, now=now, **beside)
    journal.append(
        connection,
        at=now,
        subject=f"rollout {after.id}",
        actor=actor,
        kind=journal.PERSON,
        act=verb,
        reason=reason,
        sentence=sentence,
        numbers={"accepted": list(accepted)} if accepted else None,
        rollout=after,
        plan_hash=stored.plan_hash,
    )
    return after


def said(verb: Verb, before: Rollout, after: Rollout, actor: str, reason: str) -> str:
    """A person's act in words."""
    weight, route = standing(after.weight, after.shadow), after.route
    match verb:
        case Verb.START:
            text = f"Started at {weight} by {actor}"
        case Verb.PAUSE:
            text = f"Paused at {weight} by {actor}"
        case Verb.RESUME:
            text = f"Resumed at {weight} by {actor}"
        case Verb.ADVANCE:
            text = f"Advanced from {standing(before.weight, before.shadow)} to {weight} by {actor}"
        case Verb.PROMOTE:
            text = f"Promoted by {actor}: {after.green} now serves {route}"
        case Verb.UNDO:
            text = f"Undone by {actor}: {after.blue} serves {route} again"
        case _:
            text = f"Aborted by {actor}: {after.blue} serves {route}"
    return f"{text}. Reason: {reason}" if reason else f"{text}."


def _check(verb: str, reason: str) -> tuple[Verb, str]:
    problems = []
    if verb not in PERSONS_VERBS:
        allowed = ", ".join(PERSONS_VERBS)
        problems.append(Problem("verb", f"{verb!r} is not something to do to a rollout; allowed: {allowed}"))
    reason = reason.strip() if isinstance(reason, str) else ""
    if not reason:
        problems.append(Problem("reason", "is missing; say why, for whoever reads the journal"))
    elif len(reason) > MOST_REASON:
        problems.append(Problem("reason", f"is {len(reason)} characters long; at most {MOST_REASON}"))
    if problems:
        raise Invalid(problems)
    return Verb(verb), reason


def _accepted(connection: Connection, stored: Stored) -> tuple[str, ...]:
    """The failed checks a person accepts by resuming after a pause for a breach, or the wrong split."""
    if stored.rollout.phase is not Phase.PAUSED or stored.act != Act.PAUSE:
        return ()
    if stored.reason == Reason.SAMPLE_RATIO:
        return (SAMPLE_RATIO,)
    if stored.reason != Reason.CHECK_FAILED:
        return ()
    latest = evaluations.latest(connection, stored.rollout.id)
    verdicts = latest.verdicts if latest else []
    # A check that began anew after that look has not failed; looks kept by earlier versions have no `since`.
    current = {check.identity for check in stored.rollout.plan.checks}
    return tuple(
        v["metric"]
        for v in verdicts
        if v["ruling"] == Ruling.FAILED and v["on_breach"] == Breach.PAUSE and (v["metric"], v.get("since")) in current
    )
