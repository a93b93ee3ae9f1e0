"""Ahead: what decides, after each of many buckets at once. For those who go through a long record bucket by bucket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from crossfade.core.evidence import Bucket, Summary
from crossfade.stats.carried import Carried
from crossfade.stats.columns import merge
from crossfade.stats.figures import Figures, figures


def figures_ahead(carried: Carried, buckets: Sequence[Bucket]) -> list[Figures]:
    """The figures before the buckets and after each of them, one more than there are.

    Only what a ruling rests on goes forward: log_e_worse, peak, rises, log_e_gate, step_buckets, step_blue, step_green.
    The rest stays as it was before.
    """
    (now,) = figures(carried.state)
    rows = [(now.log_e_worse, now.peak, now.rises, now.log_e_gate, now.step_buckets)]
    _, _, parts = carried.worked(buckets)
    for part in parts:
        worse, gate = part.worse, part.gate
        counts = (worse.rises.astype(np.int64), gate.buckets.astype(np.int64))
        columns = (worse.log_e, worse.peak, counts[0], gate.log_e, counts[1])
        rows += zip(*(column.tolist() for column in columns), strict=True)
    found, judged, pending = [now], 0, carried.pending
    blue, green, step = now.step_blue, now.step_green, int(carried.state.step)
    for bucket in buckets:
        full, pending = merge(pending, [bucket])
        judged += len(full)
        blue, green = (_with(blue, bucket.blue), _with(green, bucket.green)) if bucket.step == step else (blue, green)
        log_e, peak, rises, at_gate, step_buckets = rows[judged]
        found.append(
            replace(
                now,
                log_e_worse=log_e,
                peak=peak,
                rises=rises,
                log_e_gate=at_gate,
                step_buckets=step_buckets,
                step_blue=blue,
                step_green=green,
            )
        )
    return found


def _with(sums: Summary, more: Summary) -> Summary:
    return sums + more if more.n else sums
