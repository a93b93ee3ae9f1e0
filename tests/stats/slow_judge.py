"""The judgement of one check over again: slowly, in plain loops, with fifty digits, exact where whole numbers allow.

Nothing here comes from `crossfade.stats`. E-values are multiplied as they are, not added up as logs; every restart is
a process of its own; the hypergeometric is counted in whole numbers; `u` is found by halving an interval.

    python tests/stats/slow_judge.py      writes golden.json beside this file, some minutes
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import comb
from pathlib import Path
from typing import Any

from golden_cases import CASES, Case, case_to_dict
from mpmath.ctx_mp import MPContext

from crossfade.core.evidence import Bucket, Groups, Summary

GOLDEN = Path(__file__).with_name("golden.json")

mp = MPContext()
mp.dps = 50
Real = Any
"""A number of fifty digits."""

DECAY = mp.mpf(1) / 2 ** (mp.mpf(1) / 100)
ONE = mp.mpf(1)
IMAGINED = Fraction(5, 100)
PLACES = 160


def real(value: float | Fraction) -> Real:
    """The number meant, to fifty digits: a float is exactly what it is."""
    exact = Fraction(value)
    return mp.mpf(exact.numerator) / exact.denominator


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Margins as differences of losses, levels as chances, green's weights as shares."""

    margin: Fraction
    gate_margin: Fraction
    step: int
    weight: Fraction
    overdispersion: Fraction
    alpha: Fraction = Fraction(5, 100)
    beta: Fraction = Fraction(5, 100)


@dataclass(frozen=True, kw_only=True)
class Answer:
    ruling: str
    log_e_worse: Real
    log_e_gate: Real
    phi: Real
    estimate: Real | None
    lower: Real | None
    upper: Real | None
    calls_needed: int | None
    worth: int | None
    buckets: int
    step_buckets: int


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One bucket with calls of both variants, exact, and what was known when it came."""

    step: int
    n_g: int
    s_g: Fraction
    q_g: Fraction
    n_b: int
    s_b: Fraction
    q_b: Fraction
    binary: bool
    """The bucket's own losses are 0 or 1."""
    as_binary: bool
    """All losses before it were, so that it is judged as one of them."""
    a: Real
    variance: Real
    phi: Real
    soon: Real
    """Of what jumps and of what groups of keys show."""
    together: Real = ONE
    """What of phi groups of keys show."""
    gate_phi: Real = ONE
    gate_soon: Real = ONE
    block: int | None = None
    """Counted from 0; None before the first call with a key."""
    block_together: Real = ONE
    block_phi: Real = ONE
    block_soon: Real = ONE

    @property
    def tempering(self) -> Real:
        """N / (N - 1)."""
        n = self.n_g + self.n_b
        return real(Fraction(n, n - 1))


# What is known before a bucket


def merged(buckets: Sequence[Bucket]) -> list[Bucket]:
    """The buckets of one step together until they have twenty calls, of both variants; leftovers are no evidence."""
    out: list[Bucket] = []
    waiting: dict[int, list[Bucket]] = {}
    for bucket in buckets:
        held = waiting.setdefault(bucket.step, [])
        held.append(bucket)
        green, blue = sum(k.green.n for k in held), sum(k.blue.n for k in held)
        if green > 0 and blue > 0 and green + blue >= 20:
            out.append(
                Bucket(
                    held[0].start,
                    bucket.step,
                    added(k.blue for k in held),
                    added(k.green for k in held),
                    by_group([k.blue_groups for k in held]),
                    by_group([k.green_groups for k in held]),
                )
            )
            del waiting[bucket.step]
    return out


def by_group(parts: Sequence[Groups]) -> Groups:
    every = {group for part in parts for group in part}
    return {group: added(part[group] for part in parts if group in part) for group in every}


def added(parts: Iterator[Summary]) -> Summary:
    held = list(parts)
    return Summary(sum(p.n for p in held), sum(p.s for p in held), sum(p.q for p in held))


def zero_or_one(*variants: Summary) -> bool:
    """Sums of losses that are 0 or 1: q = s, and s is a whole number."""
    s, q = sum(Fraction(v.s) for v in variants), sum(Fraction(v.q) for v in variants)
    near = all(abs(Fraction(v.s) - round(v.s)) <= Fraction(1, 10**6) for v in variants)
    return near and abs(q - s) <= Fraction(1, 10**9) * (1 + s)


