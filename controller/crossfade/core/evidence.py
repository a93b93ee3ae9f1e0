"""Evidence: sums that add up. What a judgement may use, and nothing else.

Every metric is a loss in [0, 1]: an error is 1, a score s counts as 1 - s. Per variant a time bucket holds
how many calls were judged, the sum of their losses and the sum of the squared losses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

ROUNDING = 1e-9
"""What rounding may add to a sum, per call: in proportion to n, so that possible sums add up to possible sums."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Sums of one variant's losses: `n` calls, `s` their sum, `q` the sum of their squares (0 <= q <= s <= n).

    ValueError, naming the sum and what it must be, for sums that no losses in [0, 1] have.
    """

    n: int = 0
    s: float = 0.0
    q: float = 0.0

    def __post_init__(self) -> None:
        n, s, q = self.n, self.s, self.q
        slack = ROUNDING * n
        if not (n == n // 1 and 0 <= s <= n + slack and 0 <= q <= s + slack):
            raise ValueError(f"impossible sums: {_impossible(n, s)}; got n={n}, s={s}, q={q}")

    def __add__(self, other: Summary) -> Summary:
        return Summary(self.n + other.n, self.s + other.s, self.q + other.q)

    @property
    def mean(self) -> float | None:
        """The mean loss, or None without calls."""
        return self.s / self.n if self.n else None

    @property
    def variance(self) -> float | None:
        """The population variance of one call's loss, or None without calls."""
        if not self.n:
            return None
        mean = self.s / self.n
        return max(0.0, self.q / self.n - mean * mean)


def _impossible(n: float, s: float) -> str:
    """Which sum cannot be, and why. Asked the right way round: NaN is neither above nor below anything."""
    if not (n >= 0 and n == n // 1):
        return "n must be a whole number of calls, at least 0"
    if not 0 <= s <= n + ROUNDING * n:
        return "s, the sum of losses in [0, 1], must be in [0, n]"
    return "q, the sum of squared losses in [0, 1], must be in [0, s]"


@dataclass(frozen=True, slots=True)
class Pairs:
    """Sums of `n` pairs, each a call of blue and the copy of it that green answered. With d in [-1, 1] the copy's loss
    less the call's, `up` sums d where it is above 0, `down` -d where it is below, `q` all d^2. Of losses of 0 and 1
    `up` pairs were bad on green alone and `down` on blue alone.

    ValueError for sums that no such differences have.
    """

    n: int = 0
    up: float = 0.0
    down: float = 0.0
    q: float = 0.0

    def __post_init__(self) -> None:
        most = self.n + ROUNDING * self.n
        moved = self.up + self.down
        if not (self.n == self.n // 1 and self.up >= 0 and self.down >= 0 and moved <= most and 0 <= self.q <= most):
            raise ValueError(
                "impossible sums of pairs: up and down must be at least 0 and together in [0, n], and q in [0, n];"
                f" got n={self.n}, up={self.up}, down={self.down}, q={self.q}"
            )

    def __add__(self, other: Pairs) -> Pairs:
        return Pairs(self.n + other.n, self.up + other.up, self.down + other.down, self.q + other.q)


EMPTY = Summary()
Groups: TypeAlias = Mapping[int, Summary]


@dataclass(frozen=True, slots=True)
class Bucket:
    """One sealed time bucket of one metric at one step: the same minutes of both variants.

    `start` is in seconds since 1970. `step` is the step the calls were *assigned* under. Of the sums of a variant,
    `blue_groups` and `green_groups` are those of calls with a stickiness key, by the group of the key (0..127).
    At a shadow step green's calls are copies of blue's, and `pairs` sums how the two differ; None elsewhere.
    """

    start: int
    step: int
    blue: Summary = EMPTY
    green: Summary = EMPTY
    blue_groups: Groups = field(default_factory=dict, hash=False)
    green_groups: Groups = field(default_factory=dict, hash=False)
    pairs: Pairs | None = None

    def __add__(self, other: Bucket) -> Bucket:
        return Bucket(
            min(self.start, other.start),
            self.step,
            self.blue + other.blue,
            self.green + other.green,
            _added(self.blue_groups, other.blue_groups),
            _added(self.green_groups, other.green_groups),
            self.pairs if other.pairs is None else other.pairs if self.pairs is None else self.pairs + other.pairs,
        )


def _added(groups: Groups, more: Groups) -> Groups:
    return {group: groups.get(group, EMPTY) + more.get(group, EMPTY) for group in sorted({*groups, *more})}


@dataclass(frozen=True, slots=True)
class Series:
    """All sealed buckets of one check's metric, in time order, and blue's mean before the rollout."""

    metric: str
    buckets: tuple[Bucket, ...] = ()
    history: Summary = EMPTY
    """Blue's losses before the rollout: starts the base rate, and is never evidence."""


@dataclass(frozen=True, slots=True)
class Shares:
    """How the calls of one sealed time bucket and step that were split by chance fell to the variants, judged or not.

    `start` is in seconds since 1970, `weight` green's share (0..1) at the step they were assigned under.
    """

    start: int
    weight: float
    green: int
    blue: int


@dataclass(frozen=True, slots=True)
class ByChance:
    """All buckets of calls that were split by chance, in time order; each sealed `maturity` seconds after its end."""

    maturity: float
    buckets: tuple[Shares, ...] = ()
