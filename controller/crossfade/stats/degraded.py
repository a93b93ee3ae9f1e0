"""Degraded: is blue itself worse than it has been?

Blue's last minutes (decayed sums, half-life 12 buckets) against its longer past (the base rate's sums), by the tests
that roll back: the conditional e-value for binary losses, balanced bets at 0 for others, as one bucket. When both
Models suffer together the comparison stays fair, and a gate may well be passed on it; but nobody promotes in the middle
of an incident. A level that stays becomes the past after a while: this only ever holds, and not for ever. So it is
approximate on purpose: the two sums overlap, and it is asked at every look.
"""

from __future__ import annotations

import numpy as np

from crossfade.stats.columns import Columns, Floats, decayed
from crossfade.stats.mixture import WORSE_WEIGHTS, log_sum
from crossfade.stats.worse import log_e_worse

RECENT_HALF_LIFE = 12
RECENT_DECAY: float = 0.5 ** (1 / RECENT_HALF_LIFE)


def recent_after(recent: Floats, columns: Columns) -> Floats:
    """Decayed sums of blue's calls, losses and squared losses after more buckets: S + (3,)."""
    sums = decayed(recent, np.stack((columns.n_b, columns.s_b, columns.q_b), axis=-1), RECENT_DECAY)
    last: Floats = sums[-1]
    return last


def log_e_degraded(recent: Floats, past: Floats, margin: float, binary: bool) -> Floats:
    """log E that blue is worse of late than before, shape S; 0 where the difference is below the margin.

    `recent` and `past`: S + (3,), sums of n, s and q.
    """
    n, s = recent[..., 0], recent[..., 1]
    before = past[..., 1] / np.maximum(past[..., 0], 1e-9)
    asked = (n >= 1) & (past[..., 0] >= 1) & (s / np.maximum(n, 1e-9) > before + margin)
    log_e: Floats = np.zeros(asked.shape)
    if asked.any():
        log_e[asked] = _log_e(recent[asked], past[asked], margin, binary)
    return log_e


def _log_e(recent: Floats, past: Floats, margin: float, binary: bool) -> Floats:
    """The same where it is asked, (R,): the last minutes take green's place, the past blue's."""
    (n_g, s_g, q_g), (n_b, s_b, q_b) = (np.rint(sums.T) if binary else sums.T for sums in (recent, past))
    columns = Columns(
        step=np.zeros((1, len(recent)), dtype=np.int64),
        n_g=n_g[None],
        s_g=np.minimum(s_g, n_g)[None],
        q_g=np.minimum(s_g if binary else q_g, n_g)[None],
        n_b=n_b[None],
        s_b=np.minimum(s_b, n_b)[None],
        q_b=np.minimum(s_b if binary else q_b, n_b)[None],
    )
    a = np.clip(columns.s_b / columns.n_b, 1e-6, 0.97)
    variance = np.maximum(1e-6, columns.q_b / columns.n_b - a * a)
    return log_sum(log_e_worse(columns, a, variance, margin, binary)[0] + np.log(WORSE_WEIGHTS))