def variance_of(n: Real, s: Real, q: Real) -> Real:
    return q / n - (s / n) ** 2


class Base:
    """Blue's decayed sums."""

    def __init__(self, history: Summary, first: int | None) -> None:
        """`first`: blue's calls in the first judged bucket. History is worth at most a window of such buckets."""
        self.n, self.s, self.q = (real(value) for value in (history.n, history.s, history.q))
        if first is not None and history.n:
            window = 1 / (1 - DECAY)
            share = min(mp.mpf(1), window * first / history.n)
            self.n, self.s, self.q = share * self.n, share * self.s, share * self.q

    def add(self, n: int, s: Fraction, q: Fraction) -> None:
        self.n, self.s, self.q = DECAY * self.n + n, DECAY * self.s + real(s), DECAY * self.q + real(q)

    @property
    def raw_mean(self) -> Real:
        """With one imagined call of mean 0.05."""
        return (self.s + real(IMAGINED)) / (self.n + 1)

    @property
    def mean(self) -> Real:
        return min(real(Fraction(97, 100)), max(real(Fraction(1, 10**6)), self.raw_mean))

    @property
    def variance(self) -> Real:
        """The imagined call has variance 0.05 too."""
        square = (self.q + real(IMAGINED + IMAGINED**2)) / (self.n + 1)
        return max(real(Fraction(1, 10**6)), square - self.raw_mean**2)


class Dispersion:
    """Seen and nominal variance of successive differences, each a sum over pairs of buckets."""

    def __init__(self, start: Fraction) -> None:
        self.start = real(start)
        self.seen = self.nominal = mp.mpf(0)
        self.decayed = [mp.mpf(0)] * 3
        self.last: Bucket | None = None

    def ratio(self, pseudo_buckets: int) -> Real:
        return max(mp.mpf(1), (pseudo_buckets * self.start + self.seen) / (pseudo_buckets + self.nominal))

    def add(self, bucket: Bucket) -> None:
        both = added(iter((bucket.green, bucket.blue)))
        now = (real(both.n), real(both.s), real(both.q))
        self.decayed = [DECAY * old + new for old, new in zip(self.decayed, now, strict=True)]
        if self.last is not None:
            self._pair(self.last, bucket)
        self.last = bucket

    def _pair(self, before: Bucket, now: Bucket) -> None:
        overall = variance_of(*self.decayed)
        inside = [real(inside_variance(k)) for k in (before, now)]
        if overall <= 0 or sum(inside) <= 0:
            return
        jump = real(difference(now) - difference(before))
        width = sum(real(Fraction(1, v.n)) for k in (before, now) for v in (k.green, k.blue))
        w = 1 / (max(overall, *inside) * width)
        self.seen += w * jump**2
        self.nominal += w * sum(real(nominal_variance(k)) for k in (before, now))


class Together:
    """Of each variant's groups of keys the sum of (other variant's share) x (loss - the bucket's mean)."""

    def __init__(self) -> None:
        self.scores: list[dict[int, Fraction]] = [{}, {}]
        self.weights: list[dict[int, Fraction]] = [{}, {}]
        self.nominal, self.keyed = [Fraction(0)] * 2, [Fraction(0)] * 2

    def add(self, bucket: Bucket) -> None:
        n = bucket.green.n + bucket.blue.n
        mean = (Fraction(bucket.green.s) + Fraction(bucket.blue.s)) / n
        of_green, of_blue = (bucket.green, bucket.green_groups), (bucket.blue, bucket.blue_groups)
        for v, ((all_calls, groups), other) in enumerate(((of_green, bucket.blue.n), (of_blue, bucket.green.n))):
            share = Fraction(other, n)
            self.nominal[v] += share**2 * squares(all_calls, mean)
            for group, sums in groups.items():
                self.keyed[v] += share**2 * squares(sums, mean)
                self.scores[v][group] = self.scores[v].get(group, 0) + share * (Fraction(sums.s) - sums.n * mean)
                self.weights[v][group] = self.weights[v].get(group, 0) + share * sums.n

    @property
    def phi(self) -> Real:
        return max([mp.mpf(1), *(self._of(v) for v in (0, 1))])

    def _of(self, v: int) -> Real:
        scores, weights = self.scores[v], self.weights[v]
        total, seen = sum(weights.values()), self.keyed[v]
        if len(scores) > 1:
            excess = sum(scores.values()) / Fraction(total)
            centred = sum((scores[group] - excess * weights[group]) ** 2 for group in scores)
            seen = centred / (1 - sum((w / Fraction(total)) ** 2 for w in weights.values()))
        if not self.nominal[v]:
            return mp.mpf(1)
        return real((seen + self.nominal[v] - self.keyed[v]) / self.nominal[v])


