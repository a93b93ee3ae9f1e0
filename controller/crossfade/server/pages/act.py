"""Act: asks a person for a reason, says what will follow, and does it on the version they saw."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from crossfade.core.phase import PERSONS_VERBS, Verb
from crossfade.core.reading import Reader, number_in
from crossfade.errors import Conflict, Invalid, NotFound, Problem
from crossfade.server.auth import actor
from crossfade.server.pages.message import message
from crossfade.server.pages.session import page_needs
from crossfade.server.pages.words import share
from crossfade.server.state import state
from crossfade.server.usecases.act import act as do_act
from crossfade.server.usecases.tokens import Role
from crossfade.server.views.rollout import RolloutView
from crossfade.server.views.rollout import rollout as read_rollout

GRAVE = frozenset({Verb.ABORT, Verb.UNDO})


def add_to(pages: Blueprint) -> None:
    pages.add_url_rule("/rollouts/<id:rollout_id>/act/<verb>", "act", act, methods=["GET", "POST"])


@page_needs(Role.OPERATOR)
def act(rollout_id: int, verb: str) -> ResponseReturnValue:
    """The form that asks, and what it sends."""
    if verb not in PERSONS_VERBS:
        raise NotFound(f"no verb {verb!r}; a rollout knows {', '.join(PERSONS_VERBS)}")
    if request.method == "GET":
        return _asked(rollout_id, Verb(verb))
    reason = request.form.get("reason", "").strip()
    try:
        do_act(
            state().engine,
            rollout_id,
            verb,
            reason=reason,
            actor=actor(),
            now=datetime.now(UTC),
            version=_version(request.form.get("version", "")),
        )
    except Invalid as error:
        return _asked(rollout_id, Verb(verb), reason=reason, wrong="; ".join(_said(p) for p in error.problems))
    except Conflict as error:
        ways = [("See what is there now", url_for("pages.rollout", rollout_id=rollout_id))]
        return message(409, f"Nothing was done: {error}.", ways=ways), 409
    return redirect(url_for("pages.rollout", rollout_id=rollout_id), 303)


def _version(text: str) -> int | None:
    """The one that the person saw; None where the form does not say. Raises `Invalid`."""
    if not text:
        return None
    reader = Reader({"version": number_in(text)})
    version = reader.integer("version", least=1)
    reader.check()
    return version


def _said(problem: Problem) -> str:
    """It stands beside the field of the reason."""
    return problem.message if problem.path == "reason" else str(problem)


def _asked(rollout_id: int, verb: Verb, *, reason: str = "", wrong: str = "") -> ResponseReturnValue:
    view = read_rollout(state().engine, rollout_id, now=datetime.now(UTC))
    version = request.values.get("version", "")
    page = render_template(
        "act.html",
        view=view,
        verb=str(verb),
        grave=verb in GRAVE,
        follows=consequence(verb, view),
        seen=version if version.isdecimal() else view.version,
        refusal=next((v.refusal for v in view.verbs if v.verb == verb and not v.allowed), ""),
        reason=reason,
        wrong=wrong,
    )
    return page, 422 if wrong else 200


def consequence(verb: Verb, view: RolloutView) -> str:
    """What will follow, in words and numbers."""
    first, shadow = view.steps[0], view.steps[view.step].shadow
    now = f"shadow of {share(shadow)}" if shadow and view.started_at else share(view.weight)
    match verb:
        case Verb.START if first.shadow:
            return (
                f"Green ({view.green}) gets copies of {share(first.shadow)} of the calls of {view.route} from now on,"
                f" which cost what calls do; {view.blue} goes on serving all of them."
            )
        case Verb.START:
            return f"Green ({view.green}) gets {share(first.weight)} of the calls of {view.route} from now on."
        case Verb.PAUSE:
            return (
                f"Green keeps its {now}. The rollout neither advances nor promotes until somebody resumes it;"
                " a breach still rolls it back."
            )
        case Verb.RESUME:
            return f"The plan goes on at {now}. What it was paused for is accepted and will not pause it again."
        case Verb.ADVANCE if view.step + 1 < len(view.steps):
            return (
                f"Green goes from {now} to {share(view.steps[view.step + 1].weight)} now,"
                " whether or not the checks have passed this gate."
            )
        case Verb.PROMOTE | Verb.ADVANCE:
            return (
                f"{view.green} becomes the blue of {view.route} and serves every call,"
                " whether or not the checks have passed."
            )
        case Verb.ABORT:
            return f"Green gets no more calls, {view.blue} serves all of {view.route}, and the rollout has ended."
        case Verb.UNDO:
            return f"{view.blue}, which served {view.route} before this promotion, becomes its blue again."
        case _:
            return ""
