"""What the sandbox was asked and what it did: the newest calls in a ring, totals over all. Never a prompt."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from itertools import islice

CAPACITY = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One call. `at` is its start in seconds since 1970, `seconds` until the last byte was handed to the socket.

    `outcome` is `answered`, the error's name, the kind of what was broken, or `left` if the client went first;
    `fault` is the kind of the fault that met it (`tokens` or `requests` for a quota's bucket: `bucket`).
    """

    seq: int
    at: float
    region: str
    signed_region: str | None
    operation: str
    model: str
    status: int | None
    fault: str | None
    outcome: str
    request_id: str
    seconds: float
    input_tokens: int
    output_tokens: int
    test: str | None


class Ledger:
    """The log. Entries are numbered from 1, in the order in which calls ended; numbers are never used again."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._entries: deque[Entry] = deque(maxlen=capacity)
        self._totals: Counter[tuple[str, str, str, str]] = Counter()
        self._seq = 0
        self.in_flight = 0

    def next_seq(self) -> int:
        """The number of the next entry."""
        self._seq += 1
        return self._seq

    def add(self, entry: Entry) -> None:
        """Enter a call that ended."""
        self._entries.append(entry)
        self._totals[entry.region, entry.model, entry.operation, entry.outcome] += 1

    def read(self, *, since: int, limit: int) -> list[Entry]:
        """At most `limit` entries numbered above `since`, oldest first."""
        if not self._entries:
            return []
        start = max(0, since + 1 - self._entries[0].seq)
        return list(islice(self._entries, start, start + limit))

    def totals(self) -> list[dict[str, object]]:
        """Calls by region, model, operation and outcome since the start or the last clear, however old."""
        return [
            {"region": region, "model": model, "operation": operation, "outcome": outcome, "calls": calls}
            for (region, model, operation, outcome), calls in sorted(self._totals.items())
        ]

    def clear(self) -> None:
        """Forget entries and totals; the numbering goes on."""
        self._entries.clear()
        self._totals.clear()
