"""The page docs/compatibility.md, made of what a run showed. The text around the tables stands in page.md."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from .frameworks import IN_PROCESS, THROUGH_SIDECAR, Framework

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = CHECKOUT / "docs" / "compatibility.md"
LOCKS = {
    "newest": CHECKOUT / "requirements.lock",
    "lowest": CHECKOUT / "tests" / "compat" / "boto3-floor.lock",
    "frameworks": CHECKOUT / "tests" / "compat" / "requirements.lock",
}
NPM_LOCK = CHECKOUT / "tests" / "compat" / "javascript" / "package-lock.json"
WAYS = {"answer": "answer", "stream": "stream", "tool": "tool call", "asynchronous": "async", "key": "key"}
"""What is asked of a framework -> the heading of its column."""


def render(showed: Mapping[tuple[str, str], bool], frameworks: Mapping[str, type[Framework]]) -> str:
    """The whole page. `showed` says of (framework, way) whether it held in every situation."""
    reasons: list[str] = []
    return (
        Path(__file__)
        .with_name("page.md")
        .read_text()
        .format(
            lowest=locked("lowest", "boto3"),
            newest=locked("newest", "boto3"),
            beside=locked("frameworks", "boto3"),
            in_process=table(showed, select(frameworks, IN_PROCESS), reasons),
            through_sidecar=table(showed, select(frameworks, THROUGH_SIDECAR), reasons),
            reasons="\n".join(f"{number}. {reason}." for number, reason in enumerate(reasons, 1)),
        )
    )


def select(frameworks: Mapping[str, type[Framework]], names: Collection[str]) -> dict[str, type[Framework]]:
    return {name: framework for name, framework in frameworks.items() if name in names}


def table(showed: Mapping[tuple[str, str], bool], frameworks: Mapping[str, type[Framework]], reasons: list[str]) -> str:
    rows = [["framework", "version", "how", *WAYS.values()], ["---"] * (3 + len(WAYS))]
    for name, framework in frameworks.items():
        cells = [cell(framework, way, showed[name, way], reasons) for way in WAYS]
        rows.append([framework.package, locked("frameworks", framework.package), f"`{framework.line}`", *cells])
    return "\n".join(map(row, rows))


def cell(framework: type[Framework], way: str, held: bool, reasons: list[str]) -> str:
    reason = framework.cannot.get(way)
    if reason is None:
        return "yes" if held else "fails"
    if reason not in reasons:
        reasons.append(reason)
    return f"no ({reasons.index(reason) + 1})"


def row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def locked(lock: str, package: str) -> str:
    """The version of a package in one of the locks; npm's have a slash in their names."""
    if "/" in package:
        packages = json.loads(NPM_LOCK.read_text())["packages"]
        return str(packages[f"node_modules/{package}"]["version"])
    found = re.search(rf"^{re.escape(package)}==(\S+)", LOCKS[lock].read_text(), re.MULTILINE)
    assert found is not None, f"{package} is not in {LOCKS[lock]}"
    return found[1]