def squares(sums: Summary, mean: Fraction) -> Fraction:
    return Fraction(sums.q) - 2 * mean * Fraction(sums.s) + sums.n * mean**2


def nominal_variance(bucket: Bucket) -> Fraction:
    """Of the difference of means, if each call weighs in it by its own distance from the bucket's mean alone."""
    n = bucket.green.n + bucket.blue.n
    mean = (Fraction(bucket.green.s) + Fraction(bucket.blue.s)) / n
    total = Fraction(0)
    for v in (bucket.green, bucket.blue):
        total += (Fraction(v.q) - 2 * mean * Fraction(v.s) + v.n * mean**2) / Fraction(v.n) ** 2
    return max(Fraction(0), total) * Fraction(n, n - 1)


def inside_variance(bucket: Bucket) -> Fraction:
    """Of one call's loss inside the bucket, both variants pooled, with N - 1 below."""
    n = bucket.green.n + bucket.blue.n
    s, q = Fraction(bucket.green.s) + Fraction(bucket.blue.s), Fraction(bucket.green.q) + Fraction(bucket.blue.q)
    return max(Fraction(0), (q - s * s / n) / (n - 1))


def difference(bucket: Bucket) -> Fraction:
    return Fraction(bucket.green.s) / bucket.green.n - Fraction(bucket.blue.s) / bucket.blue.n


@dataclass(frozen=True, kw_only=True)
class Known:
    """Each judged bucket with what was known before it; the rest after all of them. `binary`: all are."""

    rows: list[Judged]
    base: Base
    dispersion: Dispersion
    together: Together
    step_together: Together
    binary: bool


def known(buckets: Sequence[Bucket], history: Summary, asked: Asked) -> Known:
    rows = merged(buckets)
    base = Base(history, rows[0].blue.n if rows else None)
    dispersion = Dispersion(asked.overdispersion)
    together, at_step, in_block = Together(), Together(), Together()
    since_key: int | None = None
    all_binary = abs(Fraction(history.q) - Fraction(history.s)) <= Fraction(1, 10**9) * (1 + Fraction(history.s))
    out = []
    for row in rows:
        green, blue = row.green, row.blue
        a, variance, phi = base.mean, base.variance, dispersion.ratio(20)
        base.add(blue.n, Fraction(blue.s), Fraction(blue.q))
        dispersion.add(row)
        soon = dispersion.ratio(3)
        if since_key is not None:
            since_key += 1
        elif row.green_groups or row.blue_groups:
            since_key = 0
        if since_key is not None and since_key % 100 == 0:
            in_block = Together()
        before = (together.phi, at_step.phi, in_block.phi)
        together.add(row)
        if row.step == asked.step:
            at_step.add(row)
        if since_key is not None:
            in_block.add(row)
        binary = zero_or_one(green, blue)
        out.append(
            Judged(
                step=row.step, n_g=green.n, s_g=Fraction(green.s), q_g=Fraction(green.q), n_b=blue.n,
                s_b=Fraction(blue.s), q_b=Fraction(blue.q), binary=binary, as_binary=all_binary,
                a=a, variance=variance, phi=max(phi, before[0]), soon=max(soon, together.phi), together=before[0],
                gate_phi=max(phi, before[1]), gate_soon=max(soon, at_step.phi),
                block=None if since_key is None else since_key // 100, block_together=before[2],
                block_phi=max(phi, before[2]), block_soon=max(soon, in_block.phi),
            )
        )  # fmt: skip
        all_binary = all_binary and binary
    return Known(
        rows=out, base=base, dispersion=dispersion, together=together, step_together=at_step, binary=all_binary
    )


# E-values of one bucket


def conditional_e(x: int, m: int, n_g: int, n_b: int, psi: Real) -> Real:
    """psi^x over its mean under the hypergeometric. Exact when psi is a Fraction."""
    ways = {j: comb(n_g, j) * comb(n_b, m - j) for j in range(max(0, m - n_b), min(m, n_g) + 1)}
    return psi**x * sum(ways.values()) / sum(way * psi**j for j, way in ways.items())


