"""Replay: the recorded evidence of one rollout through a plan, look by look, by the judge and decide that act.

Under the rollout's own plan, with its amendments, it gives the decisions that were journalled. Under another, which
then holds from the start and is not amended, it gives what that plan would have decided on the same evidence: it cannot
know what green would have answered at weights that it never had (`simulation.exposure` says where that matters).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from crossfade.core.decision import Conditions, Decision, apply, decide, is_news
from crossfade.core.evidence import Bucket, ByChance, Series
from crossfade.core.phase import Phase, Verb
from crossfade.core.plan import Check, Plan
from crossfade.core.rollout import Rollout
from crossfade.core.sealing import last_sealed, read_at
from crossfade.core.verdict import Judgement
from crossfade.errors import Conflict
from crossfade.simulation.splits import Splits
from crossfade.stats.ahead import figures_ahead
from crossfade.stats.carried import Carried, start_carried
from crossfade.stats.figures import Figures
from crossfade.stats.judge import judge_carried, judge_figures

RUNNING = (Phase.PROGRESSING, Phase.PAUSED)
BLOCK = 256
"""Buckets worked through at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One time the scheduler looked: the step that was then under way, and the conditions it met."""

    at: datetime
    step: int
    conditions: Conditions


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A person's act. `accepted` are the checks whose breach was accepted by it."""

    at: datetime
    verb: Verb
    accepted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Amended:
    """A person's amendment of the checks: the `plan` after it. `series` has every bucket that was ever sealed for each
    check that starts anew with it, `by_chance` those of the split by the maturity that the plan now has.
    """

    at: datetime
    plan: Plan
    series: Sequence[Series]
    by_chance: ByChance | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebucketed:
    """From now on a bucket has another `length` in seconds: the evidence on every check of the plan is read anew in
    such, from its beginning. `series` and `by_chance` as in `Recorded`, of the plan as it is by then.
    """

    at: datetime
    length: int
    series: Sequence[Series]
    by_chance: ByChance | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What is on record of one rollout: `registered` as it was before its start, `series` with every bucket that was
    ever sealed for each check of the plan to replay, `by_chance` every sealed bucket of the split, `events` in the
    order they happened, `begun` when each step began, `length` of a bucket in seconds at first. From `ended` on, None
    while it runs, the variants were no longer called side by side: it had become `phase`.
    """

    registered: Rollout
    series: Sequence[Series]
    events: Sequence[Look | Moved | Amended | Rebucketed]
    begun: Mapping[int, datetime]
    length: int
    phase: Phase
    ended: datetime | None = None
    by_chance: ByChance | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """`decisions` are those the journal would have got, `last` the one of the last look (None without any), `rollout`
    what it came to, `begun` when each of its steps began. `refused` are people's acts that found no place in it.
    """

    decisions: tuple[Decision, ...]
    last: Decision | None
    rollout: Rollout
    begun: Mapping[int, datetime]
    refused: tuple[Moved, ...]

    @property
    def is_live(self) -> bool:
        return self.rollout.phase in RUNNING


def replay(recorded: Recorded, plan: Plan | None = None) -> Replayed:
    """`recorded` under its own plan through all amendments, or under `plan` from its start.

    Looks go on after the last recorded one until the record is used up: what was sealed only after the rollout had
    ended is evidence for a replay that has not.
    """
    field = _Field(recorded, plan or recorded.registered.plan)
    look = None
    for event in recorded.events:
        if isinstance(event, Moved):
            field.move(event)
        elif isinstance(event, Amended):
            if plan is None:
                field.amend(event)
        elif isinstance(event, Rebucketed):
            field.rebucket(event)
        else:
            look = event
            field.look(event)
    while look and recorded.ended and field.rollout.phase in RUNNING and (due := field.next_sealed()) is not None:
        later = look.at + timedelta(seconds=field.rollout.plan.evaluate_every)
        look = replace(look, at=max(later, datetime.fromtimestamp(due, UTC)))
        field.look(look)
    return field.replayed()


class _Field:
    """The rollout as it stands in the replay, and its evidence so far."""

    def __init__(self, recorded: Recorded, plan: Plan) -> None:
        self._recorded = recorded
        self._said: tuple[str | None, str | None] = (None, None)
        self._last: Decision | None = None
        self._is_whole = False
        self._refused: list[Moved] = []
        self._decisions: list[Decision] = []
        self._evidence: list[_Evidence] = []
        self._begun: dict[int, datetime] = {}
        self._quick: Judgement | None = None
        self._splits = Splits(recorded.by_chance)
        self._length = recorded.length
        self.rollout = replace(recorded.registered, plan=plan)

    def move(self, moved: Moved) -> None:
        """A person's act, if it is possible here."""
        try:
            after = self.rollout.moved(moved.verb, moved.at, accepted=moved.accepted)
        except Conflict:
            self._refused.append(moved)
            return
        self._finish()
        self._enter(after)
        self._said = (None, None)

    def amend(self, amended: Amended) -> None:
        """The checks that go on keep their evidence, the others begin with what is called from then on."""
        if self.rollout.phase not in RUNNING:
            return
        self._finish()
        kept = {evidence.check.identity: evidence for evidence in self._evidence}
        self.rollout = self.rollout.amended(amended.plan)
        self._evidence = [
            evidence.of(check) if (evidence := kept.get(check.identity)) else self._begin(check, amended.series)
            for check in amended.plan.checks
        ]
        self._splits = Splits(amended.by_chance)
        self._quick, self._said = None, (None, None)

    def rebucket(self, rebucketed: Rebucketed) -> None:
        """All evidence is read anew."""
        if self.rollout.phase not in RUNNING:
            return
        self._finish()
        self._length = rebucketed.length
        self._evidence = [self._begin(check, rebucketed.series) for check in self.rollout.plan.checks]
        self._splits = Splits(rebucketed.by_chance)
        self._quick = None

    def look(self, look: Look) -> None:
        if self.rollout.phase not in RUNNING:
            return
        self._splits.read(look.at, self._length)
        fresh = [evidence.read(look.at, self._length) for evidence in self._evidence]
        if any(fresh):
            self._quick = None
        decision = self._decide(look, self._judged_quickly())
        self._is_whole = is_news(decision, *self._said)
        if self._is_whole:
            decision = self._decide(look, self._judged())
        self._last = decision
        if is_news(decision, *self._said):
            self._decisions.append(decision)
            self._said = (decision.act, decision.reason)
        self._enter(apply(decision))

    def next_sealed(self) -> float | None:
        """When the next bucket is read, in seconds since 1970; None when all are."""
        due = (evidence.next_read(self._length) for evidence in self._evidence)
        return min((at for at in due if at is not None), default=None)

    def replayed(self) -> Replayed:
        self._finish()
        return Replayed(
            decisions=tuple(self._decisions),
            last=self._last,
            rollout=self.rollout,
            begun=dict(self._begun),
            refused=tuple(self._refused),
        )

    def _finish(self) -> None:
        """Gives the last look its intervals and forecasts, while the evidence is still what it was at that look."""
        if self._last is not None and not self._is_whole:
            self._last = decide(self._last.rollout, self._judged(), self._last.conditions, self._last.at)
            self._is_whole = True

    def _decide(self, look: Look, judgement: Judgement) -> Decision:
        return decide(self.rollout, judgement, self._conditions(look, judgement), look.at)

    def _conditions(self, look: Look, judgement: Judgement) -> Conditions:
        """Those of the look. In another step than the recorded, its own calls are at least those that were judged."""
        if look.step == self.rollout.step:
            return look.conditions
        judged = max((v.step_blue.n + v.step_green.n for v in judgement.verdicts), default=0)
        return replace(look.conditions, calls=max(look.conditions.calls, judged))

    def _judged_quickly(self) -> Judgement:
        """All that decides; without intervals and forecasts, which are for people."""
        if self._quick is None:
            found = [evidence.figures(self._label) for evidence in self._evidence]
            self._quick = judge_figures(self.rollout.plan, found, step=self.rollout.step, forecast=False)
        return replace(self._quick, split=self._splits.split)

    def _judged(self) -> Judgement:
        carried = [evidence.whole(self._label) for evidence in self._evidence]
        judgement = judge_carried(self.rollout.plan, carried, step=self.rollout.step)
        return replace(judgement, split=self._splits.split)

    def _enter(self, after: Rollout) -> None:
        before, self.rollout = self.rollout, after
        if after.phase not in RUNNING or after.step_started_at is None:
            return
        if before.step_started_at is None:
            self._evidence = [self._begin(check, self._recorded.series) for check in after.plan.checks]
        elif before.step == after.step:
            return
        self._begun[after.step] = after.step_started_at
        self._quick = None
        for evidence in self._evidence:
            evidence.enter(after.step, evidence.check.gate_margin(after.plan.gate_weight(after.step)), self._label)

    def _begin(self, check: Check, recorded: Sequence[Series]) -> _Evidence:
        series = next((one for one in recorded if one.metric == check.metric), Series(check.metric))
        margin = check.gate_margin(self.rollout.plan.gate_weight(self.rollout.step))
        return _Evidence(check, start_carried(check, margin, self.rollout.step, series.history), series.buckets)

    def _label(self, bucket: Bucket) -> int:
        return label(self._recorded, self._begun, bucket)


