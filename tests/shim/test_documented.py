"""docs/call-path.md holds the tables that are in the code."""

from __future__ import annotations

from pathlib import Path

from crossfade.core.outcome import Outcome
from crossfade.core.policy import POLICY
from crossfade.shim.call import OPERATIONS
from crossfade.shim.handbook import policy_table, write

PAGE = Path(__file__).parents[2] / "docs" / "call-path.md"


def test_the_tables_in_the_docs_are_those_in_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert write(page) == page, "python -m crossfade.shim.handbook docs/call-path.md writes them anew"


def test_the_table_tells_of_every_outcome_what_it_is_and_what_follows() -> None:
    rows = {row.split("|")[1].strip(): row.split("|")[2:-1] for row in policy_table().splitlines()[2:]}
    assert set(rows) == {f"`{outcome}`" for outcome in POLICY}
    assert all(cell.strip() for cells in rows.values() for cell in cells)
    throttled = [cell.strip() for cell in rows[f"`{Outcome.THROTTLED}`"]]
    assert throttled[0].startswith("`ThrottlingException`")
    assert throttled[0].endswith("a bare 429")
    assert throttled[1:5] == ["2; 3 at the last region; 1 while adaptive skip is on", "1 s", "yes", "yes"]


def test_every_routed_operation_is_told_of() -> None:
    told = PAGE.read_text(encoding="utf-8").partition("## The operations")[2].partition("## The settings")[0]
    assert all(operation in told for operation in OPERATIONS)
