"""The benchmark of reads still runs, and both of its days are read as the same."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.reads.day import days
from benchmarks.reads.ways import READS, measure


def test_both_days_read_the_same_and_every_read_is_timed() -> None:
    with days(shims=2, buckets=400, seed=1) as (rows, summed):
        for name, read in READS.items():
            found, other = read(rows), read(summed)
            if name == "a rollout's page":
                # Sums of costs in another order differ in a last bit.
                costs = {"blue_calls": None, "green_calls": None}
                assert found.green_calls.outcomes == other.green_calls.outcomes
                found, other = replace(found, **costs), replace(other, **costs)
            assert found == other, name
        assert [timed.read for timed in measure(rows, summed, rounds=1)] == list(READS)
