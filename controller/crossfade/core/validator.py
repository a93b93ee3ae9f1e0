"""Validator: what a whole answer of a route must look like, else it is malformed and charged to the arm."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from crossfade.core.reading import Reader
from crossfade.core.stop import Stop

JUDGED = frozenset({Stop.END_TURN, Stop.STOP_SEQUENCE})
"""Answers that ended by themselves: one cut short, stopped for safety or asking for a tool is not the whole of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validator:
    """Conditions on an answer's text, all of which must hold; white space around it does not count.

    `json`: it is a JSON document. `members`: it is a JSON object with these. `one_of`: it is one of these texts.
    """

    json: bool = False
    members: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    characters_least: int = 0
    characters_most: int = 0
    """0: any number."""

    def accepts(self, text: str) -> bool:
        text = text.strip()
        if len(text) < self.characters_least or (self.characters_most and len(text) > self.characters_most):
            return False
        if self.one_of and text not in self.one_of:
            return False
        if not self.json and not self.members:
            return True
        try:
            found: Any = json.loads(text)
        except (ValueError, RecursionError):
            return False
        return not self.members or (isinstance(found, dict) and all(name in found for name in self.members))


def read_validator(reader: Reader) -> Validator:
    """Reads a route's `validator`; problems go to the reader."""
    validator = Validator(
        json=reader.flag("json", False),
        members=tuple(reader.texts("members")),
        one_of=tuple(reader.texts("one_of", most=1000)),
        characters_least=reader.integer("characters_least", 0, least=0, most=10_000_000),
        characters_most=reader.integer("characters_most", 0, least=0, most=10_000_000),
    )
    reader.close()
    if validator == Validator() and not reader.faulty():
        reader.problem("", "has no condition; leave it out, or say json, members, one_of or characters_...")
    elif 0 < validator.characters_most < validator.characters_least:
        reader.problem("characters_most", f"is below characters_least, which is {validator.characters_least}")
    return validator


def validator_to_dict(validator: Validator) -> dict[str, Any]:
    """The Validator as `read_validator` takes it back."""
    whole = {
        "json": validator.json,
        "members": list(validator.members),
        "one_of": list(validator.one_of),
        "characters_least": validator.characters_least,
        "characters_most": validator.characters_most,
    }
    return {name: value for name, value in whole.items() if value}