@dataclass(frozen=True, kw_only=True)
class Bet:
    """On a green loss y it pays 1 + g (y - u - d), on a blue loss x it pays 1 + b (x - u)."""

    u: Real
    g: Real
    b: Real


def nearest(a: Real, c: Real, d: Real, n_g: int, n_b: int) -> Real:
    """The u where n_b KL(a, u) + n_g KL(c, u + d) is least, with u and u + d in [0, 1], a billionth from its ends.

    Its slope is n_b (u - a) / (u (1 - u)) + n_g (u + d - c) / ((u + d)(1 - u - d)), which rises from -inf to +inf; its
    sign is that of the cubic below, halved in whole numbers of 1 / 2^160.
    """
    one = 2**PLACES
    a_, c_, d_ = (int(value * one) for value in (a, c, d))
    edge = one // 10**9
    low, high = max(0, -d_) + edge, min(one, one - d_) - edge
    while high - low > 1:
        u = (low + high) // 2
        p = u + d_
        slope = n_b * (u - a_) * p * (one - p) + n_g * (p - c_) * u * (one - u)
        low, high = (u, high) if slope < 0 else (low, u)
    return mp.mpf(low) / one


def balanced(u: Real, d: Real, g: Real, n_g: int, n_b: int, side: int, most_lost: Real) -> Bet:
    """The bet g on green, none if it has the wrong sign, balanced by blue's and shrunk to lose at most `most_lost`."""
    if side * g <= 0:
        return Bet(u=u, g=mp.mpf(0), b=mp.mpf(0))
    b = -g * n_g / n_b
    worst = max(-g * (0 - u - d), -g * (1 - u - d), -b * (0 - u), -b * (1 - u))
    shrink = min(mp.mpf(1), most_lost / worst)
    return Bet(u=u, g=shrink * g, b=shrink * b)


def bet_on_binary(a: Real, c: Real, d: Real, n_g: int, n_b: int, side: int) -> Bet:
    u = nearest(a, c, d, n_g, n_b)
    p = u + d
    return balanced(u, d, (c - p) / (p * (1 - p)), n_g, n_b, side, real(Fraction(999, 1000)))


def bet_on_bounded(a: Real, variance: Real, c: Real, d: Real, n_g: int, n_b: int, side: int) -> Bet:
    e = c - a - d
    i_g, i_b = n_g / variance, n_b / variance
    u = a + e * i_g / (i_g + i_b)
    u = min(max(u, mp.mpf(0), -d), mp.mpf(1), 1 - d)
    g = e * i_g * i_b / (i_g + i_b) / n_g
    return balanced(u, d, g, n_g, n_b, side, real(Fraction(9, 10)))


def chord(bet: Real, m: Real, n: int, s: Real) -> Real:
    """log of the product over n losses of 0 and 1 that sum to s; a lower bound for losses between."""
    return s * mp.log(1 + bet * (1 - m)) + (n - s) * mp.log(1 - bet * m)


def s_and_q(bet: Real, m: Real, n: int, s: Real, q: Real) -> Real:
    """The other lower bound. The largest loss is taken as at least 1/10,000, which only lowers it."""
    b = max(bet * m, -bet * (1 - m), real(Fraction(1, 10_000)))
    c2 = (-mp.log(1 - b) - b) / b**2
    return bet * (s - n * m) - c2 * bet**2 * (q - 2 * m * s + n * m**2)


def log_e_balanced(row: Judged, c: Real, d: Real, side: int) -> Real:
    """log E of the bet on c against the null d, before any tempering."""
    s_g, s_b, q_g, q_b = real(row.s_g), real(row.s_b), real(row.q_g), real(row.q_b)
    if row.as_binary:
        bet = bet_on_binary(row.a, c, d, row.n_g, row.n_b, side)
        return chord(bet.g, bet.u + d, row.n_g, s_g) + chord(bet.b, bet.u, row.n_b, s_b)
    bet = bet_on_bounded(row.a, row.variance, c, d, row.n_g, row.n_b, side)
    total = mp.mpf(0)
    for stake, m, n, s, q in ((bet.g, bet.u + d, row.n_g, s_g, q_g), (bet.b, bet.u, row.n_b, s_b, q_b)):
        total += max(chord(stake, m, n, s), s_and_q(stake, m, n, s, q))
    return total


