"""Amend: a person changes the checks of a rollout while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine

from crossfade.core.amendment import AMEND, Amendment, amendment, amendment_sentence
from crossfade.core.decision import Act, Reason, decide
from crossfade.core.phase import Phase
from crossfade.core.plan import Check, check_to_dict, plan_to_dict, read_checks
from crossfade.core.reading import Reader
from crossfade.core.rollout import Rollout
from crossfade.core.sentence import verdict_sentence
from crossfade.core.verdict import Judgement
from crossfade.errors import Conflict
from crossfade.server.carry import carry
from crossfade.server.database import begin
from crossfade.server.gather import circumstances
from crossfade.server.limits import fix_limits, refuse_unpriced
from crossfade.server.store import declared, journal, rollouts
from crossfade.server.store.rollouts import Stored
from crossfade.server.usecases.act import MOST_REASON, after_last_look, refuse_older
from crossfade.server.usecases.forecast import given_by_hand, read_known, recorded_of
from crossfade.server.usecases.moves import save_move
from crossfade.simulation.calibrate import measure
from crossfade.stats.judge import judge_carried

AMENDMENT_FIELDS = ("since", "share")


@dataclass(frozen=True, slots=True, kw_only=True)
class Amended:
    """The rollout after it, and what became of its checks. It is the same where they were as wanted."""

    rollout: Rollout
    amendment: Amendment
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Only what was done; the rollout's own view is `views.rollout`."""
        return {
            "amended": self.amendment.differs,
            "sentence": self.sentence,
            "checks": _figures(self.amendment),
        }


def amend_checks(engine: Engine, rollout_id: int, body: object, *, actor: str, now: datetime) -> Amended:
    """Makes the checks of `body` ({"checks": [..], "reason": "..", "version": n}) those of the rollout.

    `checks` is the whole list that is wanted, each found by its metric; what one leaves out stays as it is, and of one
    that is new as at registration. Wanting what is there changes nothing. `version` is the one the person saw.
    Raises `NotFound`; `Invalid` with every problem; `Conflict` for an older version, a rollout that is not running or
    paused, and one whose next look would roll it back or pause it for a failed check: no check is amended away.

    It holds the rollout's row, as a tick does. A tick under way is waited for, and the checks are those it left; the
    next one passes over the rollout until this is committed, and then judges by the new plan. What is sealed by now is
    judged here first, by the code of the tick, so that no evidence falls between the two.
    """
    reader = Reader(body)
    asked = reader.raw("checks")
    reason = reader.text("reason", most=MOST_REASON)
    if reason and not reason.strip():
        reader.problem("reason", "is missing; say why, for whoever reads the journal")
    version = reader.integer("version", least=1) if reader.has("version") else None
    reader.raw("version")
    reader.close()
    measured = _measured(engine, rollout_id, asked, now)
    with begin(engine) as connection:
        stored = rollouts.find(connection, rollout_id, lock=True)
        rollout = stored.rollout
        if "version" not in {problem.path for problem in reader.problems}:
            refuse_older(rollout, version)
        rollout.amended(rollout.plan)  # refuses a rollout that is not running or paused
        wanted = _wanted(connection, stored, reader, asked, now)
        reader.check()
        there = {check.metric for check in rollout.plan.checks}
        wanted = tuple(
            check if check.metric in there else replace(check, overdispersion=measured.get(check.metric, 1.0))
            for check in wanted
        )
        at = _after_all_before(stored, now)
        judged = _judged(connection, stored, at)
        log_e = [verdict.log_e_worse for verdict in judged.verdicts]
        found = amendment(rollout.plan, wanted, log_e, at.timestamp())
        if not found.differs:
            said = f"Nothing was amended: the checks of rollout {rollout.id} are these already."
            return Amended(rollout=rollout, amendment=found, sentence=said)
        said = f"Amended by {actor}: {amendment_sentence(found)}."
        after = _save(connection, stored, found, judged, said, actor=actor, reason=reason.strip(), at=at)
    return Amended(rollout=after, amendment=found, sentence=said)


def _measured(engine: Engine, rollout_id: int, asked: Any, now: datetime) -> Mapping[str, float]:
    """The overdispersion that checks of a new metric start with, by metric: what is given, or else measured on blue's
    own calls as at registration. Of a list that has problems nothing, and outside of the transaction that amends.
    """
    with begin(engine, snapshot=True) as connection:
        stored = rollouts.find(connection, rollout_id)
        reader = Reader({})
        plan = replace(stored.rollout.plan, checks=_wanted(connection, stored, reader, asked, now))
        there = {check.metric for check in stored.rollout.plan.checks}
        new = tuple(check for check in plan.checks if check.metric not in there)
        given = given_by_hand({"plan": {"checks": asked}}) if new and not reader.problems else set()
        plan = replace(plan, checks=tuple(check for check in new if check.metric not in given))
        found = {check.metric: check.overdispersion for check in new}
        if reader.problems or not plan.checks:
            return found
        route = declared.route_by_id(connection, stored.route_id)
        recording = recorded_of(connection, route, plan, read_known(connection, route, plan, now), now)
    return found | measure(plan, recording)


