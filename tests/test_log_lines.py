"""Every log line carries a stable `action`, and docs/telemetry.md lists them: read off the code's calls of `log`.

`python tests/test_log_lines.py` writes the page's table anew.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "controller" / "crossfade"
PAGE = ROOT / "docs" / "telemetry.md"
BEGIN, END = "<!-- begin actions: written by tests/test_log_lines.py -->\n", "<!-- end actions -->"
LEVELS = ("debug", "info", "warning", "error", "exception", "critical")

Line = tuple[str, str, str, str]
"""Where it comes from, its action, its level, its words."""
Named = dict[str, ast.expr]


def lines_of(tree: ast.Module, where: str) -> Iterator[Line]:
    """The log lines of a module; of a helper that takes action or words as arguments, one for each call of it."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and is_logging(node)):
        action = action_of(call)
        around = [f for f in functions if any(call is inner for inner in ast.walk(f))]
        helper = min(around, key=lambda f: len(list(ast.walk(f))), default=None)
        bindings: list[Named] = [{}]
        used = {n.id for part in (action, call.args[0]) for n in ast.walk(part) if isinstance(n, ast.Name)}
        if helper and used & {arg.arg for arg in helper.args.args}:
            bindings = list(calls_of(tree, helper))
        for named in bindings:
            assert isinstance(call.func, ast.Attribute)
            level = "error" if call.func.attr == "exception" else call.func.attr
            yield where, text_of(action, named), level, words_of(call.args, named)


def is_logging(call: ast.Call) -> bool:
    function = call.func
    return (
        isinstance(function, ast.Attribute)
        and function.attr in LEVELS
        and isinstance(function.value, ast.Name)
        and function.value.id in ("log", "logger", "logging")
    )


def action_of(call: ast.Call) -> ast.expr:
    """structlog's keyword, or what stands in `extra`."""
    given = {str(keyword.arg): keyword.value for keyword in call.keywords}
    if isinstance(extra := given.get("extra"), ast.Dict):
        keys = (key.value if isinstance(key, ast.Constant) else "" for key in extra.keys)
        given |= dict(zip(map(str, keys), extra.values, strict=True))
    assert "action" in given, f"a log line without an action: {ast.unparse(call)}"
    return given["action"]


def calls_of(tree: ast.Module, helper: ast.FunctionDef) -> Iterator[Named]:
    names = [arg.arg for arg in helper.args.args if arg.arg != "self"]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and helper.name in (getattr(node.func, "attr", ""), getattr(node.func, "id", "")):
            yield dict(zip(names, node.args, strict=False))


def words_of(args: list[ast.expr], named: Named) -> str:
    """What a line says, with its arguments in their places."""
    rest = iter(args[1:])
    text = re.sub(r"%(\.\d)?[sgrd]", lambda _: text_of(next(rest), named), text_of(args[0], named))
    return text.replace("%%", "%") if len(args) > 1 else text


def text_of(part: ast.expr, named: Named) -> str:
    """An expression as it reads in the log; an ellipsis for what differs from time to time."""
    match part:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(text_of(value, named) for value in values)
        case ast.FormattedValue(value=value):
            return text_of(value, named)
        case ast.Name(id=name) if name in named:
            return text_of(named[name], {})
        case _:
            return "…"


def all_lines() -> list[Line]:
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        where = path.relative_to(SOURCE).parts[0]
        found += list(lines_of(ast.parse(path.read_text()), where))
    return sorted(set(found), key=lambda line: (line[0] != "shim", *line))


def page() -> str:
    rows = "".join(f"| {where} | `{action}` | {level} | {words} |\n" for where, action, level, words in all_lines())
    table = "| from | action | level | words |\n|---|---|---|---|\n" + rows
    before, rest = PAGE.read_text().split(BEGIN)
    return before + BEGIN + table + END + rest.split(END)[1]


def test_every_log_line_has_an_action_that_is_in_the_docs() -> None:
    assert page() == PAGE.read_text(), "python tests/test_log_lines.py writes the table anew"


def test_an_action_is_a_word_of_one_part_of_crossfade_and_never_differs() -> None:
    actions = {action for _, action, _, _ in all_lines()}
    assert len(actions) > 25
    # What a rollout did is the one that ends in what was decided: core.decision.Act.
    assert [action for action in actions if not re.fullmatch("[a-z]+(_[a-z0-9]+)*", action)] == ["rollout_…"]


def test_a_line_without_an_action_is_found() -> None:
    with pytest.raises(AssertionError, match="without an action"):
        list(lines_of(ast.parse("log.warning('something')"), "shim"))


if __name__ == "__main__":
    PAGE.write_text(page())
