"""Evidence is read some buckets at a time, and comes to the same however many those are."""

from __future__ import annotations

import pytest
from plane import PLAN, Plane
from sqlalchemy import event

from crossfade.core.evidence import Series
from crossfade.server import gather
from crossfade.server.carry import carry
from crossfade.server.gather import evidence
from crossfade.server.store import rollouts
from crossfade.stats.carried import Carried


def lived(plane: Plane) -> int:
    """Five minutes of calls with keys."""
    rollout = plane.register(plan=PLAN)
    for place in range(30):
        for variant in ("blue", "green"):
            groups = {place % 7: (12, place % 3), 100: (3, 0)}
            plane.observe(plane.row(variant, 20, 4, rollout=rollout.id, keyed=15, groups=groups))
            plane.score((plane.call_id(rollout.id, variant), 0.5))
        plane.later(10)
    plane.later(60)
    return rollout.id


@pytest.mark.parametrize("at_once", [1, 7])
def test_all_evidence_is_the_same_whatever_is_read_at_a_time(
    plane: Plane, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    rollout = lived(plane)

    series, carried = both(plane, rollout)
    assert [len(one.buckets) for one in series] == [30, 30]
    assert all(bucket.green_groups.keys() == {place % 7, 100} for place, bucket in enumerate(series[0].buckets))
    monkeypatch.setattr(gather, "AT_ONCE", at_once)
    again, carried_again = both(plane, rollout)
    assert again == series
    for one, other in zip(carried, carried_again, strict=True):
        assert other.state.buckets == one.state.buckets > 0
        for process in ("worse", "gate"):
            log_e = getattr(one.state, process).log_e
            assert getattr(other.state, process).log_e == pytest.approx(log_e, rel=1e-12)


def both(plane: Plane, rollout: int) -> tuple[tuple[Series, ...], list[Carried]]:
    """All evidence as it is read for an explanation, and as a tick carries it that begins anew."""
    with plane.engine.connect() as connection:
        stored = rollouts.find(connection, rollout)
        series = evidence(connection, stored, stored.rollout.plan, plane.now)
        return series, carry(connection, stored, plane.now)


def test_what_waits_for_its_seal_is_counted_without_its_groups(plane: Plane) -> None:
    """A maturity may be days: that many rows by group would be read at every look, for one number."""
    rollout = plane.register(plan=PLAN | {"checks": [{"metric": "error_rate", "margin": 2, "maturity": 86_400}]})
    plane.later(10)
    plane.observe(plane.row("green", 20, 4, ago=5, rollout=rollout.id, keyed=15, groups={1: (12, 2), 100: (3, 0)}))
    said: list[str] = []
    plane.later(10)
    event.listen(plane.engine, "before_cursor_execute", lambda *asked: said.append(asked[2]))
    assert plane.tick() == 1
    assert (
        plane.one("SELECT conditions -> 'waiting' ->> 'error_rate' FROM evaluations ORDER BY at DESC LIMIT 1") == "20"
    )
    assert not [query for query in said if "jsonb_each(groups)" in query]
