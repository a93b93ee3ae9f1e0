"""Words: how values are said on the pages. Template filters, no decisions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from crossfade.core import amount as amounts
from crossfade.core.sentence import duration, harm, metric_name, p_value

PHASES = {
    "pending": ("Pending", "calm"),
    "progressing": ("Progressing", "live"),
    "paused": ("Paused", "warn"),
    "promoted": ("Promoted", "good"),
    "rolled_back": ("Rolled back", "bad"),
    "aborted": ("Aborted", "calm"),
    "superseded": ("Superseded", "calm"),
}
RULINGS = {
    "passed": ("Passed", "good"),
    "failed": ("Failed", "bad"),
    "inconclusive": ("Not decided yet", "calm"),
    "no_data": ("No data yet", "calm"),
}
ACTS = {
    "hold": "Hold",
    "advance": "Advance",
    "promote": "Promote",
    "roll_back": "Roll back",
    "pause": "Pause",
    "register": "Register",
    "start": "Start",
    "resume": "Resume",
    "abort": "Abort",
    "undo": "Undo",
    "supersede": "Supersede",
    "amend": "Amend",
    "rebucket": "Other buckets",
}


def phase(name: str) -> tuple[str, str]:
    """The word and the tone of a phase."""
    return PHASES.get(name, (name, "calm"))


def ruling(name: str) -> tuple[str, str]:
    """The word and the tone of a ruling."""
    return RULINGS.get(name, (name, "calm"))


def act(name: str) -> str:
    return ACTS.get(name, name.replace("_", " ").capitalize())


def iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def span(seconds: float | None) -> str:
    """A duration in words, a dash without one."""
    return "–" if seconds is None else duration(seconds) if seconds > 0 else "0 s"


def share(percent: float | None, digits: int = 1) -> str:
    """A share that is already in percent: "25 %", "24.6 %"."""
    if percent is None:
        return "–"
    text = f"{percent:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"


def count(number: float | None) -> str:
    return "–" if number is None else f"{number:,.0f}"


def dollars(amount: float | None) -> str:
    """Money, a dash without any."""
    return "–" if amount is None else amounts.dollars(amount)


def twice(text: str) -> tuple[str, str]:
    """A name as an option of a list: its value and its words."""
    return text, text


FILTERS: dict[str, Callable[..., Any]] = {
    "phase": phase,
    "ruling": ruling,
    "act": act,
    "iso": iso,
    "stamp": stamp,
    "span": span,
    "share": share,
    "count": count,
    "dollars": dollars,
    "harm": harm,
    "metric": metric_name,
    "p_value": p_value,
    "setting": amounts.exact,
    "twice": twice,
}