# The two processes


MOST = Fraction(98, 100)
LEAST = Fraction(1, 10**6)


def log_e_worse(row: Judged, margin: Real, phi: Real, together: Real) -> list[Real]:
    """log E of the bucket for the five alternatives, by what groups show, capped, by the rest of phi."""
    out = []
    for multiple in (1, 2, 4, 8, 32):
        c = min(real(MOST), row.a + margin * multiple)
        if not row.as_binary:
            log_e = log_e_balanced(row, c, mp.mpf(0), 1) / row.tempering
        elif row.binary:
            psi = (c / (1 - c)) / (row.a / (1 - row.a))
            log_e = mp.log(conditional_e(round(row.s_g), round(row.s_g + row.s_b), row.n_g, row.n_b, psi))
        else:
            log_e = mp.mpf(0)
        out.append(min(mp.mpf("1.5"), log_e / together) / (phi / together))
    return out


def waiting(k: int) -> Real:
    """g(k): the share of the later starts still to come when k of them have begun."""
    return 1 / (1 + mp.log(1 + mp.mpf(k) / 100))


WEIGHTS = [Fraction(15, 100), Fraction(45, 100), Fraction(20, 100), Fraction(10, 100), Fraction(10, 100)]


def blocks(rows: Sequence[Judged], margin: Real) -> list[Real | None]:
    """E of the mixture over blocks of a hundred buckets, as far as it counts after each bucket; None before keys."""
    out: list[Real | None] = []
    ended = mp.mpf(0)
    block: list[Judged] = []
    for row in rows:
        if row.block is None:
            out.append(None)
            continue
        block.append(row)
        held = [real(w) for w in WEIGHTS]
        for each in block:
            factors = log_e_worse(each, margin, each.block_phi, each.block_together)
            held = [e * mp.exp(factor) for e, factor in zip(held, factors, strict=True)]
        log_e = mp.log(sum(held))
        used = len(block) / sum(1 / each.block_phi for each in block)
        log_e = log_e * min(mp.mpf(1), used / row.block_soon) if log_e > 0 else log_e
        left, then = (1 / (1 + mp.log(1 + mp.mpf(j))) for j in (row.block, row.block + 1))
        own = (left - then) * mp.exp(log_e)
        out.append(ended + own + then)
        if len(block) == 100:
            ended, block = ended + own, []
    return out


def worse(rows: Sequence[Judged], margin: Real, needed: Real) -> tuple[Real, bool]:
    """(log E that counts, or its peak once that is over; whether two buckets raised it)."""
    weights, late = WEIGHTS, blocks(rows, margin)
    quarter = mp.mpf(1) / 4
    started: list[list[Real]] = []
    mixture = counts = peak = mp.mpf(0)
    rises, tempering = 0, mp.mpf(0)
    begun_with: Real | None = None
    for t, row in enumerate(rows):
        share = 1 - quarter if t == 0 else quarter * (waiting(t - 1) - waiting(t))
        started.append([share * real(w) for w in weights])
        factors = [mp.exp(each) for each in log_e_worse(row, margin, row.phi, row.together)]
        started = [[held * factor for held, factor in zip(one, factors, strict=True)] for one in started]
        before, mixture = mixture, mp.log(sum(sum(one) for one in started) + quarter * waiting(t))
        rises += mixture > before + mp.mpf(10) ** -12
        tempering += 1 / row.phi
        used = (t + 1) / tempering
        counts = mixture * min(mp.mpf(1), used / row.soon) if mixture > 0 else mixture
        if (block := late[t]) is not None:
            begun_with = min(ONE, mp.exp(before)) if begun_with is None else begun_with
            counts = mp.log(mp.mpf(9) / 10 * mp.exp(counts) + mp.mpf(1) / 10 * begun_with * block)
        if rises >= 2:
            peak = max(peak, counts)
    return (peak if peak >= needed else counts), rises >= 2


