"""Calibration: what A/A replays of a route's own traffic came to, in numbers and in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from scipy.stats import beta

from crossfade.core.metric import SCORE_PREFIX
from crossfade.core.sentence import duration, metric_name, percent

SURE = 0.99
"""Of the one-sided bounds."""


class Finding(StrEnum):
    """Whether an equal green is rolled back no more often than alpha allows, on this traffic."""

    HOLDS = "holds"
    IN_DOUBT = "in_doubt"
    DOES_NOT_HOLD = "does_not_hold"
    TOO_LITTLE = "too_little_history"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One check's overdispersion phi on this traffic: `start` is what it should start with, `given` what it does start
    with; `median` and `p90` are what the judge found by the end of the replays, None without any. Of a metric that is
    not `by_key` the calls with a key were split one by one.
    """

    metric: str
    start: float
    given: float
    by_key: bool
    lost: float
    """The sum of blue's recorded losses."""
    median: float | None = None
    p90: float | None = None

    @property
    def returns(self) -> bool:
        """Whether calls hang together the more the longer it goes: users with a key come back, and differ."""
        return self.by_key and self.median is not None and self.median >= 1.5 * max(self.start, self.given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """`replays` of blue against blue over at most `calls` of its calls and `seconds`, every `merged` buckets looked at
    as one; `weights` in percent are the plan's, or one `constant` weight where the history is too short for them.

    `stopped` were rolled back (or paused for a breach), `promoted` and `undecided` ended so; `median_calls` is of those
    that decided. `least` and `most` bound the share stopped, each with 99 % confidence. `needed` is how many calls nine
    of ten rollouts take, None where a gate would never open. `keyed` is the share of calls with a key, `unknown` names
    the checks that have no recorded calls.
    """

    replays: int
    alpha: float
    calls: int
    seconds: float
    merged: int
    weights: tuple[float, ...]
    constant: bool
    stopped: int
    promoted: int
    undecided: int
    median_calls: int | None
    needed: int | None
    keyed: float
    checks: tuple[Measured, ...]
    unknown: tuple[str, ...]

    @property
    def least(self) -> float:
        """The share stopped is at least this (Clopper and Pearson 1934)."""
        return float(beta.ppf(1 - SURE, self.stopped, self.replays - self.stopped + 1)) if self.stopped else 0.0

    @property
    def most(self) -> float:
        """The share stopped is at most this."""
        if self.stopped >= self.replays:
            return 1.0
        return float(beta.ppf(SURE, self.stopped + 1, self.replays - self.stopped))

    @property
    def finding(self) -> Finding:
        """A bad share is never hidden by too little history."""
        if self.replays and self.least > self.alpha:
            return Finding.DOES_NOT_HOLD
        if not self.replays or self.undecided > self.replays / 2 or not any(check.lost for check in self.checks):
            return Finding.TOO_LITTLE
        return Finding.HOLDS if self.stopped <= self.alpha * self.replays else Finding.IN_DOUBT

    @property
    def sentences(self) -> tuple[str, ...]:
        """The verdict first, then what to do and what was measured."""
        found = [self._verdict()]
        if self.finding in (Finding.DOES_NOT_HOLD, Finding.IN_DOUBT):
            found.append(self._advice())
        found += [_hanging_together(check) for check in self.checks if max(check.start, check.given) > 1]
        found += [_returning(check) for check in self.checks if check.returns and self.keyed]
        found += self._by_key()
        if self.unknown and self.checks:
            names = " and ".join(metric_name(metric) for metric in self.unknown)
            found.append(f"No calls of blue's are recorded for {names}: nothing is known of {_them(self.unknown)}.")
        clean = tuple(check.metric for check in self.checks if not check.lost)
        if clean and len(clean) < len(self.checks):
            names = " and ".join(metric_name(metric) for metric in clean)
            found.append(f"No call of blue's was bad by {names}: nothing is shown of {_them(clean)}.")
        if self.replays and self.constant:
            found.append(f"Replayed at {self.weights[0]:g} % throughout: the history is too short for the steps.")
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        more = {"least": self.least, "most": self.most, "finding": str(self.finding), "sentences": self.sentences}
        return asdict(self) | more

    def _verdict(self) -> str:
        if not self.replays:
            return f"Too little history to tell whether the guarantees hold on this traffic: {self._lacking()}."
        share = self.stopped / self.replays
        past = f"replays of blue's own {self.calls:,} calls over {duration(self.seconds)}, split anew each time,"
        stopped = f"{self.stopped} of {self.replays:,} A/A {past} were rolled back"
        allowed = f"alpha allows {percent(self.alpha)}"
        match self.finding:
            case Finding.DOES_NOT_HOLD:
                return (
                    f"Does not hold on this traffic: {stopped} ({percent(share)}, with 99 % confidence"
                    f" over {percent(self.least)}), and {allowed}. A green that is exactly as good as blue may well be"
                    " rolled back."
                )
            case Finding.TOO_LITTLE:
                return f"Too little history to tell: {self._lacking()}. {stopped[:1].upper()}{stopped[1:]}."
            case Finding.IN_DOUBT:
                return (
                    f"In doubt on this traffic: {stopped} ({percent(share)}, with 99 % confidence"
                    f" over {percent(self.least)}), and {allowed}. More replays would tell."
                )
            case _:
                return (
                    f"Holds on this traffic: {stopped} ({percent(share)}, with 99 % confidence"
                    f" at most {percent(self.most)}); {allowed}. Half were decided within"
                    f" {self.median_calls or 0:,} calls."
                )

    def _lacking(self) -> str:
        if not self.calls:
            scores = [metric.removeprefix(SCORE_PREFIX) for metric in self.unknown if metric.startswith(SCORE_PREFIX)]
            if scores and len(scores) == len(self.unknown):
                return f"none of blue's calls carry a score {' or '.join(map(repr, scores))} yet"
            return "none of blue's calls are recorded"
        if not any(check.lost for check in self.checks):
            return f"none of blue's {self.calls:,} recorded calls was bad, and without any a replay shows nothing"
        if self.keyed and any(check.returns for check in self.checks):
            return f"{self.calls:,} calls of blue's are recorded, but of too few users, who differ from one another"
        need = "no number of calls decides this plan" if self.needed is None else f"about {self.needed:,} are needed"
        return f"{self.calls:,} calls of blue's are recorded, and {need}"

    def _advice(self) -> str:
        low = [check for check in self.checks if check.start > check.given]
        if low:
            named = " and ".join(f"{metric_name(check.metric)} with {check.start:g}" for check in low)
            return f"Start {named}, as measured here: the check's overdispersion."
        names = " or ".join(metric_name(check.metric) for check in self.checks)
        if self.keyed:
            return (
                "What the users behind the keys ask for differs from one to the next, more than independent calls do."
                f" Use keys that stand for less, such as a conversation's in place of a user's, or none; or widen the"
                f" margin of {names}."
            )
        return f"Widen the margin of {names}."

    def _by_key(self) -> list[str]:
        other = [check.metric for check in self.checks if not check.by_key]
        if not self.keyed or not other:
            return []
        names = " and ".join(metric_name(metric) for metric in other)
        return [
            f"{percent(self.keyed)} of the calls have a key, and {names} {'is' if len(other) == 1 else 'are'} recorded"
            f" without it: what one user's calls have in common there is not in this."
        ]


def _hanging_together(check: Measured) -> str:
    name = metric_name(check.metric)
    said = f"{name[:1].upper()}{name[1:]} starts with an overdispersion of {check.given:g}"
    if check.given == check.start:
        return (
            f"{said}, as measured: calls hang together, and each tells 1 / {check.given:g} of what it otherwise would."
        )
    if check.given > check.start:
        return f"{said}; measured was {check.start:g}. Every decision takes longer than it need."
    return f"{said}; measured was {check.start:g}. Until the judge has learnt it, gates open too easily."


def _returning(check: Measured) -> str:
    return (
        f"Users come back, and differ in their {metric_name(check.metric)}: after as many calls as were replayed each"
        f" tells 1 / {check.median:.2g} of what independent calls would. It is more users that decide, not more calls"
        " of the same: a higher weight, a wider margin, or keys that stand for less, such as a conversation's."
    )


def _them(names: tuple[str, ...]) -> str:
    return "it" if len(names) == 1 else "them"
