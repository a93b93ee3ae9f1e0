"""Tile: one check as its tile shows it, and the drawing of its interval against zero and the margin."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from crossfade.core.metric import metric_of
from crossfade.core.sentence import held_to, metric_count, metric_difference, metric_name, metric_value

SEEN_OVERDISPERSION = 1.5
ROOM = 0.12
"""Share of the drawing left free beyond its outermost mark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A line at `x` (percent of the width) with its words, and on which side of it they stand."""

    x: float
    words: str
    anchor: str = "middle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """The difference on a line: positions are percent of the width, from better (left) to worse (right).

    `start` and `end` bound the interval; an end that is unknown or beyond the drawing runs off its edge and is
    `open`. `described` says the same to those who cannot see it.
    """

    zero: Mark
    gate: Mark
    margin: Mark | None
    start: float | None
    end: float | None
    open_start: bool
    open_end: bool
    point: float | None
    described: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """Evidence against what is needed: `filled` is percent of the way, on the log scale."""

    words: str
    of: str
    filled: float
    tone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """Everything one tile shows, in words; nothing is decided here."""

    metric: str
    name: str
    ruling: str
    meaning: str
    sentence: str
    blue: str
    blue_n: str
    green: str
    green_n: str
    difference: str
    interval: str
    drawing: Drawing | None
    meters: tuple[Meter, ...]
    notes: tuple[str, ...]


def tile(figures: Mapping[str, Any], *, ended: bool = False) -> Tile:
    """Of `server.figures.verdict_figures`; of a rollout that has `ended` nothing is foretold."""
    gate = _amount(figures, figures["gate_margin"])
    fall = "a fall" if figures["is_score"] else "a rise"
    return Tile(
        metric=figures["metric"],
        name=name(figures),
        ruling=figures["ruling"],
        meaning=_meaning(figures, gate),
        sentence=figures["sentence"],
        blue=_value(figures, "blue"),
        blue_n=_count(figures, "blue"),
        green=_value(figures, "green"),
        green_n=_count(figures, "green"),
        difference=_difference(figures),
        interval=_interval(figures),
        drawing=_drawing(figures),
        meters=(
            _meter(f"{fall} by {gate} ruled out", figures["log_e_gate"], figures["log_e_gate_needed"], "good"),
            _meter("green is worse, by this check alone", figures["log_e_worse"], figures["log_e_worse_needed"], "bad"),
        ),
        notes=tuple(_notes(figures, ended)),
    )


def odds(log_e: float) -> str:
    """Evidence as odds: "3 to 1", "10^8 to 1"."""
    if log_e > math.log(1e6):
        return f"10^{log_e / math.log(10):.0f} to 1"
    ratio = math.exp(max(log_e, -20))
    return f"{ratio:,.0f} to 1" if ratio >= 9.95 else f"{ratio:.1f} to 1" if ratio >= 0.05 else "0 to 1"


def _meaning(figures: Mapping[str, Any], gate: str) -> str:
    match figures["ruling"]:
        case "passed":
            return f"shown to be within {gate}"
        case "failed":
            return "shown to be worse than blue"
        case "inconclusive":
            return f"neither shown worse, nor shown within {gate}"
        case _ if figures.get("awaits_look"):
            return str(figures["sentence"])
        case _:
            return "nothing to compare yet"


def name(figures: Mapping[str, Any]) -> str:
    """The metric as it is said, with its limit. Figures kept by earlier versions have none."""
    return metric_name(figures["metric"], figures.get("limit"))


def _amount(figures: Mapping[str, Any], difference: float) -> str:
    """The size of a difference: "0.5 points", or "$0.0004" of a cost."""
    return metric_difference(figures["metric"], figures.get("limit"), difference)


def _value(figures: Mapping[str, Any], variant: str) -> str:
    mean = figures[variant]["mean"]
    return "–" if mean is None else metric_value(figures["metric"], figures.get("limit"), mean)


def _count(figures: Mapping[str, Any], variant: str) -> str:
    known, summary = metric_of(figures["metric"]), figures[variant]
    return f"{metric_count(known.name, summary['n'], summary['s'])}{' calls' if known.binary else ''}"


def _difference(figures: Mapping[str, Any]) -> str:
    estimate = figures["estimate"]
    if estimate is None:
        return "No difference can be given yet"
    if abs(estimate) < 5e-5:
        return "No difference"
    return f"Green is {'worse' if estimate > 0 else 'better'} by {_amount(figures, estimate)}"


def _interval(figures: Mapping[str, Any]) -> str:
    lower, upper = figures["lower"], figures["upper"]
    if lower is None and upper is None:
        return "" if figures["estimate"] is None else "no interval yet"
    if lower is None:
        return f"at most {_signed(figures, upper)}"
    if upper is None:
        return f"at least {_signed(figures, lower)}"
    return f"between {_signed(figures, lower)} and {_signed(figures, upper)}"


def _signed(figures: Mapping[str, Any], difference: float) -> str:
    """A difference on the scale of the drawing: plus is worse."""
    if abs(difference) < 5e-5:
        return "0"
    return f"{_amount(figures, difference).split()[0]} {'worse' if difference > 0 else 'better'}"


def _meter(words: str, log_e: float, needed: float, tone: str) -> Meter:
    share = log_e / needed if needed > 0 else 1.0
    return Meter(words=words, of=f"{odds(log_e)}, of {odds(needed)}", filled=100 * min(1.0, max(0.0, share)), tone=tone)


def _notes(figures: Mapping[str, Any], ended: bool) -> list[str]:
    notes = []
    if figures.get("since") is not None:
        began = datetime.fromtimestamp(figures["since"], UTC)
        notes.append(f"Since {began:%H:%M} UTC ({began:%Y-%m-%d}), when the checks were amended.")
    if figures["ruling"] == "inconclusive" and not ended:
        needed = figures["calls_needed"]
        notes.append(
            f"About {needed:,} more {'scored ' if figures['is_score'] else ''}calls until the gate should open."
            if needed is not None
            else "The drift is against passing, so no number of calls can be given."
        )
    held = held_to(figures["metric"], figures.get("limit"), figures["margin"], figures["on_breach"], figures["gating"])
    notes.append(f"{held[:1].upper()}{held[1:]}.")
    phi = figures["overdispersion"] or 1.0
    if phi > SEEN_OVERDISPERSION:
        notes.append(
            f"Calls are correlated (overdispersion {phi:.1f}): the evidence is tempered, and the guarantee approximate."
        )
    return notes


def _drawing(figures: Mapping[str, Any]) -> Drawing | None:
    estimate, lower, upper = (figures[name] for name in ("estimate", "lower", "upper"))
    if estimate is None and lower is None and upper is None:
        return None
    gate, margin = figures["gate_margin"], figures["margin"] / 100
    # The first minutes' intervals are huge; past this reach they run off the edge instead of squeezing the rest.
    reach = max(2.5 * gate, 1.6 * abs(estimate or 0.0))
    left = max(-reach, min(-0.6 * gate, *(value for value in (estimate, lower) if value is not None)))
    right = min(reach, max(1.25 * gate, *(value for value in (estimate, upper) if value is not None)))
    width = right - left
    left, right = left - ROOM * width / 2, right + ROOM * width / 2

    def place(value: float) -> float:
        return float(round(100 * (value - left) / (right - left), 2))

    open_start = lower is None or lower < left
    open_end = upper is None or upper > right
    at_gate = place(gate)
    show_margin = abs(at_gate - place(margin)) > 3 and place(margin) - place(0) > 3
    return Drawing(
        zero=Mark(x=place(0), words="same"),
        gate=Mark(x=at_gate, words=f"gate: {_amount(figures, gate)} worse", anchor="end" if at_gate > 55 else "start"),
        margin=Mark(x=place(margin), words="") if show_margin else None,
        start=None if lower is None and upper is None else 0.0 if lower is None or open_start else place(lower),
        end=None if lower is None and upper is None else 100.0 if upper is None or open_end else place(upper),
        open_start=open_start,
        open_end=open_end,
        point=None if estimate is None else min(100.0, max(0.0, place(estimate))),
        described=(
            f"{_difference(figures)}; {_interval(figures)}; the gate asks for at most {_amount(figures, gate)} worse"
        ),
    )