def gate(rows: Sequence[Judged], asked: Asked) -> Real:
    """log E of the gate, over the buckets of the step, as far as it counts."""
    d, total = real(asked.gate_margin), mp.mpf(0)
    here = [row for row in rows if row.step == asked.step]
    for name, weight in (
        ("equal", Fraction(60, 100)),
        ("half the margin", Fraction(25, 100)),
        ("errors halved", Fraction(15, 100)),
    ):
        e = real(weight)
        for row in here:
            c = {"equal": row.a, "half the margin": row.a + d / 2, "errors halved": row.a / 2}[name]
            e *= mp.exp(log_e_balanced(row, min(real(MOST), c), d, -1) / row.gate_phi / row.tempering)
        total += e
    if total <= 1:
        return mp.log(total)
    used = len(here) / sum(1 / row.gate_phi for row in here)
    return mp.log(total) * min(mp.mpf(1), used / rows[-1].gate_soon)


MULTIPLES = [Fraction(m) for m in "0.2 0.4 0.6 0.8 1 1.25 1.5 2 3 4 6 8 12 16 24 32 64".split()]  # noqa: SIM905


def bound(rows: Sequence[Judged], asked: Asked, d: Fraction, side: int) -> Real:
    """log E against "<= d" (side 1) or ">= d" (side -1), over the whole rollout."""
    total = mp.mpf(0)
    for multiple, weight in ((1, Fraction(40, 100)), (4, Fraction(35, 100)), (16, Fraction(25, 100))):
        e = real(weight)
        for row in rows:
            c = row.a + real(d) + side * multiple * real(asked.margin)
            c = min(real(MOST), max(real(LEAST), c))
            e *= mp.exp(log_e_balanced(row, c, real(d), side) / row.phi / row.tempering)
        total += e
    return mp.log(total)


def interval(rows: Sequence[Judged], asked: Asked, ruling: str, phi: Real) -> tuple[Real | None, Real | None]:
    """(lower, upper) by asking every difference of the grid. phi is what groups of keys show now."""
    used = len(rows) / sum(1 / row.phi for row in rows) if rows else mp.mpf(1)
    trust = min(mp.mpf(1), used / phi)
    above = [m * asked.margin for m in MULTIPLES if m * asked.margin < Fraction(95, 100)]
    grid = sorted([-d for d in above] + [Fraction(0)] + above)
    over_needed, under_needed = -mp.log(real(asked.alpha)), -mp.log(real(asked.beta))
    over = [d for d in grid if trust * bound(rows, asked, d, 1) >= over_needed]
    under = [d for d in grid if trust * bound(rows, asked, d, -1) >= under_needed]
    if ruling == "failed":
        lower = max((d for d in over if d > 0), default=Fraction(1, 10**9))
    else:
        lower = max((d for d in over if d <= 0), default=None)
    upper = min(under, default=None)
    if ruling == "passed":
        upper = min(asked.gate_margin, asked.gate_margin if upper is None else upper)
    if lower is not None and upper is not None and upper <= lower:
        lower, upper = (lower, None) if ruling == "failed" else (upper, lower)
    return None if lower is None else real(lower), None if upper is None else real(upper)


# What is shown beside them


def mantel_haenszel(rows: Sequence[Judged]) -> Fraction | None:
    weights = [Fraction(row.n_g * row.n_b, row.n_g + row.n_b) for row in rows]
    gaps = [row.s_g / row.n_g - row.s_b / row.n_b for row in rows]
    return sum(w * gap for w, gap in zip(weights, gaps, strict=True)) / sum(weights) if rows else None


def squared_error(rows: Sequence[Judged], buckets: Sequence[Bucket], phi: Real) -> Real:
    """Of the estimate: each variant's overall variance, with half a good and half a bad call imagined, times phi."""
    total = Fraction(0)
    weights = [Fraction(row.n_g * row.n_b, row.n_g + row.n_b) for row in rows]
    for name in ("green", "blue"):
        sums = added(getattr(bucket, name) for bucket in buckets)
        n, half = sums.n + 1, Fraction(1, 2)
        variance = max(Fraction(0), (Fraction(sums.q) + half) / n - ((Fraction(sums.s) + half) / n) ** 2)
        calls = [row.n_g if name == "green" else row.n_b for row in rows]
        total += variance * sum(w * w / n_t for w, n_t in zip(weights, calls, strict=True))
    return phi * real(total / sum(weights) ** 2)


def kl(p: Real, q: Real) -> Real:
    return p * mp.log(p / q) + (1 - p) * mp.log((1 - p) / (1 - q))


