"""Calibrate: A/A replays of a plan on a route's own traffic, and what overdispersion to start with. Reads only."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from crossfade.core.plan import Plan, read_plan
from crossfade.core.reading import Reader
from crossfade.server.database import begin
from crossfade.server.limits import fix_limits, refuse_unpriced
from crossfade.server.store import declared
from crossfade.server.usecases.forecast import given_by_hand, read_known, recorded_of
from crossfade.simulation.calibrate import MOST_REPLAYS, calibrate, measure, started_with
from crossfade.simulation.calibration import Calibration
from crossfade.simulation.recording import Recording

PATIENT_REPLAYS, PATIENT_LOOKS = 1_000, 2_000
"""For a person who asked, and waits ten seconds."""


def calibrate_route(engine: Engine, body: object, *, now: datetime) -> dict[str, Any]:
    """{"route", "overdispersion": what each check starts with, by metric, "calibration"} for {"route", "plan",
    "replays", "seed"}.

    The calibration is of the plan as it would be registered: with what was measured where it has no overdispersion.
    Raises `NotFound` for the route, `Invalid` with every problem of the body.
    """
    reader = Reader(body)
    route = reader.text("route")
    part = reader.section("plan")
    plan = read_plan(part)
    replays = reader.integer("replays", PATIENT_REPLAYS, least=100, most=MOST_REPLAYS)
    seed = reader.integer("seed", 1, least=0)
    reader.close()
    reader.check()
    with begin(engine, snapshot=True) as connection:
        stored = declared.find_route(connection, route)
        plan = fix_limits(connection, part, plan, stored.id, now)
        refuse_unpriced(part, enumerate(plan.checks), [declared.all_models(connection)[stored.route.blue]])
        reader.check()
        recording = recorded_of(connection, stored, plan, read_known(connection, stored, plan, now), now)
    plan, found = calibrated(
        plan, recording, given=given_by_hand(body), replays=replays, seed=seed, looks=PATIENT_LOOKS
    )
    return {
        "route": route,
        "overdispersion": {check.metric: check.overdispersion for check in plan.checks},
        "calibration": found.to_dict(),
    }


def calibrated(plan: Plan, recording: Recording, *, given: Collection[str], **how: int) -> tuple[Plan, Calibration]:
    """The plan with the overdispersion its checks start with, but of those `given`; and how it does on this traffic."""
    found = measure(plan, recording)
    plan = started_with(plan, found, given)
    return plan, calibrate(plan, recording, found, **how)
