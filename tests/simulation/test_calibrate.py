"""Blue against blue: the judge and decide over recorded calls split anew, and what they teach about the traffic."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crossfade.core.decision import Act
from crossfade.core.plan import Breach, Check, Plan, Step
from crossfade.simulation.calibrate import calibrate, measure, started_with
from crossfade.simulation.calibration import Finding
from crossfade.simulation.play import play
from crossfade.simulation.recording import Calls, Group, Recording, record
from crossfade.simulation.resplit import Resplit
from crossfade.simulation.traffic import Independent
from crossfade.simulation.truth import Truth

ERRORS = Check(metric="error_rate", margin=0.5)
HALF = Plan(steps=(Step(weight=50, bake=0),), checks=(ERRORS,))
RAMP = replace(HALF, steps=tuple(Step(weight=weight, bake=60) for weight in (5, 25, 50)))


def by_call(buckets: int, calls: int = 100, rate: float = 0.01) -> Recording:
    """Calls without a key."""
    rng = np.random.default_rng(1)
    rows = []
    for bucket in range(buckets):
        bad = int(rng.binomial(calls, rate))
        rows += [Calls(10 * bucket, 1.0, bad), Calls(10 * bucket, 0.0, calls - bad)]
    return record(10.0, {"error_rate": rows}, {"error_rate": []}, keyed=0.0)


def by_burst(size: int, buckets: int, calls: int = 100, rate: float = 0.01) -> Recording:
    """Groups of `size` calls that share a key and fate."""
    rng = np.random.default_rng(1)
    rows = [
        Group(10 * bucket, 0, int(rng.integers(128)), size, bad, bad)
        for bucket in range(buckets)
        for bad in (size * rng.binomial(1, rate, calls // size)).tolist()
    ]
    return record(10.0, {"error_rate": []}, {"error_rate": rows}, keyed=1.0)


def by_user(users: int, buckets: int, calls: int = 100, rate: float = 0.05) -> Recording:
    """Users with a rate of their own, each in one of the groups."""
    rng = np.random.default_rng(1)
    own, group = rng.beta(2 * rate, 2 * (1 - rate), users), rng.integers(128, size=users)
    rows = []
    for bucket in range(buckets):
        n = rng.poisson(calls / users, users)
        bad = rng.binomial(n, own)
        rows += [Group(10 * bucket, 0, int(group[u]), int(n[u]), int(bad[u]), int(bad[u])) for u in np.flatnonzero(n)]
    return record(10.0, {"error_rate": []}, {"error_rate": rows}, keyed=1.0)


def test_a_split_loses_no_call_and_follows_the_weight() -> None:
    recording = record(
        10.0,
        {"error_rate": [Calls(0, 0.0, 300), Calls(0, 1.0, 20), Calls(10, 0.0, 40)]},
        {"error_rate": [Group(0, 0, group, 3, 1, 1) for group in range(128)]},
        keyed=0.5,
    )
    runs = np.arange(400)
    split = Resplit(recording, ["error_rate"], rng=np.random.default_rng(1), runs=400, window=2)
    (made,) = split.draw(0, runs, np.full(400, 0.25))
    assert set((made.n_g + made.n_b).tolist()) == {704}
    assert set((made.s_g + made.s_b).tolist()) == {148}
    assert made.n_g.mean() == pytest.approx(704 / 4, rel=0.02)
    assert made.s_g.mean() == pytest.approx(148 / 4, rel=0.05)
    (later,) = split.draw(1, runs, np.full(400, 0.25))
    assert set((later.n_g + later.n_b).tolist()) == {40}


def test_a_group_of_keys_keeps_its_variant_and_a_higher_weight_only_adds_to_green() -> None:
    rows = [Group(10 * bucket, 0, group, 1, 0, 0) for bucket in range(2) for group in range(128)]
    recording = record(10.0, {"error_rate": []}, {"error_rate": rows}, keyed=1.0)
    split = Resplit(recording, ["error_rate"], rng=np.random.default_rng(1), runs=50, window=2)
    runs = np.arange(50)
    first, second = (split.draw(bucket, runs, np.full(50, 0.3))[0].n_g for bucket in range(2))
    assert first.tolist() == second.tolist()
    assert (split.draw(0, runs, np.full(50, 0.5))[0].n_g > first).all()
    assert set(first.tolist()) <= {38.0, 39.0}


def test_calls_by_themselves_need_no_overdispersion_and_the_guarantees_hold() -> None:
    recording = by_call(400)
    found = measure(RAMP, recording)
    assert found == {"error_rate": 1.0}
    calibration = calibrate(RAMP, recording, found, replays=200)
    assert calibration.finding is Finding.HOLDS
    assert calibration.weights == (5, 25, 50)
    assert calibration.stopped + calibration.promoted + calibration.undecided == calibration.replays == 200
    assert calibration.stopped / 200 < calibration.most
    assert calibration.sentences[0].startswith("Holds on this traffic: ")
    assert calibrate(RAMP, recording, found, replays=200) == calibration


@pytest.mark.parametrize("size", [2, 4])
def test_what_is_measured_on_bursts_keeps_an_equal_green_from_being_rolled_back(size: int) -> None:
    """In groups of 2 and 4 at an even split 7 % of equal greens are rolled back when phi has first to be learnt."""
    found = measure(HALF, by_burst(size, 600))
    assert found["error_rate"] == pytest.approx(size, rel=0.1)
    ended = play(
        started_with(HALF, found),
        [Truth(blue=0.01, green=0.01)],
        Independent(size),
        rng=np.random.default_rng(1),
        runs=400,
        calls=100,
        most_calls=20_000,
    )
    stopped = sum(one.act is Act.ROLL_BACK for one in ended)
    assert stopped <= 21  # 3 % of 400, and a one-sided 99 % allowance


def test_an_overdispersion_that_is_given_stays() -> None:
    given = replace(HALF, checks=(replace(ERRORS, overdispersion=3.0),))
    assert started_with(given, {"error_rate": 2.0}, {"error_rate"}) == given
    assert started_with(given, {"error_rate": 2.0}).checks[0].overdispersion == 2.0


def test_users_who_differ_are_found_out_and_not_hidden() -> None:
    recording = by_user(60, 400)
    plan = replace(HALF, checks=(replace(ERRORS, margin=2.0),))
    found = measure(plan, recording)
    calibration = calibrate(started_with(plan, found), recording, found, replays=200)
    assert calibration.most <= 0.05
    assert calibration.finding is Finding.TOO_LITTLE
    assert "too few users, who differ" in calibration.sentences[0]
    assert any(said.startswith("Users come back, and differ in their error rate") for said in calibration.sentences)


def test_bursts_with_a_key_hold_without_anything_known_beforehand_and_what_was_measured_is_said() -> None:
    recording = by_burst(2, 600)
    found = measure(HALF, recording)
    calibration = calibrate(HALF, recording, found, replays=400)
    assert calibration.finding is Finding.HOLDS
    assert f"starts with an overdispersion of 1; measured was {found['error_rate']:g}" in calibration.sentences[1]
    assert "gates open too easily" in calibration.sentences[1]


def test_a_bad_share_with_too_low_an_overdispersion_says_with_which_to_start() -> None:
    """As where bursts share one variant and no key tells so."""
    recording = by_burst(2, 600)
    found = measure(HALF, recording)
    stopped = replace(calibrate(HALF, recording, found, replays=100), stopped=20, promoted=50, undecided=30)
    assert stopped.finding is Finding.DOES_NOT_HOLD
    assert f"Start error rate with {found['error_rate']:g}" in stopped.sentences[1]
    assert "gates open too easily" in stopped.sentences[2]


def test_too_little_history_is_said_with_what_is_needed() -> None:
    recording = by_call(20)
    calibration = calibrate(RAMP, recording, measure(RAMP, recording), replays=100)
    assert calibration.finding is Finding.TOO_LITTLE
    assert calibration.needed is not None
    assert calibration.needed > 10_000
    assert (
        f"2,000 calls of blue's are recorded, and about {calibration.needed:,} are needed" in calibration.sentences[0]
    )
    assert (calibration.constant, calibration.weights) == (True, (50,))
    nothing = record(10.0, {"error_rate": []}, {}, keyed=0.0)
    none = calibrate(RAMP, nothing, measure(RAMP, nothing))
    assert (none.finding, none.replays, none.unknown) == (Finding.TOO_LITTLE, 0, ("error_rate",))
    assert "none of blue's calls are recorded" in none.sentences[0]
    graded = replace(RAMP, checks=(Check(metric="score.accuracy", margin=1),))
    unscored = calibrate(graded, record(10.0, {"score.accuracy": []}, {}, keyed=0.0), {})
    assert unscored.sentences[0].endswith("none of blue's calls carry a score 'accuracy' yet.")


def test_what_is_recorded_without_keys_is_said() -> None:
    calls = {"error_rate": [], "latency": [Calls(10 * k, float(k % 20 == 0), 60) for k in range(100)]}
    keyed = {"error_rate": [Group(10 * k, 0, k % 128, 60, 2, 2) for k in range(100)]}
    plan = replace(HALF, checks=(ERRORS, Check(metric="latency", margin=1, limit=1.0, on_breach=Breach.PAUSE)))
    recording = record(10.0, calls, keyed, keyed=0.8)
    calibration = calibrate(plan, recording, measure(plan, recording), replays=100)
    assert [check.by_key for check in calibration.checks] == [True, False]
    assert any("80.00 % of the calls have a key" in said for said in calibration.sentences)


def test_more_buckets_than_may_be_looked_at_are_merged() -> None:
    calibration = calibrate(RAMP, by_call(400), {"error_rate": 1.0}, replays=100, looks=100)
    assert calibration.merged > 1
    assert calibration.stopped <= 10


def test_losses_of_many_sizes_keep_their_sums() -> None:
    rng = np.random.default_rng(1)
    rows = [Calls(10 * k, float(loss), 1) for k in range(50) for loss in rng.random(20)]
    tape = record(10.0, {"score.a": rows}, {"score.a": []}, keyed=0.0).tapes["score.a"]
    assert len(tape.loss) <= 101
    assert tape.history.n == 1000
    assert tape.history.s == pytest.approx(sum(row.loss for row in rows), rel=0.01)
    assert tape.merged(7).history.n == 980