def calls_needed(
    found: Known, buckets: Sequence[Bucket], phi: Real, log_e: Real, asked: Asked
) -> tuple[int | None, int | None]:
    """(calls still needed, what all calls of the users can be worth where that is too little)."""
    rows, base, binary = found.rows, found.base, found.binary
    if not rows and not base.n:
        return None, None
    estimate, error2 = mp.mpf(0), mp.mpf(0)
    if rows:
        estimate, error2 = real(mantel_haenszel(rows) or 0), squared_error(rows, buckets, phi)
    margin, d, w = real(asked.margin), real(asked.gate_margin), real(asked.weight)
    trend = estimate * margin**2 / (margin**2 + error2)
    if trend >= d:
        return None, None
    level = -mp.log(real(asked.beta))
    if log_e >= level:
        return 0, None
    a, green = base.mean, max(mp.mpf(0), base.mean + trend)
    if binary:
        a, c = (min(real(MOST), max(real(LEAST), p)) for p in (a, green))
        u = nearest(a, c, d, w, 1 - w)
        information = (1 - w) * kl(a, u) + w * kl(c, u + d)
    else:
        information = (green - a - d) ** 2 / 2 / (base.variance / w + base.variance / (1 - w))
    needed = (level - log_e) * phi / information
    calls = sum(k.blue.n + k.green.n for k in buckets if k.step == asked.step)
    growth = max(mp.mpf(0), found.step_together.phi - mp.mpf("1.25")) / calls if calls else mp.mpf(0)
    if growth:
        if information <= level * growth:
            return None, round(1 / growth)
        at_level, today = (e / (information - e * growth) for e in (level, log_e))
        needed = max(needed, at_level - today)
    return int(mp.ceil(needed)), None


def judge_slowly(buckets: Sequence[Bucket], history: Summary, asked: Asked) -> Answer:
    """The whole judgement of one check that is alone in its plan."""
    found = known(buckets, history, asked)
    rows = found.rows
    needed = -mp.log(real(asked.alpha))
    log_e, confirmed = worse(rows, real(asked.margin), needed)
    log_gate = gate(rows, asked)
    here = sum(row.step == asked.step for row in rows)
    if log_e >= needed and confirmed:
        ruling = "failed"
    elif not here:
        ruling = "no_data"
    else:
        ruling = "passed" if log_gate >= -mp.log(real(asked.beta)) else "inconclusive"
    lower, upper = interval(rows, asked, ruling, found.together.phi)
    estimate = mantel_haenszel(rows)
    phi = max(found.dispersion.ratio(20), found.together.phi)
    needed_calls, worth = calls_needed(found, buckets, phi, log_gate, asked)
    return Answer(
        ruling=ruling,
        log_e_worse=log_e,
        log_e_gate=log_gate,
        phi=phi,
        estimate=None if estimate is None else real(estimate),
        lower=lower,
        upper=upper,
        calls_needed=needed_calls,
        worth=worth,
        buckets=len(rows),
        step_buckets=here,
    )


# The golden file


def asked_of(case: Case) -> Asked:
    """A gate asks for the margin over the weight it leads to, at most a half."""
    margin = Fraction(case.margin) / 100
    ahead = Fraction(case.weights[case.step + 1]) if case.step + 1 < len(case.weights) else Fraction(100)
    return Asked(
        margin=margin,
        gate_margin=min(Fraction(1, 2), margin * 100 / ahead),
        step=case.step,
        weight=Fraction(case.weights[case.step]) / 100,
        overdispersion=Fraction(case.overdispersion),
    )


def answer_to_dict(answer: Answer) -> dict[str, Any]:
    """Numbers as text with twenty digits."""
    shown = {name: getattr(answer, name) for name in Answer.__dataclass_fields__}
    return {name: mp.nstr(value, 20) if isinstance(value, mp.mpf) else value for name, value in shown.items()}


def golden(case: Case) -> dict[str, Any]:
    """What golden.json holds of one case."""
    return {**case_to_dict(case), "answer": answer_to_dict(judge_slowly(case.buckets, case.history, asked_of(case)))}


def as_text(cases: dict[str, dict[str, Any]]) -> str:
    """JSON with a line for each key of a case."""
    shown = []
    for name, held in cases.items():
        lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in held.items())
        shown.append(f" {json.dumps(name)}: {{\n{lines}\n }}")
    return "{\n" + ",\n".join(shown) + "\n}\n"


if __name__ == "__main__":
    GOLDEN.write_text(as_text({case.name: golden(case) for case in CASES}))
