"""Sum up: what the shims sent, put together ten minutes at a time; read so, it costs little however many they are."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Engine

from crossfade.core.sealing import bucket_of
from crossfade.server.database import begin
from crossfade.server.store import rollouts, summed

LATELY = timedelta(days=1)
"""Of rollouts that ended longer ago hardly anything comes in: that is read as it is."""


def sum_up(engine: Engine, *, now: datetime) -> None:
    """Sums all that is complete and was not summed yet. Whatever is left out, or done twice, changes no answer."""
    until = bucket_of(now.timestamp() - summed.SETTLED, summed.SPAN)
    with begin(engine) as connection:
        places = rollouts.places_since(connection, now - LATELY)
    for rollout, route in places:
        more = True
        while more:
            with begin(engine) as connection:
                more = summed.add(connection, rollout=rollout, route=route, until=until)
