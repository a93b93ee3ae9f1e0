"""Pace: after how many calls a gate's evidence suffices, if green is as good as blue or better.

log E of a gate is a random walk from bucket to bucket. Its steps come from the very function that judges a bucket, by
some hundred buckets as they may come; many walks are then put together from them (a bootstrap: Efron 1979) until each
passes log(1 / beta). So bets and their bounds, small buckets and the mixture count as they do in a rollout, also where
bad answers are so rare that no formula for a walk with small steps fits: the first passage of a Brownian motion (Wald
1947: inverse Gaussian) was up to 31 % off.
"""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray

from crossfade.core.evidence import Summary
from crossfade.simulation.alike import Alike, loss_size
from crossfade.simulation.traffic import Rates
from crossfade.stats.balanced import small_bucket
from crossfade.stats.base_rate import start_base_rate
from crossfade.stats.columns import LEAST_CALLS, Columns, Floats
from crossfade.stats.gate import log_e_gate
from crossfade.stats.mixture import GATE_WEIGHTS, log_sum

PHI_NOISE = 1.04
"""What the overdispersion costs where there is none: its estimate never falls below 1 and wavers by 0 to 6 % above it,
as measured with the judge over independent calls at base rates of 0.1 to 10 %."""
SAMPLE, SEED = 400, 3
STRIDES = 40
"""A walk is put together from strides of as many buckets that this many are about what it takes."""
MOST_STRIDES = 8 * STRIDES
CHUNK = 20


def calls_to_pass(
    history: Summary,
    *,
    d: float,
    weight: float,
    calls: float,
    level: float,
    phi: float,
    green: float,
    rng: np.random.Generator,
    runs: int,
) -> Floats:
    """Judged calls of both variants that each of `runs` rollouts needs to pass a gate, (runs,); infinite if none can.

    The gate asks for a difference below `d`; `weight` is green's share as a fraction in (0, 1), `calls` the judged
    calls of a bucket, `level` = log(1 / beta). `history` is blue's losses; green's are `green` times that on average.
    """
    base = start_base_rate(history)
    known = float(base.mean), float(base.variance), phi * PHI_NOISE
    size = loss_size(history)
    means = known[0], green * known[0]
    bucket = merged(calls, weight)
    drift = _log_e(_expected(bucket, weight, means, size), known, d, size)[0]
    if drift.max() <= 0:
        return np.full(runs, np.inf)
    buckets = max(1, round(float((level + 0.5) / drift.max()) / STRIDES))
    sampled = _sampled(bucket * buckets, weight, means, size)
    walked = _log_e(sampled, known, d, size) * _tempering(bucket, buckets)
    # The mean of a sample wavers where bad answers are rare; what is to be expected is known.
    walked += buckets * drift - walked.mean(axis=0)
    return _strides(walked, level, rng, runs) * bucket * buckets


def merged(calls: float, weight: float) -> float:
    """Calls of a judged bucket: buckets of so many calls are merged until they have `LEAST_CALLS`, of both variants."""
    rare = min(weight, 1 - weight)
    enough = ceil(LEAST_CALLS / calls) * calls
    return float(enough + (1 - rare) ** enough * calls / (1 - (1 - rare) ** calls))


def _strides(walked: Floats, level: float, rng: np.random.Generator, runs: int) -> Floats:
    """How many of the strides `walked`, (S, 3), each walk needs until its mixture reaches the level, (runs,)."""
    needed = np.full(runs, float(MOST_STRIDES))
    under: NDArray[np.int64] = np.arange(runs)
    at = np.tile(np.log(GATE_WEIGHTS), (runs, 1))
    for begun in range(0, MOST_STRIDES, CHUNK):
        path = at[:, None, :] + np.cumsum(walked[rng.integers(len(walked), size=(len(under), CHUNK))], axis=1)
        over = log_sum(path) >= level
        passed = over.any(axis=1)
        needed[under[passed]] = begun + 1 + np.argmax(over[passed], axis=1)
        under, at = under[~passed], path[~passed, -1]
        if not len(under):
            break
    return needed


def _tempering(bucket: float, buckets: int) -> float:
    """log E is divided by N / (N - 1) of each bucket, which many at once would have too little of."""
    small, large = (float(small_bucket(np.array(n), np.array(0.0))) for n in (bucket, bucket * buckets))
    return large / small


def _expected(n: float, weight: float, means: Rates, size: float) -> Columns:
    """The bucket of `n` calls that is to be expected."""
    n_g, n_b = np.array([weight * n]), np.array([(1 - weight) * n])
    return _columns(n_g, n_g * means[1], n_b, n_b * means[0], max(size, *means))


def _sampled(n: float, weight: float, means: Rates, size: float) -> Columns:
    """Buckets of `n` calls as they may come; always the same, so that forecasts of like plans compare."""
    rng = np.random.default_rng(SEED)
    made = Alike(size).draw(rng, np.arange(SAMPLE), np.full(SAMPLE, weight), round(n), [means])[0]
    n_g, n_b = np.maximum(made.n_g, 1.0), np.maximum(made.n_b, 1.0)
    return _columns(n_g, made.s_g, n_b, made.s_b, max(size, *means))


def _columns(n_g: Floats, s_g: Floats, n_b: Floats, s_b: Floats, size: float) -> Columns:
    step = np.zeros(len(n_g), dtype=np.int64)
    return Columns(step=step, n_g=n_g, s_g=s_g, q_g=size * s_g, n_b=n_b, s_b=s_b, q_b=size * s_b)


def _log_e(columns: Columns, known: tuple[float, float, float], d: float, size: float) -> Floats:
    """log E of each bucket by each alternative, (B, 3)."""
    a, variance, phi = (np.full(len(columns), each) for each in known)
    return log_e_gate(columns, a, variance, phi, d, size == 1)
