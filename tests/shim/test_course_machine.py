"""Many calls at once on one board, under faults that come and go: whoever can be answered is, in time, and sums agree.

No thread, no socket, no waiting: the course of each call is driven by a clock of the test's own.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from crossfade.core.model import Model, Target
from crossfade.core.outcome import Outcome
from crossfade.core.policy import POLICY, Next, Region, Settings
from crossfade.core.route import Route
from crossfade.core.snapshot import Entry, Live, Snapshot
from crossfade.core.split import Variant
from crossfade.shim.account import EXCUSED
from crossfade.shim.answer import Told
from crossfade.shim.board import Board
from crossfade.shim.call import Call
from crossfade.shim.classify import Failure
from crossfade.shim.course import Ask, Begun, Busy, Came, Course, Raise, Refresh, Serve, Wait, course, end_of_stream
from crossfade.shim.events import ConverseReading
from crossfade.shim.recorder import Recorder

NAMES, REGIONS = ("green", "blue", "small"), ("us-east-1", "us-west-2")
PLACES = [(name, region) for name in NAMES for region in REGIONS]
GOES_ON = [o for o, row in POLICY.items() if row.region is not Region.NO and row.model is Next.YES]
ENDS = [o for o in POLICY if o not in GOES_ON and o is not Outcome.MALFORMED]
"""After these the table may forbid what would have worked."""
SILENT, WAIT = "silent", "wait"
"""Nothing comes in time; throttled, and asking to come again after most of a call's time."""
QUICK = 0.02
"""Seconds that an answer or an error takes."""

POLICY_OF_ROUTE = Settings(most_targets=20)
ROUTE = Route(name="r", blue="blue", fallbacks=("small",), policy=POLICY_OF_ROUTE)
ENTRY = Entry(id=1, route=ROUTE, live=Live(rollout=1, step=0, weight=50, salt="s", green="green"))
MODELS = {n: Model(name=n, targets=tuple(Target(region=r, model_id=n) for r in REGIONS)) for n in NAMES}
SNAPSHOT = Snapshot(
    version=1, issued_at=0, bucket_seconds=10, signing_key=b"k" * 32, entries={"r": ENTRY}, models=MODELS
)


@dataclass(kw_only=True)
class Driven:
    """One call under way. `doomed`: it met an outcome after which the table may forbid what would have worked."""

    call: Call
    steps: Course
    asked: list[tuple[str, str]] = field(default_factory=list)
    met: list[Outcome] = field(default_factory=list)
    doomed: bool = False