def _wanted(connection: Connection, stored: Stored, reader: Reader, asked: Any, now: datetime) -> tuple[Check, ...]:
    """The checks as they are wanted; problems go to the reader, their paths as in the body."""
    plan = stored.rollout.plan
    there = {check.metric: check_to_dict(check) for check in plan.checks}
    whole = [_whole(item, there) for item in asked] if isinstance(asked, list) else asked
    part = Reader({"checks": whole}, "", reader.problems)
    wanted = replace(plan, checks=read_checks(part))
    if reader.problems:
        return wanted.checks
    new = [(place, check) for place, check in enumerate(wanted.checks) if check.metric not in there]
    models = declared.all_models(connection)
    refuse_unpriced(part, new, [models[name] for name in (stored.rollout.blue, stored.rollout.green)])
    return fix_limits(connection, part, wanted, stored.route_id, now).checks


def _whole(item: Any, there: Mapping[str, dict[str, Any]]) -> Any:
    """A check with what it leaves out. What only an amendment writes may be sent back as it is, and no otherwise."""
    metric = item.get("metric") if isinstance(item, Mapping) else None
    old = there.get(metric) if isinstance(metric, str) else None
    if old is None:
        return item
    typed = {name: value for name, value in old.items() if name not in AMENDMENT_FIELDS}
    return typed | {
        name: value for name, value in item.items() if name not in AMENDMENT_FIELDS or value != old.get(name)
    }


def _after_all_before(stored: Stored, now: datetime) -> datetime:
    """Now, but not before the last look, and later than when any check began."""
    begun = [datetime.fromtimestamp(c.since, UTC) for c in stored.rollout.plan.checks if c.since is not None]
    return max([after_last_look(stored, now), *(since + timedelta(microseconds=1) for since in begun)])


def _judged(connection: Connection, stored: Stored, at: datetime) -> Judgement:
    """What is known of the checks now. Raises `Conflict` when the next look would act on a failed check."""
    rollout = stored.rollout
    judgement = judge_carried(rollout.plan, carry(connection, stored, at), step=rollout.step)
    decision = decide(rollout, judgement, circumstances(connection, stored, judgement, at), at)
    if decision.reason is Reason.CHECK_FAILED and decision.act in (Act.ROLL_BACK, Act.PAUSE):
        assert decision.failed is not None
        does = "rolls it back" if decision.act is Act.ROLL_BACK else "pauses it"
        raise Conflict(
            f"a check of rollout {rollout.id} has failed and cannot be amended away; the next look {does}:"
            f" {verdict_sentence(decision.failed)}"
        )
    return judgement


def _save(
    connection: Connection,
    stored: Stored,
    found: Amendment,
    judged: Judgement,
    said: str,
    *,
    actor: str,
    reason: str,
    at: datetime,
) -> Rollout:
    after, plan = stored.rollout.amended(found.plan), plan_to_dict(found.plan)
    plan_hash = rollouts.plan_hash(found.plan)
    text = f"{said} Reason: {reason}"
    # One that is paused goes on saying what it was paused for: who resumes it accepts that.
    beside = {} if after.phase is Phase.PAUSED else {"act": None, "reason": None, "sentence": text}
    save_move(
        connection,
        stored,
        after,
        actor=actor,
        kind=journal.PERSON,
        now=at,
        plan=plan,
        plan_hash=plan_hash,
        worst=None,
        **beside,
    )
    journal.append(
        connection,
        at=at,
        subject=f"rollout {after.id}",
        actor=actor,
        kind=journal.PERSON,
        act=AMEND,
        reason=reason,
        sentence=text,
        numbers={
            "before": plan_to_dict(stored.rollout.plan),
            "after": plan,
            "checks": _figures(found),
            "log_e_worse": {verdict.check.metric: verdict.log_e_worse for verdict in judged.verdicts},
        },
        rollout=after,
        plan_hash=plan_hash,
    )
    return after


def _figures(found: Amendment) -> list[dict[str, Any]]:
    """What became of each check: its share of alpha before and after, and min(1, E) at which a share was spent."""
    return [
        {
            "metric": change.metric,
            "fate": str(change.fate),
            "share_before": change.share_before,
            "share_after": change.share_after,
            "e": change.e,
        }
        for change in found.changes
    ]
