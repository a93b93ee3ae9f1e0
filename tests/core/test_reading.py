from __future__ import annotations

import pytest

from crossfade.core.reading import Reader
from crossfade.errors import Invalid


def problems_of(reader: Reader) -> list[str]:
    return [str(problem) for problem in reader.problems]


def test_every_problem_is_gathered_with_its_path() -> None:
    reader = Reader({"a": "x", "list": [{"n": 1}, {"n": -1}, {"n": "two"}], "odd": 1})
    reader.number("a")
    for item in reader.sections("list"):
        item.number("n", above=0)
    reader.close()
    assert problems_of(reader) == [
        "a: must be a number, not the text 'x'",
        "list[1].n: is -1; must be above 0",
        "list[2].n: must be a number above 0, not the text 'two'",
        "odd: is not a known field; allowed: a, list",
    ]


def test_a_misspelt_field_is_answered_with_the_nearest() -> None:
    reader = Reader({"wieght": 1})
    reader.number("weight", 5.0)
    with pytest.raises(Invalid, match=r"wieght: is not a known field \(did you mean 'weight'\?\)"):
        reader.finish()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "1", [1], {}])
def test_what_is_no_finite_number_is_refused(value: object) -> None:
    reader = Reader({"n": value})
    assert reader.number("n") == 0.0
    assert len(reader.problems) == 1


@pytest.mark.parametrize("value", [1.5, True, "1", -1, 11])
def test_an_integer_is_whole_and_within_its_bounds(value: object) -> None:
    reader = Reader({"n": value})
    reader.integer("n", least=0, most=10)
    assert len(reader.problems) == 1


def test_what_is_no_object_is_one_problem_and_reads_as_empty() -> None:
    reader = Reader([1, 2], "plan")
    assert reader.text("name", "stand-in") == "stand-in"
    assert problems_of(reader) == ["plan: must be an object with named fields, not a list"]


def test_a_missing_required_field_says_so() -> None:
    reader = Reader({"here": None})
    reader.text("name")
    reader.text("here")
    assert problems_of(reader) == ["name: is missing", "here: is missing"]


def test_a_list_is_bounded_in_length() -> None:
    reader = Reader({"few": [], "many": ["x"] * 5, "odd": "text", "mixed": ["a", 1]})
    reader.texts("few", least=1)
    assert len(reader.texts("many", most=3)) == 3
    reader.texts("odd")
    assert reader.texts("mixed") == ["a"]
    assert problems_of(reader) == [
        "few: has 0 entries; must have at least 1 and at most 100",
        "many: has 5 entries; must have at least 0 and at most 3",
        "odd: must be a list, not the text 'text'",
        "mixed[1]: must be text, not 1",
    ]


def test_choices_flags_and_texts_are_checked() -> None:
    reader = Reader({"act": "rollback", "on": "yes", "name": "a b", "long": "x" * 11, "empty": ""})
    assert reader.choice("act", ["roll_back", "pause"]) == "roll_back"
    assert reader.flag("on", True) is True
    reader.text("name", pattern=r"\S+", like="no spaces")
    reader.text("long", most=10)
    reader.text("empty")
    assert problems_of(reader) == [
        "act: 'rollback' is not known (did you mean 'roll_back'?); allowed: roll_back, pause",
        "on: must be true or false, not the text 'yes'",
        "name: 'a b' is not allowed; no spaces",
        "long: is 11 characters long; at most 10",
        "empty: must not be empty",
    ]


def test_numbers_beyond_any_measure_are_problems_and_no_traceback() -> None:
    reader = Reader({"number": 10**400, "whole": 10**400, "text": 10**400})
    reader.number("number", above=0)
    reader.integer("whole", least=0)
    reader.text("text")
    assert problems_of(reader) == [
        "number: is too large; must be above 0",
        "whole: is a very large number; must be at least 0",
        "text: must be text, not a very large number",
    ]