class Calls(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.board, self.recorder = Board(), Recorder()
        self.now = 1000.0
        self.fate: dict[tuple[str, str], Outcome | str] = dict.fromkeys(PLACES, Outcome.OK)
        self.works_since: dict[tuple[str, str], float | None] = dict.fromkeys(PLACES, 0.0)
        self.waiting: list[tuple[float, int, Driven, Any, Came]] = []
        self.order = count()
        self.started = 0
        self.log: Counter[Outcome] = Counter()
        self.served = self.unserved = 0

    @rule(place=st.sampled_from(PLACES), fate=st.sampled_from([*GOES_ON, *ENDS, SILENT, WAIT]))
    def break_a_target(self, place: tuple[str, str], fate: Outcome | str) -> None:
        self.fate[place], self.works_since[place] = fate, None

    @rule(region=st.sampled_from(REGIONS), fate=st.sampled_from([Outcome.OUTAGE, Outcome.THROTTLED, SILENT]))
    def break_a_region(self, region: str, fate: Outcome | str) -> None:
        for name in NAMES:
            self.break_a_target((name, region), fate)

    @rule(place=st.sampled_from(PLACES))
    def mend_a_target(self, place: tuple[str, str]) -> None:
        if self.fate[place] is not Outcome.OK:
            self.fate[place], self.works_since[place] = Outcome.OK, self.now

    @rule(
        variant=st.sampled_from([Variant.BLUE, Variant.GREEN]),
        operation=st.sampled_from(["Converse", "ConverseStream"]),
        calls=st.integers(1, 8),
    )
    def call(self, variant: Variant, operation: str, calls: int) -> None:
        for _ in range(calls):
            call = Call(
                operation=operation, params={}, snapshot=SNAPSHOT, entry=ENTRY, variant=variant, board=self.board,
                recorder=self.recorder, began=self.now, at=0.0, deadline=self.now + POLICY_OF_ROUTE.deadline,
            )  # fmt: skip
            driven = Driven(call=call, steps=course(call))
            self.started += 1
            self._take(driven, next(driven.steps))

    @rule(seconds=st.sampled_from([0.01, 0.1, 1.0, 7.0, 40.0, 150.0]))
    def let_time_pass(self, seconds: float) -> None:
        until = self.now + seconds
        while self.waiting and self.waiting[0][0] <= until:
            self._next()
        self.now = until

    @invariant()
    def sums_agree(self) -> None:
        seen = list(self.recorder._inbox)
        assert len(seen) == self.served + self.unserved == self.started - len(self.waiting)
        assert sum((Counter(one.tried) for one in seen), Counter()) == self.log
        for one in seen:
            assert one.counted.judged == (one.counted.outcome not in EXCUSED)
            assert one.counted.judged or not one.counted.error
        assert sum(one.latency is not None for one in seen) == self.served

    def teardown(self) -> None:
        while self.waiting:
            self._next()
        self.sums_agree()

    def _next(self) -> None:
        self.now, _, driven, step, came = heapq.heappop(self.waiting)
        if isinstance(came, Begun) and isinstance(step, Serve):  # the end of a stream that was served with
            end_of_stream(
                driven.call, step.ask, ConverseReading(), Outcome.OK, self.now, first_token=QUICK, raised=False
            )
            self._ended(driven, served=True)
            return
        self._take(driven, driven.steps.send((self.now, came)))

    def _take(self, driven: Driven, step: Any) -> None:
        match step:
            case Ask(stop=stop, due=due):
                place = (stop.model.name, stop.target.region)
                driven.asked.append(place)
                assert self.now < driven.call.deadline, "no attempt starts after the deadline"
                assert due <= driven.call.deadline
                fate = self.fate[place]
                silent = fate == SILENT or self.now + QUICK > due
                asks = 18.0 if fate == WAIT else None
                outcome = Outcome.TIMED_OUT if silent else Outcome.THROTTLED if fate == WAIT else Outcome(fate)
                driven.met.append(outcome)
                driven.doomed = driven.doomed or outcome in ENDS
                good: Came = Begun() if driven.call.streaming else Told(tokens_in=1, tokens_out=1)
                failed = Failure(outcome=outcome, error=RuntimeError(str(outcome)), retry_after=asks)
                self._later(
                    due if silent else self.now + QUICK, driven, step, good if outcome is Outcome.OK else failed
                )
            case Wait(seconds):
                assert seconds > 0
                assert self.now + seconds < driven.call.deadline
                self._later(self.now + seconds, driven, step, None)
            case Refresh():
                self._later(self.now, driven, step, False)
            case Serve() if driven.call.streaming:
                self._later(self.now + 1.0, driven, step, Begun())
            case Serve():
                self._ended(driven, served=True)
            case Busy() | Raise():
                self._ended(driven, served=False)
                settled = {Outcome.REJECTED, Outcome.DENIED, Outcome.CREDENTIALS, Outcome.MISCONFIGURED}
                assert isinstance(step, Busy) or str(step.error) in settled, "only a settled matter is raised"
                if not driven.doomed:
                    began, allowed = driven.call.began, NAMES if driven.call.variant is Variant.GREEN else NAMES[1:]
                    works = [
                        place for place, since in self.works_since.items()
                        if place[0] in allowed and since is not None and since < began
                    ]  # fmt: skip
                    assert not works, f"{works} worked all the while; asked were {driven.asked}, met {driven.met}"
            case _:
                raise AssertionError(f"{step} is no step of a call that may have a busy answer")

    def _later(self, at: float, driven: Driven, step: Any, came: Came) -> None:
        heapq.heappush(self.waiting, (at, next(self.order), driven, step, came))

    def _ended(self, driven: Driven, *, served: bool) -> None:
        assert self.now <= driven.call.deadline + 1.0
        self.served += served
        self.unserved += not served
        self.log.update(driven.met)


TestCalls = Calls.TestCase
TestCalls.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
