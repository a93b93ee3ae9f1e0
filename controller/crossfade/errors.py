"""What Crossfade raises. One base class, so that a caller can catch everything of ours at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class CrossfadeError(Exception):
    """Base of every exception Crossfade raises by itself."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input.

    `path` names the field as the user wrote it (`plan.steps[2].weight`), `message` says what is wrong
    and what is allowed.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class Invalid(CrossfadeError):  # noqa: N818  (a noun reads better at the raise: `raise Invalid(problems)`)
    """An input with at least one problem; carries all of them, never only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


class Conflict(CrossfadeError):  # noqa: N818
    """The input is well formed, but what is there now does not allow it."""


class NotFound(CrossfadeError):  # noqa: N818
    """The thing named does not exist."""


class Forbidden(CrossfadeError):  # noqa: N818
    """The caller is known and may not do this."""


class Unavailable(CrossfadeError):  # noqa: N818
    """Something Crossfade needs (Postgres, the controller, Bedrock) cannot be reached now."""


class SetupError(CrossfadeError):
    """The machine or the settings do not allow a start. The message is one line: what, where, what to do."""
