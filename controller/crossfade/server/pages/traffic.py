"""Traffic: what became of both variants' calls, side by side: outcomes, durations, cost, and the split itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from crossfade.core import sentence
from crossfade.core.outcome import Outcome
from crossfade.server.pages.words import dollars, share
from crossfade.server.views import durations
from crossfade.server.views.rollout import RolloutView, VariantView
from crossfade.server.views.route import Late

LEAST_WIDTH = 0.7
"""Percent of a strip that even one call gets, so that it can be seen."""
DAY = 86_400
ON_THE_WAY = (
    ("retried attempts", "retries"),
    ("failed over", "failovers"),
    ("busy answers", "busy"),
    ("raised to the caller", "raised"),
)
"""What was done about trouble, in words, by its count."""

KINDS: dict[Outcome, str] = {
    Outcome.OK: "ok",
    Outcome.THROTTLED: "quota",
    Outcome.QUOTA: "quota",
    Outcome.UNAVAILABLE: "place",
    Outcome.OUTAGE: "place",
    Outcome.TIMED_OUT: "place",
    Outcome.NOT_READY: "place",
    Outcome.MODEL_ERROR: "arm",
    Outcome.TRUNCATED: "arm",
    Outcome.MALFORMED: "arm",
    Outcome.INCOMPATIBLE: "arm",
    Outcome.MISCONFIGURED: "config",
    Outcome.DENIED: "config",
    Outcome.CREDENTIALS: "caller",
    Outcome.REJECTED: "caller",
    Outcome.ABANDONED: "other",
    Outcome.UNKNOWN: "other",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of a strip, from `x` over `width`, in percent."""

    outcome: str
    kind: str
    x: float
    width: float
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """One variant's calls by outcome; `said` says how many, and how many copies of calls."""

    variant: str
    said: str
    pieces: tuple[Piece, ...]
    described: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table that compares: its words, both values, and the kind of outcome it is, if any."""

    words: str
    blue: str
    green: str
    kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantile:
    """One duration of both variants and their difference: each its value and its interval."""

    words: str
    blue: tuple[str, str]
    green: tuple[str, str]
    difference: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Green's share of the step's calls against what was wanted; `low` and `high` are what chance alone gives. At a
    `shadow` step the share of calls that was copied.
    """

    wanted: float
    seen: float | None
    calls: int
    green_calls: int
    low: float
    high: float
    shadow: bool


def strip(view: VariantView, copies: int) -> Strip:
    """`copies` are how many of the variant's calls were copies of calls."""
    counted = [(outcome, view.outcomes[outcome]) for outcome in KINDS if view.outcomes.get(outcome)]
    total = sum(count for _, count in counted)
    widths = [max(LEAST_WIDTH, 100 * count / total) for _, count in counted]
    shrink = 100 / sum(widths) if widths else 1.0
    pieces: list[Piece] = []
    x = 0.0
    for (outcome, count), width in zip(counted, widths, strict=True):
        words = f"{_words(outcome)}: {count:,} ({share(100 * count / total, 2)})"
        pieces.append(Piece(outcome=outcome, kind=KINDS[outcome], x=x, width=round(width * shrink, 3), words=words))
        x = round(x + width * shrink, 3)
    described = "; ".join(piece.words for piece in pieces) or "no calls yet"
    said = sentence.calls_and_copies(view.calls - copies, copies)
    return Strip(variant=view.variant, said=said, pieces=tuple(pieces), described=described)


def lately(late: Late) -> list[tuple[str, str, str]]:
    """A route's calls of late, whatever their variant: (words, number, kind of the outcome, if any)."""
    trouble = [(words, _part(getattr(late, name), late.calls), "") for words, name in ON_THE_WAY]
    return _by_class(late.outcomes, late.calls) + trouble


def attempts(late: Late) -> list[tuple[str, str, str]]:
    """The attempts of a route's calls of late, in the same way."""
    return _by_class(late.attempts, sum(late.attempts.values()))


def _by_class(counted: Mapping[str, int], total: int) -> list[tuple[str, str, str]]:
    return [
        (_words(outcome), _part(counted[outcome], total), kind)
        for outcome, kind in KINDS.items()
        if counted.get(outcome)
    ]


def served(late: Late) -> list[tuple[str, str, str]]:
    """Who answered a route's calls of late: (Model, region, number)."""
    return [(each.model, each.region, _part(each.calls, late.calls)) for each in late.served]


