"""Route: everything its page shows, with or without a rollout: how it is declared, and how its calls went of late."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from crossfade.core.model import Model
from crossfade.core.policy import describe_settings
from crossfade.core.route import Route
from crossfade.server.database import begin
from crossfade.server.store import declared, observations, rollouts
from crossfade.server.store.rollouts import Stored
from crossfade.server.views.alarm import LATELY, alarm

MOST_ROLLOUTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Calls that one Model answered in one region; both are empty for those that none did."""

    model: str
    region: str
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """A route's calls of the last ten minutes, in all services and variants, without copies. `outcomes` counts calls by
    class, `attempts` their attempts, `served` calls by who answered, most first.
    """

    calls: int
    busy: int
    raised: int
    retries: int
    failovers: int
    outcomes: dict[str, int]
    attempts: dict[str, int]
    served: tuple[Served, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutePage:
    """`models` are those the route uses, each with what it is there: blue, green of the live rollout, fallback."""

    route: Route
    blue_since: datetime
    models: tuple[tuple[str, Model], ...]
    settings: list[dict[str, Any]]
    late: Late
    alarm: str
    """What is wrong with the calls of late, see `views.alarm`."""
    live: Stored | None
    past: tuple[Stored, ...]


def route_page(engine: Engine, name: str, *, now: datetime) -> RoutePage:
    """Raises `NotFound`."""
    with begin(engine, snapshot=True) as connection:
        stored = declared.find_route(connection, name)
        since = now - LATELY
        of_route = rollouts.listed(connection, route_id=stored.id, most=MOST_ROLLOUTS)
        live = next((each for each in of_route if each.rollout.is_live), None)
        names = [("blue", stored.route.blue)] + ([("green", live.rollout.green)] if live else [])
        names += [("fallback", fallback) for fallback in stored.route.fallbacks]
        models = declared.all_models(connection)
        ids = rollouts.ids_since(connection, stored.id, since)
        found, (outcomes, attempts), served = observations.late(
            connection, rollouts=ids, route=stored.id, since=since.timestamp()
        )
        wrong = alarm(connection, stored, now)
    return RoutePage(
        route=stored.route,
        blue_since=stored.blue_since,
        models=tuple((role, models[name]) for role, name in names),
        settings=describe_settings(stored.route.policy),
        late=Late(
            **found._mapping,
            outcomes=outcomes,
            attempts=attempts,
            served=tuple(Served(**each._mapping) for each in served),
        ),
        alarm=wrong,
        live=live,
        past=tuple(each for each in of_route if not each.rollout.is_live),
    )
