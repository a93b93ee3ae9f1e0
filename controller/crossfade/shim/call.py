"""Call: what one call is, where it was assigned, and what has been tried for it so far."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeGuard

from crossfade.core import callid
from crossfade.core.model import Model, Target
from crossfade.core.outcome import Outcome
from crossfade.core.policy import Settings
from crossfade.core.snapshot import Entry, Snapshot
from crossfade.core.split import Variant
from crossfade.core.stop import Stop
from crossfade.shim.account import Account, Tried, account
from crossfade.shim.board import Board
from crossfade.shim.reasoning import without_reasoning
from crossfade.shim.recorder import Recorder, Seen
from crossfade.shim.telemetry import NO_SPAN, Span

log = logging.getLogger("crossfade")

_MOST_TOKENS = 10**9
_LONGEST = 86_400.0
"""Seconds: who says `sys.maxsize` means "as long as it takes", and no socket can wait so long."""


class Shadowing(Protocol):
    """Takes over what is to be copied, without waiting or raising."""

    def offer(self, call: Call, seen: Seen) -> None: ...


@dataclass(slots=True, kw_only=True)
class Call:
    """One routed call. `began` and `deadline` are on the monotonic clock, `at` is in seconds since 1970.

    `group` is that of the stickiness key, None where chance chose the variant. `home` is the client's own region.
    `asked` is the model id that the caller named: the name of the route whose rules led here.
    """

    operation: str
    params: dict[str, Any]
    snapshot: Snapshot
    entry: Entry
    variant: Variant
    group: int | None = None
    board: Board
    recorder: Recorder
    began: float
    at: float
    deadline: float
    home: str | None = None
    asked: str = ""
    tried: list[Tried] = field(default_factory=list)
    skipped: Outcome | None = None
    incompatible: bool = False
    unreasoned: set[str] = field(default_factory=set)
    """The Models that get the request without the reasoning of its earlier turns."""
    failovers: int = 0
    retries: int = 0
    hedged: bool = False
    recorded: bool = False
    collected: bool = False
    """Whether it ends in the destructor of its stream: what that interrupted may hold any lock."""
    id: str = ""
    span: Span = NO_SPAN
    shadow: Shadowing | None = None
    """Who is told of the call once it is recorded: blue's, of which green is to get a copy."""
    is_copy: bool = False
    """Green's copy of a call: nobody waits for it."""

    def __post_init__(self) -> None:
        live = self.entry.live
        self.id = callid.mint(
            self.snapshot.signing_key,
            rollout=live.rollout if live else 0,
            route=self.entry.id,
            step=live.step if live else 0,
            variant=self.variant,
            called_at=self.at,
            group=self.group,
        )
        self.span = self.recorder.telemetry.begin(self)

    @property
    def settings(self) -> Settings:
        return self.entry.route.policy

    @property
    def streaming(self) -> bool:
        return self.operation.endswith("Stream")

    @property
    def answers(self) -> bool:
        """Whether a model's answer comes back: it alone is evidence, and its time alone tells of the model."""
        return self.operation not in ANSWERLESS

    @property
    def assigned(self) -> str:
        """The name of the Model the split chose."""
        return self.entry.model(self.variant)

    @property
    def blue(self) -> str:
        return self.entry.route.blue

    @property
    def family(self) -> str | None:
        """The body family all Models of the route share."""
        return self.snapshot.models[self.assigned].body_family

    def params_for(self, model: Model) -> dict[str, Any]:
        """The request as this Model gets it: the caller's, or a copy without reasoning."""
        if model.lacks(("reasoning",)):
            self.unreasoned.add(model.name)
        if model.name not in self.unreasoned:
            return self.params
        bare = without_reasoning(self.operation, self.params)
        if bare is None:
            self.unreasoned.discard(model.name)
            return self.params
        return bare

    def left(self, now: float) -> float:
        """Seconds until the deadline."""
        return self.deadline - now

    def note(self, model: Model, target: Target, outcome: Outcome) -> None:
        """Writes down an attempt."""
        self.tried.append(Tried(model=model.name, region=target.region, outcome=outcome))
        self.span.attempt(model, target, outcome)

    def describe(self, *, model: str, region: str, busy: bool = False) -> dict[str, Any]:
        """What stands under `ResponseMetadata.Crossfade` of the answer."""
        live = self.entry.live
        stripped = {"stripped": "reasoning"} if model in self.unreasoned else {}
        return stripped | {
            "call_id": self.id,
            "route": self.entry.route.name,
            "variant": str(self.variant),
            "model": model,
            "region": region,
            "attempts": len(self.tried),
            "busy": busy,
            "hedged": self.hedged,
            "rollout": live.rollout if live else 0,
            "step": live.step if live else 0,
        }

    def answered(
        self,
        model: Model,
        target: Target,
        now: float,
        *,
        first_token: float | None = None,
        tokens: tuple[int | None, int | None] = (None, None),
        stop: Stop | None = None,
    ) -> None:
        """The caller has its answer, from this Model: recorded."""
        latency = now - self.began
        self._record(model, target.region, latency=latency, first_token=first_token, tokens=tokens, stop=stop)

    def unanswered(self, *, busy: bool = False, abandoned: bool = False) -> None:
        """The caller got a busy answer or an exception, or left: recorded."""
        self._record(busy=busy, abandoned=abandoned)

    def counted(self, answered_by: Model | None, *, abandoned: bool) -> Account:
        """How the call counts, now that it is over."""
        return account(
            self.assigned,
            self.tried,
            answered_by=answered_by.name if answered_by else None,
            incompatible=self.incompatible,
            abandoned=abandoned,
            skipped=self.skipped,
        )

    def _record(
        self,
        answered_by: Model | None = None,
        region: str = "",
        *,
        busy: bool = False,
        abandoned: bool = False,
        latency: float | None = None,
        first_token: float | None = None,
        tokens: tuple[int | None, int | None] = (None, None),
        stop: Stop | None = None,
    ) -> None:
        if self.recorded:
            return
        self.recorded = True
        try:
            self._count(answered_by, region, busy, abandoned, latency, first_token, tokens, stop)
        except Exception:  # the caller has its answer or its error: a fault in counting must not take it away
            self.recorder.dropped += 1
            log.warning("Crossfade could not record a call", exc_info=True, extra={"action": "call_not_recorded"})
        self.span.end(
            self, answered_by, busy=busy, abandoned=abandoned, first_token=first_token, tokens=tokens, stop=stop
        )

    def _count(
        self,
        answered_by: Model | None,
        region: str,
        busy: bool,
        abandoned: bool,
        latency: float | None,
        first_token: float | None,
        tokens: tuple[int | None, int | None],
        stop: Stop | None,
    ) -> None:
        if not self.answers:  # protected as any call, but no evidence
            return
        live = self.entry.live
        # From the wire: what is no plausible count must not spoil the whole batch's sums.
        # Of a hedged call two requests are paid for. What the other one took is never told: as much, at most.
        requests = 2 if self.hedged else 1
        tokens_in, tokens_out = (n * requests if is_count(n) else None for n in tokens)
        price = answered_by.price if answered_by else None
        known = price is not None and tokens_in is not None and tokens_out is not None
        seen = Seen(
            place=(
                self.entry.id,
                live.rollout if live else 0,
                live.step if live else 0,
                self.variant,
                int(self.at // self.snapshot.bucket_seconds) * self.snapshot.bucket_seconds,
                answered_by.name if answered_by else "",
                region,
            ),
            counted=self.counted(answered_by, abandoned=abandoned),
            tried=tuple(attempt.outcome for attempt in self.tried),
            busy=busy,
            raised=answered_by is None and not busy and not abandoned,
            retries=self.retries,
            failovers=self.failovers,
            latency=latency,
            first_token=first_token,
            tokens=(tokens_in or 0, tokens_out or 0),
            cost=price.of(tokens_in or 0, tokens_out or 0) if price and known else None,
            stop=stop,
            group=self.group,
        )
        self.recorder.record(seen)
        if self.shadow is not None and not self.collected:
            self.shadow.offer(self, seen)


ANSWERLESS = frozenset({"CountTokens", "StartAsyncInvoke"})
PINNED = "StartAsyncInvoke"
"""Goes to one target and stays there: what it starts lives in a region, and must not be started twice."""
OPERATIONS = ANSWERLESS | {"Converse", "ConverseStream", "InvokeModel", "InvokeModelWithResponseStream"}
"""What is routed. Everything else passes through with botocore's own retries."""


def deadline_of(operation: str, settings: Settings, said: float | None) -> float:
    """Seconds a call may take: the caller's word, else the route's."""
    if said is not None:
        return min(said, _LONGEST)
    return settings.stream_deadline if operation.endswith("Stream") else settings.deadline


def is_count(n: object) -> TypeGuard[int]:
    """Whether what came from the wire can be a number of tokens."""
    return type(n) is int and 0 <= n < _MOST_TOKENS


def with_model(params: Mapping[str, Any], model_id: str) -> dict[str, Any]:
    return {**params, "modelId": model_id}
