"""Handbook: the tables of docs/call-path.md, made of the tables in the code.

`python -m crossfade.shim.handbook docs/call-path.md` writes them anew; a test holds the page to them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from crossfade.core.outcome import Outcome
from crossfade.core.policy import POLICY, Region, Settings, describe_settings
from crossfade.shim.classify import BESIDES, CODES, STATUSES
from crossfade.shim.course import SETTLED

_ALSO_COUNTS = {
    Outcome.THROTTLED: "the ramp waits",
    Outcome.QUOTA: "the ramp waits",
    Outcome.TRUNCATED: "the arm, once two regions showed it",
    Outcome.MISCONFIGURED: "the target is left alone for `quarantine`, the rollout pauses",
    Outcome.DENIED: "the rollout pauses",
    Outcome.UNKNOWN: "an alarm above `unknown_share`",
}
_TRIES = {
    Outcome.THROTTLED: "; 1 while adaptive skip is on",
    Outcome.OUTAGE: "; `connect_tries` where no connection was made",
    Outcome.CREDENTIALS: ", after a refresh",
}


def policy_table() -> str:
    """What happens to a call, by what became of an attempt."""
    head = ("when an attempt ends as", "which is", "tries there", "wait", "next region", "next Model",
            "counts against", "if nothing is left")  # fmt: skip
    return _table(head, (_row(outcome) for outcome in POLICY))


def settings_table() -> str:
    """Every setting of a route's `policy`."""
    rows = []
    for setting in describe_settings(Settings()):
        bounds = f"{setting['least']:g} to {setting['most']:g}" if "least" in setting else "true, false"
        value = str(setting["default"]).lower() if "least" not in setting else f"{setting['default']:g}"
        rows.append((f"`{setting['name']}`", value, bounds, setting.get("unit", ""), setting["says"]))
    return _table(("setting", "default", "bounds", "unit", "what it says"), rows)


def write(page: str) -> str:
    """The page with its tables as they are now. Raises ValueError if it has no place for one."""
    for name, table in (("policy", policy_table()), ("settings", settings_table())):
        begin, end = f"<!-- begin {name}: written by crossfade.shim.handbook -->\n", f"<!-- end {name} -->"
        before, after = page.index(begin) + len(begin), page.index(end)
        page = page[:before] + table + page[after:]
    return page


def _row(outcome: Outcome) -> tuple[str, ...]:
    row = POLICY[outcome]
    tries = f"{row.tries}" if row.tries == row.tries_last else f"{row.tries}; {row.tries_last} at the last region"
    wait = f"{row.base:g} s" if row.base else "-"
    counts = "; ".join(filter(None, (str(row.charge), _ALSO_COUNTS.get(outcome))))
    region = str(row.region) if row.region is not Region.IF_TIME else "if time is left"
    return (
        f"`{outcome}`",
        _signals(outcome),
        tries + _TRIES.get(outcome, ""),
        wait,
        region,
        str(row.model),
        counts,
        _end(outcome),
    )


def _signals(outcome: Outcome) -> str:
    codes = [f"`{code}`" for code in CODES.get(outcome, ())]
    statuses = ", ".join(str(status) for status, meant in STATUSES.items() if meant is outcome)
    return "; ".join(
        part for part in (", ".join(codes), f"a bare {statuses}" if statuses else "", BESIDES.get(outcome, "")) if part
    )


def _end(outcome: Outcome) -> str:
    if outcome is Outcome.MALFORMED:
        return "the answer as it is, at once"
    if outcome in SETTLED or outcome is Outcome.MISCONFIGURED:
        return "the error itself"
    return "the busy answer"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(write(path.read_text(encoding="utf-8")), encoding="utf-8")
