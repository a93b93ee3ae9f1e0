"""What the docs say of the call path and of versions is what stands in the code and in the locks."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from crossfade.core.outcome import Outcome
from crossfade.core.policy import POLICY
from crossfade.shim.call import OPERATIONS
from crossfade.shim.handbook import policy_table, write

CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "docs" / "call-path.md"
COMPATIBILITY = CHECKOUT / "docs" / "compatibility.md"


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


def locked(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9_.-]+)==(\S+)", (CHECKOUT / lock).read_text(), re.MULTILINE))


def test_the_lowest_boto3_that_is_declared_is_the_one_that_is_tested() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    lowest = locked("tests/compat/boto3-floor.lock")
    assert project["dependencies"] == [f"boto3>={lowest['boto3']}"]
    assert lowest["botocore"] == lowest["boto3"]


def test_the_compatibility_page_names_the_versions_that_are_locked() -> None:
    """Stale? `dev.py test tests/compat --write-page` writes it."""
    found = re.findall(r"^\| (\S+) \| (\d\S*) \|", COMPATIBILITY.read_text(), re.MULTILINE)
    packages = json.loads((CHECKOUT / "tests/compat/javascript/package-lock.json").read_text())["packages"]
    for name, version in found:
        assert "/" not in name or packages[f"node_modules/{name}"]["version"] == version
    rows = [row for row in found if "/" not in row[0]]
    newest, lowest = locked("requirements.lock"), locked("tests/compat/boto3-floor.lock")
    frameworks = locked("tests/compat/requirements.lock")
    assert dict(rows[:2]) == {"lowest": lowest["boto3"], "newest": newest["boto3"]}
    assert len(rows) > 10
    assert [(name, frameworks[name]) for name, _ in rows[2:]] == rows[2:]


def test_locks_hold_no_address() -> None:
    for lock in ("requirements.lock", "tests/compat/requirements.lock", "tests/compat/boto3-floor.lock"):
        assert "://" not in (CHECKOUT / lock).read_text()
    assert "resolved" not in (CHECKOUT / "tests/compat/javascript/package-lock.json").read_text()


def test_the_frameworks_are_no_part_of_the_service() -> None:
    ours = locked("requirements.lock")
    assert (
        not {
            "langchain-aws",
            "strands-agents",
            "instructor",
            "agno",
            "aiobotocore",
            "awscli",
            "baml-py",
            "gevent",
            "pyuwsgi",
        }
        & ours.keys()
    )
