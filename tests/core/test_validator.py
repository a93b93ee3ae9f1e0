"""What a route may demand of its answers, and how it is declared."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossfade.core.reading import Reader
from crossfade.core.route import Route, read_route, route_to_dict
from crossfade.core.validator import Validator, read_validator, validator_to_dict


@pytest.mark.parametrize(
    ("asked", "good", "bad"),
    [
        ({"json": True}, ['{"a": 1}', " [1] \n", "3"], ["", "no", "```json\n{}\n```", '{"a": ', "[" * 100_000]),
        ({"members": ("a", "b")}, ['{"a": 1, "b": null, "c": 2}'], ['{"a": 1}', '["a", "b"]', '"ab"', "a b"]),
        ({"one_of": ("yes", "no")}, ["yes", " no\n"], ["", "Yes", "yes no"]),
        ({"characters_least": 2, "characters_most": 3}, ["ab", " abc "], ["a", "  a  ", "abcd"]),
        ({"characters_least": 1}, ["a" * 10_000], ["", "  "]),
    ],
)
def test_an_answer_is_held_to_every_condition(asked: dict[str, Any], good: list[str], bad: list[str]) -> None:
    validator = Validator(**asked)
    assert [text for text in good if not validator.accepts(text)] == []
    assert [text for text in bad if validator.accepts(text)] == []


@given(st.text())
def test_no_text_makes_it_raise(text: str) -> None:
    for validator in (Validator(members=("a",)), Validator(one_of=("x",), characters_most=9), Validator(json=True)):
        assert validator.accepts(text) in (True, False)


@pytest.mark.parametrize(
    ("declared", "problem"),
    [
        ({}, "validator: has no condition; leave it out, or say json, members, one_of or characters_..."),
        ({"json": 1}, "validator.json: must be true or false, not 1"),
        (
            {"characters_least": 5, "characters_most": 4},
            "validator.characters_most: is below characters_least, which is 5",
        ),
        ({"schema": {}}, "validator.schema: is not a known field; allowed: "
                         "characters_least, characters_most, json, members, one_of"),
    ],
)  # fmt: skip
def test_a_validator_says_what_each_field_may_hold(declared: dict[str, Any], problem: str) -> None:
    reader = Reader(declared, "validator")
    read_validator(reader)
    assert [str(each) for each in reader.problems] == [problem]


def test_a_route_reads_back_with_its_validator() -> None:
    validator = Validator(json=True, members=("label",), characters_most=200)
    assert read_validator(Reader(validator_to_dict(validator))) == validator
    route = Route(name="r", blue="m", validator=validator)
    reader = Reader(route_to_dict(route))
    assert (read_route(reader), reader.problems) == (route, [])