def outcome_lines(blue: VariantView, green: VariantView) -> list[Line]:
    """Every outcome that happened, then what was done about trouble on the way to one."""
    lines = _compared(blue.outcomes, green.outcomes, blue.calls, green.calls)
    for words, name in ON_THE_WAY:
        lines.append(
            Line(
                words=words, blue=_part(getattr(blue, name), blue.calls), green=_part(getattr(green, name), green.calls)
            )
        )
    return lines


def attempt_lines(blue: VariantView, green: VariantView) -> list[Line]:
    """Every class that attempts ended as, of their number."""
    return _compared(blue.attempts, green.attempts, sum(blue.attempts.values()), sum(green.attempts.values()))


def _compared(blue: Mapping[str, int], green: Mapping[str, int], of_blue: int, of_green: int) -> list[Line]:
    return [
        Line(
            words=_words(outcome),
            kind=kind,
            blue=_part(blue.get(outcome, 0), of_blue),
            green=_part(green.get(outcome, 0), of_green),
        )
        for outcome, kind in KINDS.items()
        if blue.get(outcome) or green.get(outcome)
    ]


def quantiles(view: RolloutView) -> list[Quantile]:
    """Whole calls, then first tokens."""
    return [
        Quantile(
            words=each.name,
            blue=(durations.value(each.blue), durations.ends(each.blue)),
            green=(durations.value(each.green), durations.ends(each.green)),
            difference=(durations.signed(each.difference), durations.ends(each.difference, signs=True)),
        )
        for each in view.durations
    ]


def tempering(view: RolloutView) -> list[str]:
    """Of whole calls and of first tokens: whether their intervals allow for calls that go together."""
    phis = {each.of: each.phi for each in view.durations}
    return [
        f"No check of {durations.NAMES[of]}s: taken as independent."
        if phi is None
        else f"{durations.NAMES[of].capitalize()}s: phi {phi:.2f}, by their check."
        for of, phi in phis.items()
    ]


def cost_lines(view: RolloutView) -> list[Line]:
    """A call, a call that was answered, and a day with every call on one variant."""
    lines = []
    for words, value in (
        ("a call", lambda v: v.cost_per_call),
        ("a successful call", _a_success),
        ("a day, at today's traffic", lambda v: _a_day(v, view.traffic)),
    ):
        blue, green = value(view.blue_calls), value(view.green_calls)
        if blue is not None or green is not None:
            lines.append(Line(words=words, blue=dollars(blue), green=dollars(green)))
    if view.shadow is not None and view.shadow.copies:
        lines.append(Line(words="copies of calls, beside blue", blue="–", green=copies_cost(view)))
    tokens = [(v.tokens_in / v.calls, v.tokens_out / v.calls) if v.calls else None for v in _both(view)]
    if any(t and sum(t) for t in tokens):
        said = [f"{t[0]:,.0f} in, {t[1]:,.0f} out" if t else "–" for t in tokens]
        lines.append(Line(words="tokens a call", blue=said[0], green=said[1]))
    return lines


def copies_cost(view: RolloutView) -> str:
    """Of a rollout with a shadow step."""
    assert view.shadow is not None
    return sentence.copies_cost(view.shadow.cost, view.shadow.priced, view.shadow.answered)


def split(view: RolloutView) -> Split:
    """Of the step under way, or of the one the rollout ended in."""
    step = view.steps[view.step]
    weight = (step.shadow or step.weight) if view.started_at else view.weight
    wanted = weight / 100
    spread = 1.96 * math.sqrt(wanted * (1 - wanted) / view.step_calls) if view.step_calls else 0.0
    return Split(
        wanted=weight,
        seen=view.observed_weight,
        calls=view.step_calls,
        green_calls=view.step_green_calls,
        low=max(0.0, 100 * (wanted - spread)),
        high=min(100.0, 100 * (wanted + spread)),
        shadow=bool(step.shadow),
    )


def _a_success(view: VariantView) -> float | None:
    good = view.outcomes.get(Outcome.OK, 0) - view.busy
    return view.cost_sum / good if good > 0 and view.cost_per_call is not None else None


def _a_day(view: VariantView, traffic: float) -> float | None:
    return view.cost_per_call * traffic * DAY if view.cost_per_call is not None and traffic else None


def _both(view: RolloutView) -> Iterable[VariantView]:
    return view.blue_calls, view.green_calls


def _part(count: int, calls: int) -> str:
    if not count:
        return "0"
    part = share(100 * count / calls, 2).replace(" ", "\N{NO-BREAK SPACE}") if calls else ""
    return f"{count:,} ({part})" if part else f"{count:,}"


def _words(outcome: Outcome) -> str:
    return outcome.replace("_", " ")
