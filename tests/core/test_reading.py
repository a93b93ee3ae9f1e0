from __future__ import annotations

import pytest

from crossfade.core.plan import Breach
from crossfade.core.reading import Reader, number_in
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
        "list[2].n: must be a number (above 0), not the text 'two'",
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


def test_a_word_of_an_enum_is_named_as_it_is_written() -> None:
    reader = Reader({"on_breach": "rollback", "all": ["rollback"]})
    reader.choice("on_breach", Breach)
    reader.choices("all", Breach)
    said = "'rollback' is not known (did you mean 'roll_back'?); allowed: roll_back, pause, tell"
    assert problems_of(reader) == [f"on_breach: {said}", f"all[0]: {said}"]


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


def test_a_bound_itself_is_within_unless_it_is_above_or_below() -> None:
    reader = Reader({"text": "x" * 10, "n": 5, "many": ["x"] * 3})
    assert reader.text("text", most=10) == "x" * 10
    assert reader.number("n", least=5, most=5) == 5.0
    assert reader.integer("n", least=5, most=5) == 5
    assert reader.texts("many", least=3, most=3) == ["x"] * 3
    assert problems_of(reader) == []
    reader.number("n", above=5)
    reader.number("n", below=5, unit="seconds")
    assert problems_of(reader) == ["n: is 5; must be above 5", "n: is 5; must be below 5 seconds"]


def test_a_text_has_at_most_2048_characters_and_a_list_100_entries_unless_said_otherwise() -> None:
    reader = Reader({"text": "x" * 2048, "long": "x" * 2049, "many": [{}] * 100, "more": [{}] * 101})
    reader.text("text")
    reader.text("long")
    assert len(reader.sections("many")) == 100
    reader.sections("more")
    assert problems_of(reader) == [
        "long: is 2049 characters long; at most 2048",
        "more: has 101 entries; must have at least 0 and at most 100",
    ]


def test_a_pattern_is_named_where_nothing_says_it_better() -> None:
    reader = Reader({"name": "a b"})
    reader.text("name", pattern=r"\S+")
    assert problems_of(reader) == [r"name: 'a b' is not allowed; \S+"]


def test_a_wrong_value_says_its_bounds_their_unit_and_what_it_is_instead() -> None:
    reader = Reader(
        {
            "n": None,
            "flag": True,
            "text": "x" * 50,
            "map": {},
            "whole": 1.5,
            "huge": 2**63 + 1,
            "far": 12,
            "null": [None],
        }
    )
    reader.number("flag", least=1, most=3, unit="seconds")
    reader.number("text", above=0)
    reader.number("map")
    reader.integer("whole", least=1, most=3, unit="steps")
    reader.integer("far", least=1, most=3, unit="steps")
    reader.number("huge", most=9, unit="seconds")
    reader.number("huge")
    reader.texts("null")
    assert problems_of(reader) == [
        "flag: must be a number (at least 1 and at most 3 seconds), not true",
        f"text: must be a number (above 0), not the text {'x' * 40!r}",
        "map: must be a number, not an object",
        "whole: must be a whole number (at least 1 and at most 3 steps), not 1.5",
        "far: is 12; must be at least 1 and at most 3 steps",
        "huge: is too large; must be at most 9 seconds",
        "huge: is too large; must be smaller",
        "null[0]: must be text, not nothing",
    ]


def test_the_largest_number_that_is_a_number_is_named() -> None:
    reader = Reader({"n": 2**63})
    assert reader.number("n") == 2.0**63
    reader.text("n")
    assert problems_of(reader) == ["n: must be text, not 9223372036854775808"]


def test_a_bound_beyond_what_an_integer_may_be_is_not_said() -> None:
    reader = Reader({"n": -1})
    reader.integer("n", least=0, most=2**62)
    reader.number("n", least=0, most=2.0**61)
    assert problems_of(reader) == [
        "n: is -1; must be at least 0",
        "n: is -1; must be at least 0 and at most 2.30584e+18",
    ]


def test_what_is_wrong_reads_as_the_default_or_else_as_the_least() -> None:
    reader = Reader({"n": "x", "act": "jump"})
    assert reader.text("none", "given") == "given"
    assert (reader.number("n"), reader.number("n", 7.0), reader.number("none")) == (0.0, 7.0, 0.0)
    assert (reader.integer("n", least=3), reader.integer("n", 7, least=3), reader.integer("none", least=3)) == (3, 7, 3)
    assert (reader.choice("act", ["a", "b"]), reader.choice("none", ["a", "b"])) == ("a", "a")
    assert (reader.text("none"), Reader({"n": 1}).text("n")) == ("", "")
    assert reader.flag("n", False) is False


def test_only_the_nearest_of_several_near_names_is_proposed() -> None:
    reader = Reader({"weigth": 1})
    reader.number("weight", 1.0)
    reader.number("weights", 1.0)
    reader.close()
    assert problems_of(reader) == ["weigth: is not a known field (did you mean 'weight'?); allowed: weight, weights"]


def test_what_is_missing_is_one_problem_whatever_it_should_have_been() -> None:
    reader = Reader({})
    reader.integer("n", least=1)
    reader.choice("act", ["a", "b"])
    reader.number("x", above=1)
    assert problems_of(reader) == ["n: is missing", "act: is missing", "x: is missing"]


@pytest.mark.parametrize(
    ("text", "number"),
    [("5", 5), (" -7 ", -7), ("0.5", 0.5), ("1e3", 1000.0), (str(2**63 - 1), 2**63 - 1), ("many", "many"), ("", "")],
)
def test_a_text_is_read_as_the_number_it_stands_for(text: str, number: object) -> None:
    found = number_in(text)
    assert (found, type(found)) == (number, type(number))


def test_a_text_of_very_many_digits_is_no_number_that_anything_takes() -> None:
    reader = Reader({"n": number_in("9" * 5000)})
    reader.integer("n", least=1)
    assert problems_of(reader) == ["n: must be a whole number (at least 1), not inf"]
