"""Reading a mapping (JSON, TOML) strictly: every problem is gathered with its path, none stops the reading.

A field that is wrong yields a harmless stand-in, so that the fields after it are still read; whoever began
the reading ends it with `finish`, which raises `Invalid` with all problems.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from crossfade.errors import Invalid, Problem

_REQUIRED: Any = object()
MOST_INTEGER = 2**63
_WHOLE = re.compile(r"[+-]?\d{1,100}")


def number_in(text: str) -> float | int | str:
    """The number that a text stands for; a text that is none as it is, for a `Reader` to refuse."""
    try:
        return int(text) if _WHOLE.fullmatch(text.strip()) else float(text)
    except ValueError:
        return text


def rate_in(text: str) -> float:
    """The fraction that 0.01 or 1% stands for. Raises `ValueError` for what is neither."""
    text = text.strip()
    value = float(text.removesuffix("%"))
    if not math.isfinite(value):
        raise ValueError
    return value / 100 if text.endswith("%") else value


class Reader:
    """One mapping being read. Fields not asked for by the time of `close` are reported as unknown."""

    def __init__(self, data: object, path: str = "", problems: list[Problem] | None = None) -> None:
        self.path = path
        self.problems: list[Problem] = [] if problems is None else problems
        self._data: Mapping[str, Any] = {}
        self._asked: list[str] = []
        if isinstance(data, Mapping):
            self._data = data
        else:
            self.problems.append(Problem(path, f"must be an object with named fields, not {_kind(data)}"))

    def problem(self, key: str, message: str) -> None:
        self.problems.append(Problem(self._at(key), message))

    def faulty(self, key: str = "") -> bool:
        """Whether anything was wrong so far in what stands under `key`, or here: more that is wrong may come of it."""
        path = self._at(key)
        return any(found.path == path or found.path.startswith((f"{path}.", f"{path}[")) for found in self.problems)

    def has(self, key: str) -> bool:
        return self._data.get(key) is not None

    def raw(self, key: str) -> Any:
        """The value as it stands, or None; for a field whose shape depends on something else."""
        self._asked.append(key)
        return self._data.get(key)

    def text(self, key: str, default: str = _REQUIRED, *, pattern: str = "", like: str = "", most: int = 2048) -> str:
        value = self._get(key, default, "")
        if not isinstance(value, str):
            self.problem(key, f"must be text, not {_kind(value)}")
            return ""
        if value == "" and default is _REQUIRED and self.has(key):
            self.problem(key, "must not be empty")
        elif len(value) > most:
            self.problem(key, f"is {len(value)} characters long; at most {most}")
        elif pattern and value and not re.fullmatch(pattern, value):
            self.problem(key, f"{value!r} is not allowed; {like or pattern}")
        return value

    def number(
        self,
        key: str,
        default: float = _REQUIRED,
        *,
        above: float = -math.inf,
        below: float = math.inf,
        least: float = -math.inf,
        most: float = math.inf,
        unit: str = "",
    ) -> float:
        value = self._get(key, default, 0.0)
        if value is default or key not in self._data:
            return float(value)
        if isinstance(value, int) and abs(value) > MOST_INTEGER:  # float() of it would raise
            self.problem(key, f"is too large; must be{_range(above, below, least, most, unit) or ' smaller'}")
        elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            self.problem(
                key, f"must be a number{_bracketed(_range(above, below, least, most, unit))}, not {_kind(value)}"
            )
        elif not (above < value < below and least <= value <= most):
            self.problem(key, f"is {value:g}; must be{_range(above, below, least, most, unit)}")
        else:
            return float(value)
        return 0.0 if default is _REQUIRED else float(default)

    def integer(self, key: str, default: int = _REQUIRED, *, least: int, most: int = 2**63 - 1, unit: str = "") -> int:
        value = self._get(key, default, least)
        if isinstance(value, bool) or not isinstance(value, int):
            wanted = _bracketed(_range(least=least, most=most, unit=unit))
            self.problem(key, f"must be a whole number{wanted}, not {_kind(value)}")
        elif not least <= value <= most:
            self.problem(key, f"is {_kind(value)}; must be{_range(least=least, most=most, unit=unit)}")
        else:
            return value
        return least if default is _REQUIRED else default

    def flag(self, key: str, default: bool) -> bool:
        value = self._get(key, default, default)
        if not isinstance(value, bool):
            self.problem(key, f"must be true or false, not {_kind(value)}")
            return default
        return value

    def choice(self, key: str, allowed: Iterable[str], default: str = _REQUIRED) -> str:
        names = list(allowed)
        value = self._get(key, default, names[0])
        if value not in names:
            self.problem(key, f"{value!r} is not known{_nearest(value, names)}; allowed: {', '.join(names)}")
            return names[0]
        return str(value)

    def section(self, key: str) -> Reader:
        """The object under `key`; an absent one reads as empty."""
        self._asked.append(key)
        value = self._data.get(key)
        return Reader({} if value is None else value, self._at(key), self.problems)

    def sections(self, key: str, *, least: int = 0, most: int = 100) -> list[Reader]:
        """The objects in the list under `key`; an absent one reads as an empty list."""
        return [
            Reader(item, f"{self._at(key)}[{position}]", self.problems)
            for position, item in enumerate(self._list(key, least, most))
        ]

    def texts(self, key: str, *, least: int = 0, most: int = 100) -> list[str]:
        found = []
        for position, item in enumerate(self._list(key, least, most)):
            if isinstance(item, str) and item:
                found.append(item)
            else:
                self.problem(f"{key}[{position}]", f"must be text, not {_kind(item)}")
        return found

    def choices(self, key: str, allowed: Iterable[str]) -> tuple[str, ...]:
        """The list under `key`, each of it one of `allowed`; in the order of `allowed`, each once."""
        names = list(allowed)
        given = self.texts(key)
        for position, name in enumerate(given):
            if name not in names:
                self.problem(
                    f"{key}[{position}]", f"{name!r} is not known{_nearest(name, names)}; allowed: {', '.join(names)}"
                )
        return tuple(name for name in names if name in given)

    def numbers(self, key: str, **bounds: Any) -> dict[str, float]:
        """The object of numbers under `key`, such as shares."""
        reader = self.section(key)
        return {name: reader.number(name, **bounds) for name in sorted(reader._data)}

    def table(self, key: str) -> dict[str, str]:
        """The object of texts under `key`, such as labels."""
        reader = self.section(key)
        return {name: reader.text(name) for name in reader._data}

    def close(self, meant: Mapping[str, str] | None = None) -> None:
        """Reports the fields nobody asked for. `meant` says of some what they are called here."""
        for key in self._data:
            if key not in self._asked:
                allowed = sorted(set(self._asked))
                near = _nearest(key, allowed) if meant is None or key not in meant else _or(meant[key])
                self.problem(str(key), f"is not a known field{near}; allowed: {', '.join(allowed)}")

    def finish(self) -> None:
        """Closes this reader and raises `Invalid` if anything was wrong anywhere below it."""
        self.close()
        self.check()

    def check(self) -> None:
        """Raises `Invalid` if anything was wrong so far."""
        if self.problems:
            raise Invalid(self.problems)

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path and key else self.path or key

    def _get(self, key: str, default: Any, stand_in: Any) -> Any:
        self._asked.append(key)
        value = self._data.get(key)
        if value is not None:
            return value
        if default is not _REQUIRED:
            return default
        self.problem(key, "is missing")
        return stand_in

    def _list(self, key: str, least: int, most: int) -> list[Any]:
        self._asked.append(key)
        value = self._data.get(key)
        items = [] if value is None else value
        if not isinstance(items, list | tuple):
            self.problem(key, f"must be a list, not {_kind(items)}")
            return []
        if not least <= len(items) <= most:
            self.problem(key, f"has {len(items)} entries; must have{_range(least=least, most=most)}")
        return list(items[:most])


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    if isinstance(value, int) and abs(value) > MOST_INTEGER:
        return "a very large number"
    if isinstance(value, int | float):
        return f"{value}"
    return "an object" if isinstance(value, Mapping) else f"a {type(value).__name__}"


def _range(
    above: float = -math.inf,
    below: float = math.inf,
    least: float = -math.inf,
    most: float = math.inf,
    unit: str = "",
) -> str:
    parts = []
    if above > -math.inf:
        parts.append(f"above {above:g}")
    if least > -math.inf:
        parts.append(f"at least {least:g}")
    if below < math.inf:
        parts.append(f"below {below:g}")
    if most < math.inf and most < 2**62:
        parts.append(f"at most {most:g}")
    return (" " + " and ".join(parts) if parts else "") + (f" {unit}" if unit and parts else "")


def _bracketed(text: str) -> str:
    return f" ({text.strip()})" if text else ""


def _nearest(value: object, names: list[str]) -> str:
    near = difflib.get_close_matches(str(value), names, n=1)
    return _or(near[0]) if near else ""


def _or(name: str) -> str:
    return f" (did you mean {str(name)!r}?)"  # an enum's own repr is Python