class _Evidence:
    """The evidence on one check: so many of its buckets are read.

    What decides is worked out for a block of buckets ahead; the whole, with the interval, follows when it is asked for.
    """

    def __init__(self, check: Check, start: Carried, buckets: Sequence[Bucket]) -> None:
        self.check = check
        self._buckets = buckets
        self._read = 0
        self._whole, self._whole_read = start, 0
        self._block, self._block_read = Carried(state=replace(start.state, bounds=None)), 0
        self._ahead: list[Figures] = []

    def of(self, check: Check) -> _Evidence:
        """The same evidence, now on a check that differs in what it does only."""
        self.check = check
        return self

    def read(self, now: datetime, length: int) -> bool:
        """Reads the buckets that are sealed by now; whether there are more than before."""
        last = last_sealed(now.timestamp(), length=length, maturity=self.check.maturity)
        before = self._read
        while self._read < len(self._buckets) and self._buckets[self._read].start <= last:
            self._read += 1
        return self._read > before

    def next_read(self, length: int) -> float | None:
        """When the next bucket is read, in seconds since 1970."""
        if self._read == len(self._buckets):
            return None
        return read_at(self._buckets[self._read].start, length=length, maturity=self.check.maturity)

    def figures(self, label: Callable[[Bucket], int]) -> Figures:
        """What decides, of the buckets that are read."""
        if not self._ahead or self._read >= self._block_read + len(self._ahead):
            self._catch_up(label)
        return self._ahead[self._read - self._block_read]

    def whole(self, label: Callable[[Bucket], int]) -> Carried:
        """Everything, of the buckets that are read."""
        self._whole = self._whole.after(self._labelled(self._whole_read, self._read, label))
        self._whole_read = self._read
        return self._whole

    def enter(self, step: int, gate_margin: float, label: Callable[[Bucket], int]) -> None:
        """At this step from now on. Call it after the labels know of the step."""
        self._whole = self.whole(label).at(step, gate_margin)
        self._block = replace(self._whole, state=replace(self._whole.state, bounds=None))
        self._block_read, self._ahead = self._read, []

    def _catch_up(self, label: Callable[[Bucket], int]) -> None:
        """Begins the next block at what is read."""
        self._block = self._block.after(self._labelled(self._block_read, self._read, label))
        self._block_read = self._read
        self._ahead = figures_ahead(self._block, self._labelled(self._read, self._read + BLOCK, label))

    def _labelled(self, start: int, end: int, label: Callable[[Bucket], int]) -> list[Bucket]:
        return [replace(bucket, step=label(bucket)) for bucket in self._buckets[start:end]]


def label(recorded: Recorded, begun: Mapping[int, datetime], bucket: Bucket) -> int:
    """The step that a bucket is evidence of in a replay whose steps began then: the recorded one while the replay goes
    the recorded way, else the replay's own at the time of the bucket.
    """
    own = _step_at(begun, bucket.start)
    follows = own == _step_at(recorded.begun, bucket.start)
    return bucket.step if follows and begun.get(bucket.step) == recorded.begun.get(bucket.step) else own


def _step_at(begun: Mapping[int, datetime], seconds: float) -> int:
    return max((step for step, at in begun.items() if at.timestamp() <= seconds), default=0)
