"""docs/cli.md tells of every command, every option and every exit code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from crossfade.cli.codes import Code
from crossfade.cli.main import crossfade

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
EVERYWHERE = {"--url", "--token", "--json", "--help", "-h"}


def commands(group: click.Group, words: tuple[str, ...] = ("crossfade",)) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield " ".join((*words, name)), command


COMMANDS = dict(commands(crossfade))


@pytest.mark.parametrize("name", COMMANDS)
def test_command_has_a_heading_and_its_options_are_told_under_it(name: str) -> None:
    sections = [part for part in PAGE.split("\n### ")[1:] if f"`{name}`" in part.partition("\n")[0]]
    assert len(sections) == 1
    section = sections[0].partition("\n## ")[0]
    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Option):
            for option in set(parameter.opts) - EVERYWHERE:
                assert option in section, f"{name} {option}"


def test_options_of_every_command_are_told_once() -> None:
    head = PAGE.partition("\n## ")[0]
    assert all(option in head for option in EVERYWHERE)


def test_every_exit_code_is_in_the_table() -> None:
    table = set(re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE))
    assert table == {str(int(code)) for code in Code}


def test_no_command_is_told_that_does_not_exist() -> None:
    headings = re.findall(r"^### (.*)$", PAGE, re.MULTILINE)
    assert {name for heading in headings for name in re.findall(r"`([^`]+)`", heading)} == set(COMMANDS)
