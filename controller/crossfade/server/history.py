"""History: blue's losses before a check's evidence began, as they were when it first was judged.

They are kept with the rollout, since they do not stay as they are: a batch may be committed a moment after it was
stamped, a score of those calls replaced, and a day of observations dropped. What a decision rested on must stay.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from crossfade.core.evidence import Summary
from crossfade.core.plan import Check
from crossfade.server.store import rollouts
from crossfade.server.store.losses import history, past
from crossfade.server.store.rollouts import Stored


def read_history(connection: Connection, stored: Stored, check: Check, began: datetime) -> Summary:
    """What was kept; or, of a check that was never judged, such as another plan's, what is stored now."""
    kept = stored.histories.get(_key(check))
    if kept is not None:
        return Summary(int(kept["n"]), float(kept["s"]), float(kept["q"]))
    return history(connection, check, past(connection, stored.route_id, began))


def keep_history(connection: Connection, stored: Stored, check: Check, began: datetime) -> Summary:
    """The same, kept from now on. The transaction holds the rollout's row."""
    found = read_history(connection, stored, check, began)
    if _key(check) not in stored.histories:
        rollouts.keep_history(connection, stored.rollout.id, _key(check), {"n": found.n, "s": found.s, "q": found.q})
    return found


def _key(check: Check) -> str:
    """What a history depends on, besides the rollout."""
    return f"{check.metric} limit={check.limit!r} since={check.since!r}"
