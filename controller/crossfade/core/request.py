"""Request: what the rules may look at. Features of the request itself, never its text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as the rules see it. `characters` counts the text of all messages and the system prompt."""

    characters: int = 0
    turns: int = 1
    tools: int = 0
    images: int = 0
    documents: int = 0
    code: bool = False
    streaming: bool = False
    key: str | None = None
    tier: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        """Estimated input tokens: four characters each, rounded up."""
        return -(-self.characters // CHARACTERS_PER_TOKEN)

    @property
    def complexity(self) -> float:
        """One score in [0, 1]: 1 - exp(-load).

        load = tokens / 1000 + 0.1 a further turn + 0.1 a tool + 0.5 an image or a document + 0.3 for code.
        A hundred characters score 0.02, a thousand tokens 0.63.
        """
        load = (
            self.tokens / 1000
            + 0.1 * max(0, self.turns - 1)
            + 0.1 * self.tools
            + 0.5 * (self.images + self.documents)
            + 0.3 * self.code
        )
        return 1 - math.exp(-load)
