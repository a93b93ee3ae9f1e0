"""Exposure: what a replay would have changed for the people behind the calls, and what it had to take as given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from crossfade.core.evidence import Bucket, Series, Summary
from crossfade.core.metric import ERROR_RATE
from crossfade.core.phase import Phase
from crossfade.simulation.replay import Recorded, Replayed, label
from crossfade.stats.columns import merge, to_columns
from crossfade.stats.estimate import estimate, start_stratified


@dataclass(frozen=True, slots=True, kw_only=True)
class Borrowed:
    """A step of the replay that was judged by calls made at other weights, in percent: so many of green's."""

    step: int
    weight: float
    recorded_weights: tuple[float, ...]
    green_calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """Green's recorded calls, how many more the replay would have sent it (negative: fewer), and how many more bad
    answers than blue would have given that means, by metric. Where only the weight differs both are estimates; where
    the replay had ended they are counted. Nothing is known from `unknown_from` on, when the replay had promoted.
    """

    green_calls: int
    more_green_calls: int
    more_bad: Mapping[str, float]
    estimated: bool
    unknown_from: datetime | None
    borrowed: tuple[Borrowed, ...]


def exposure(recorded: Recorded, replayed: Replayed) -> Exposure:
    """What `replayed` would have changed in what is on record, by the calls that were judged."""
    calls = next((one for one in recorded.series if one.metric == ERROR_RATE), recorded.series[0])
    served = [bucket for bucket in calls.buckets if bucket.pairs is None]  # a copy of a call reached nobody
    more, estimated = 0.0, False
    borrowed: dict[int, list[Bucket]] = {}
    for bucket in served:
        weight = _weight(recorded, replayed, bucket)
        if weight is not None and weight != _recorded_weight(recorded, bucket):
            more += _more_green(bucket, weight)
            estimated |= weight > 0
            if weight > 0:
                borrowed.setdefault(label(recorded, replayed.begun, bucket), []).append(bucket)
    rollout = replayed.rollout
    promoted = rollout.phase in (Phase.PROMOTED, Phase.SUPERSEDED) and rollout.ended_at != recorded.ended
    return Exposure(
        green_calls=sum(bucket.green.n for bucket in served),
        more_green_calls=round(more),
        more_bad={one.metric: _more_bad(recorded, replayed, one) for one in recorded.series},
        estimated=estimated,
        unknown_from=rollout.ended_at if promoted else None,
        borrowed=tuple(
            Borrowed(
                step=step,
                weight=rollout.plan.steps[step].weight,
                recorded_weights=tuple(sorted({_recorded_weight(recorded, bucket) for bucket in buckets})),
                green_calls=sum(bucket.green.n for bucket in buckets),
            )
            for step, buckets in sorted(borrowed.items())
        ),
    )


def _weight(recorded: Recorded, replayed: Replayed, bucket: Bucket) -> float | None:
    """Green's weight in the replay at the time of the bucket, in percent; None when it would have been promoted."""
    rollout = replayed.rollout
    ended = rollout.ended_at
    if ended is None or ended == recorded.ended or bucket.start < ended.timestamp():
        return rollout.plan.steps[label(recorded, replayed.begun, bucket)].weight
    return None if rollout.phase in (Phase.PROMOTED, Phase.SUPERSEDED) else 0.0


def _recorded_weight(recorded: Recorded, bucket: Bucket) -> float:
    return recorded.registered.plan.steps[bucket.step].weight


def _more_green(bucket: Bucket, weight: float) -> float:
    return (bucket.green.n + bucket.blue.n) * weight / 100 - bucket.green.n


def _more_bad(recorded: Recorded, replayed: Replayed, series: Series) -> float:
    """Counted where green would have got no calls; elsewhere its calls more times the estimated difference."""
    (sums,) = (start_stratified().after(to_columns(merge((), series.buckets)[0])).sums,)
    difference = estimate(tuple(sums.tolist())) or 0.0
    blue = sum((bucket.blue for bucket in series.buckets), Summary()).mean or 0.0
    more = 0.0
    for bucket in series.buckets:
        weight = _weight(recorded, replayed, bucket)
        if weight is None or bucket.pairs is not None or weight == _recorded_weight(recorded, bucket):
            continue
        if weight:
            more += _more_green(bucket, weight) * difference
        else:
            mean = bucket.blue.mean
            more -= bucket.green.s - bucket.green.n * (blue if mean is None else mean)
    return more
