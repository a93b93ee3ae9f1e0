"""What is summed up ten minutes at a time against the plain sums of all rows: the same, whatever was summed when."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from plane import PLAN, Plane

from crossfade.core.histogram import cost_bin, duration_bin
from crossfade.core.observation import Row
from crossfade.core.plan import Check
from crossfade.core.split import Variant
from crossfade.server.scheduler import maintain, sum_up_pass
from crossfade.server.store import observations, summed
from crossfade.server.store.losses import blue_counts, history, past
from crossfade.server.store.summed import SETTLED, SPAN
from crossfade.server.sum_up import sum_up
from crossfade.server.usecases.ingest import RETENTION
from crossfade.server.views.rollout import rollout as read_rollout

TABLES = ("outcomes", "attempts", "latency", "first_token", "costs", "stops")
COUNTS = ("calls", "judged", "errors", "busy", "raised", "retries", "failovers", "tokens_in", "tokens_out", "cost_n")
CHECKS = (
    Check(metric="error_rate", margin=1),
    Check(metric="latency", margin=1, limit=0.5),
    Check(metric="cost", margin=1, limit=0.01),
    Check(metric="refusal", margin=1),
)


class Sent:
    """Two hours of one rollout's traffic, some of it late, with every row and when it was received."""

    def __init__(self, plane: Plane, rollout: int, *, route: int = 1, seed: int = 1) -> None:
        self.plane, self.rollout, self.route = plane, rollout, route
        self.rng = random.Random(seed)
        self.rows: list[tuple[datetime, Row]] = []

    def go_on(self, seconds: int) -> None:
        for _ in range(seconds // 30):
            self.plane.later(30)
            rows = [self.row(late=self.rng.choice((0, 0, 0, 700, 4000))) for _ in range(3)]
            self.plane.observe(*rows)
            self.rows += [(self.plane.now, row) for row in rows]

    def row(self, *, late: int) -> Row:
        rng, calls = self.rng, self.rng.randrange(1, 9)
        errors = rng.randrange(calls + 1)
        tables: dict[str, Any] = {
            "latency": Counter(duration_bin(rng.uniform(0.1, 1)) for _ in range(calls)),
            "first_token": Counter(duration_bin(rng.uniform(0.1, 1)) for _ in range(rng.randrange(calls + 1))),
            "costs": Counter(cost_bin(rng.uniform(0.001, 0.02)) for _ in range(calls)),
            "stops": Counter(rng.choice(("end_turn", "refusal", "max_tokens")) for _ in range(calls)),
        }
        more = {name: rng.randrange(5) for name in ("retries", "failovers", "tokens_in", "tokens_out")}
        more |= {"step": rng.randrange(2) if self.rollout else 0, "route": self.route}
        variant = rng.choice(list(Variant)) if self.rollout else Variant.BLUE
        return self.plane.row(
            variant, calls, errors, ago=late, rollout=self.rollout, cost_n=calls, cost_sum=calls / 64, **more, **tables
        )

    def of(self, variant: Variant, step: int | None = None) -> list[Row]:
        return [row for _, row in self.rows if row.variant is variant and step in (None, row.step)]

    def before(self, since: int, until: int) -> list[Row]:
        """Blue's, in a history that ends then."""
        return [
            row
            for at, row in self.rows
            if since <= row.bucket < until and at.timestamp() <= until and row.variant is Variant.BLUE
        ]


def counted(rows: list[Row], table: str) -> dict[str, int]:
    found: Counter[str] = Counter()
    for row in rows:
        found.update({str(key): n for key, n in getattr(row, table).items()})
    return dict(found)


def check_rollout(plane: Plane, sent: Sent) -> None:
    """Everything that is read of a rollout is what its rows come to."""
    place = {"rollout": sent.rollout, "route": sent.route}
    with plane.engine.connect() as connection:
        for step in (None, 0, 1):
            for table in TABLES:
                found = observations.counted(connection, table, **place, step=step)
                plain = {variant: counted(sent.of(variant, step), table) for variant in Variant}
                assert found == {variant: counts for variant, counts in plain.items() if counts}
        for step in (0, 1):
            calls = [sum(row.calls for row in sent.of(variant, step)) for variant in Variant]
            green = sum(row.calls for row in sent.of(Variant.GREEN, step))
            assert observations.step_calls(connection, **place, step=step) == (sum(calls), green)
        for variant, row in observations.sums(connection, **place).items():
            for name in (*COUNTS, "cost_sum"):
                assert getattr(row, name) == sum(getattr(one, name) for one in sent.of(variant)), name


def check_history(plane: Plane, sent: Sent, since: int, until: int) -> None:
    before = summed.Past(rollouts=sorted({0, sent.rollout}), route=sent.route, since=since, until=until)
    rows = sent.before(since, until)
    with plane.engine.connect() as connection:
        for table in ("latency", "first_token", "costs", "stops"):
            assert blue_counts(connection, table, before) == counted(rows, table)
        errors = history(connection, CHECKS[0], before)
    assert (errors.n, errors.s) == (sum(row.judged for row in rows), sum(row.errors for row in rows))


def test_a_rollout_reads_the_same_before_and_after_any_summing_up(plane: Plane) -> None:
    rollout = plane.register()
    sent = Sent(plane, rollout.id)
    for _ in range(4):
        sent.go_on(1770)
        check_rollout(plane, sent)
        sum_up(plane.engine, now=plane.now)
        check_rollout(plane, sent)
    assert plane.one("SELECT sum(calls) FROM summed") > 0
    shown = read_rollout(plane.engine, rollout.id, now=plane.now)
    assert shown.blue_calls.calls == sum(row.calls for row in sent.of(Variant.BLUE))
    ended = plane.act(rollout.id, "abort")
    sent.go_on(60)  # calls that were under way, and late ones
    sum_up(plane.engine, now=plane.later(2 * SPAN))
    sent.go_on(60)
    assert not ended.is_live
    check_rollout(plane, sent)


@pytest.mark.parametrize("rollout", [0, 1], ids=["none live", "under a rollout"])
def test_any_history_is_that_of_its_rows_wherever_it_begins_and_ends(plane: Plane, rollout: int) -> None:
    if rollout:
        rollout = plane.register().id
    sent = Sent(plane, rollout)
    sent.go_on(4 * SPAN + 300)
    sum_up(plane.engine, now=plane.now)
    sent.go_on(3 * SPAN)
    sum_up(plane.engine, now=plane.now)
    sent.go_on(300)
    now, rng = int(plane.now.timestamp()), random.Random(2)
    places = [(now - 9 * SPAN, now), (now // SPAN * SPAN - 2 * SPAN, now // SPAN * SPAN), (now - 1, now)]
    places += [(now - rng.randrange(2000, 5000), now - rng.randrange(2000)) for _ in range(12)]
    for since, until in places:
        check_history(plane, sent, since, until)
    check_rollout(plane, sent)


def test_a_check_without_summed_rows_and_with_them_begins_with_the_same_history(plane: Plane) -> None:
    sent = Sent(plane, 0)
    sent.go_on(3 * SPAN)
    with plane.engine.connect() as connection:
        before = past(connection, 1, plane.now)
        plain = [history(connection, check, before) for check in CHECKS]
    sum_up(plane.engine, now=plane.now)
    with plane.engine.connect() as connection:
        assert [history(connection, check, before) for check in CHECKS] == plain
    assert plain[0].n > 0


def test_what_may_still_be_committed_is_not_summed_and_nothing_is_summed_twice(plane: Plane) -> None:
    rollout = plane.register()
    plane.observe(plane.row("blue", 7, rollout=rollout.id))
    sum_up(plane.engine, now=plane.later(SPAN + SETTLED - 1))
    assert plane.one("SELECT count(*) FROM summed") == 0
    for _ in range(2):
        sum_up(plane.engine, now=plane.later(1))
        assert plane.sql("SELECT calls, latency, first = last AS one FROM summed") == [(7, {}, True)]


def test_days_that_wait_to_be_summed_are_caught_up_with(plane: Plane) -> None:
    rollout = plane.register()
    for _ in range(5):
        plane.observe(plane.row("green", 3, rollout=rollout.id))
        plane.later(43_200)
    sum_up(plane.engine, now=plane.now)
    assert plane.one("SELECT count(*) FROM summed") == 5
    with plane.engine.connect() as connection:
        assert observations.step_calls(connection, rollout=rollout.id, route=1, step=0) == (15, 15)


def test_a_step_reads_what_came_in_after_the_last_sum_and_no_row_before_it(plane: Plane) -> None:
    rollout = plane.register(plan=PLAN)
    sent = Sent(plane, rollout.id)
    sent.go_on(4 * SPAN)
    sum_up(plane.engine, now=plane.now)
    before = observations_of(plane, rollout.id)
    plane.sql("DELETE FROM observations WHERE received_at < to_timestamp(:end)", end=end_of(plane, rollout.id))
    assert observations_of(plane, rollout.id) == before


def observations_of(plane: Plane, rollout: int) -> list[Any]:
    with plane.engine.connect() as connection:
        place = {"rollout": rollout, "route": 1}
        steps = [observations.step_calls(connection, **place, step=step) for step in (0, 1)]
        return [*steps, *(observations.counted(connection, table, **place) for table in TABLES)]


def end_of(plane: Plane, rollout: int) -> int:
    with plane.engine.connect() as connection:
        return summed.end(connection, rollout=rollout, route=1)


def test_schedulers_that_sum_up_at_once_make_one_sum(plane: Plane) -> None:
    plane.now = datetime.now(UTC) - timedelta(hours=3)
    rollout = plane.register()
    sent = Sent(plane, rollout.id)
    sent.go_on(4 * SPAN)
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(sum_up_pass, plane.engine) for _ in range(4)]:
            done.result()
    assert plane.one("SELECT sum(calls) FROM summed") == sum(row.calls for _, row in sent.rows)
    check_rollout(plane, sent)


def test_a_scheduler_whose_clock_is_ahead_sums_nothing_too_soon(plane: Plane) -> None:
    """What comes in after its ten minutes were summed would never count."""
    plane.now = datetime.now(UTC)
    rollout = plane.register()
    plane.observe(plane.row("blue", 7, rollout=rollout.id))
    sum_up_pass(plane.engine, now=plane.now + timedelta(hours=1))
    assert plane.one("SELECT count(*) FROM summed") == 0


def test_it_is_dropped_with_the_day_it_was_received(plane: Plane) -> None:
    plane.observe(plane.row("blue", 7))
    sum_up(plane.engine, now=plane.later(2 * SPAN))
    assert plane.one("SELECT count(*) FROM summed") == 1
    maintain(plane.engine, RETENTION, now=plane.later(86_400 * 32))
    assert plane.one("SELECT count(*) FROM summed") == 0
