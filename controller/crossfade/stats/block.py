"""Block: a green that goes bad late, where users return.

Phi from groups of keys grows as users return, and evidence that began with the rollout counts by all of it. A process
that begins later needs only what has happened since. So, from the first call with a key on, time falls into blocks of
100 judged buckets, and in each a process against "green is no worse" begins anew, with phi of that block alone. When
its block is over it keeps what it has. Their weights are fixed beforehand, g(j) = 1 / (1 + log(1 + j)) being the share
of the blocks after the j-th, so the mixture of them all is an e-process as each is. It gets a tenth of the check's
e-value, the processes of `stats.worse` the rest: a tenth of what that is worth when the first key comes, and of no more
than 1. At 1 whatever it was before, it would add what no evidence had earned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crossfade.stats.columns import Floats, running
from crossfade.stats.mixture import WORSE_WEIGHTS, log_sum
from crossfade.stats.overdispersion import counted
from crossfade.stats.together import Scores, Together, start_together
from crossfade.stats.worse import tempered

BLOCK = 100
NOTHING = -700.0
"""The log of what the blocks that are over are worth before the first is: JSON, which carries it, has no infinity."""


def to_come(j: Floats) -> Floats:
    """g(j): the share of the blocks that come after j of them."""
    share: Floats = 1 / (1 + np.log1p(j))
    return share


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Of the shape S: `log_worth` the log of what the mixture began with, `buckets` since the first with a key,
    `log_ended` the log of weight x e-value of the blocks that are over. Of the block under way `log_mass`, S + (5,),
    as in `Worse`, `tempering` the sum of 1 / phi over its buckets, `together` its groups.
    """

    log_worth: Floats
    log_mass: Floats
    log_ended: Floats
    buckets: Floats
    tempering: Floats
    together: Together

    def after(
        self, scores: Scores, log_e: Floats, phi: Floats, soon: Floats, log_before: Floats
    ) -> tuple[Floats | None, Block]:
        """(what of the mixture counts after each bucket, (B,) + S, -inf before the first key; None without any key;
        the block after the last). Given log E before cap and phi, (B,) + S + (5,), phi and soon of what jumps, and the
        log of what the processes of `stats.worse` are worth before each bucket, (B,) + S.
        """
        first = self._first_key(scores)
        if first is None:
            return None, self
        begun = self.buckets > 0
        block = replace(self, log_worth=np.where(begun, self.log_worth, np.minimum(0.0, log_before[first])))
        path = [np.full((first, *self.buckets.shape), -np.inf)]
        while first < len(scores):
            room = BLOCK - int((block.buckets % BLOCK).max())
            part = slice(first, first + room)
            counts, block = block._along(scores.part(part), log_e[part], phi[part], soon[part])
            path.append(block.log_worth + counts)
            first += room
        return np.concatenate(path), block

    def with_groups(self) -> Block:
        """With room for all groups."""
        return replace(self, together=self.together.with_groups())

    def _first_key(self, scores: Scores) -> int | None:
        if self.buckets.any():
            return 0
        if scores.calls is None:
            return None
        keyed = scores.calls.reshape(len(scores), -1).any(axis=1)
        return int(np.argmax(keyed)) if keyed.any() else None

    def _along(self, scores: Scores, log_e: Floats, phi: Floats, soon: Floats) -> tuple[Floats, Block]:
        """The same within one block."""
        keyed, keyed_soon, together = self.together.after(scores)
        phi, soon = np.maximum(phi, keyed), np.maximum(soon, keyed_soon)
        masses = running(self.log_mass, tempered(log_e, phi, keyed))[1:]
        tempering = running(self.tempering, 1 / phi)[1:]
        buckets = running(self.buckets, np.ones_like(phi))[1:]
        j = np.ceil(buckets / BLOCK) - 1
        used = (buckets - BLOCK * j) / tempering
        own = np.log(to_come(j) - to_come(j + 1)) + counted(log_sum(masses), used, soon)
        over = np.logaddexp(self.log_ended, own)
        counts = np.logaddexp(over, np.log(to_come(j + 1)))
        full = buckets[-1] % BLOCK == 0
        fresh = start_block(full.shape)
        return counts, Block(
            log_worth=self.log_worth,
            log_mass=np.where(full[..., None], fresh.log_mass, masses[-1]),
            log_ended=np.where(full, over[-1], self.log_ended),
            buckets=buckets[-1],
            tempering=np.where(full, 0.0, tempering[-1]),
            together=together.anew(full),
        )


def start_block(runs: tuple[int, ...] = ()) -> Block:
    """Before the first bucket."""
    nothing = np.zeros(runs)
    return Block(
        log_worth=nothing,
        log_mass=np.tile(np.log(WORSE_WEIGHTS), (*runs, 1)),
        log_ended=np.full(runs, NOTHING),
        buckets=nothing,
        tempering=nothing,
        together=start_together(runs),
    )
