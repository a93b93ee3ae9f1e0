"""docs/call-path.md is written by hand, but its table is the one in the code."""

from __future__ import annotations

from pathlib import Path

from crossfade.core.policy import POLICY

PAGE = Path(__file__).parents[2] / "docs" / "call-path.md"


def rows_of(text: str) -> list[list[str]]:
    """The cells of the policy table's rows."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.count("|") == 8]


def test_the_table_in_the_docs_is_the_table_in_the_code() -> None:
    expected = [
        [
            f"`{outcome}`",
            str(row.tries),
            str(row.tries_last),
            f"{row.base:g} s" if row.base else "-",
            str(row.region),
            str(row.model),
            str(row.charge),
        ]
        for outcome, row in POLICY.items()
    ]
    assert rows_of(PAGE.read_text()) == expected
