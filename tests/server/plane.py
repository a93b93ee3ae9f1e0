"""A control plane to act on: real Postgres, no network. `Plane` says in one line what a shim or a person does."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, text

from crossfade.core import callid
from crossfade.core.model import Target
from crossfade.core.observation import Row, row_to_dict
from crossfade.core.rollout import Rollout
from crossfade.core.split import Variant
from crossfade.server.keys import call_id_key
from crossfade.server.lookup import Found, Lookup
from crossfade.server.tick import tick
from crossfade.server.usecases import act, amend, apply, ingest, register

SECRET = "s" * 40
START = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
ROUTE = "anthropic.claude-3-haiku-20240307-v1:0"

PLAN: dict[str, Any] = {
    "steps": [{"weight": 10, "bake": 60}, {"weight": 50, "bake": 60}],
    "checks": [
        {"metric": "error_rate", "margin": 2, "maturity": 20},
        {"metric": "score.accuracy", "margin": 5, "maturity": 20},
    ],
    "least_green_calls": 10,
}


def model(name: str, **more: Any) -> dict[str, Any]:
    price = {"input_per_1k": 0.003, "output_per_1k": 0.015}
    return {"name": name, "targets": [{"region": "us-east-1", "model_id": f"vendor.{name}"}], "price": price, **more}


DECLARED: dict[str, Any] = {
    "models": [model("old"), model("new"), model("spare")],
    "routes": [{"name": ROUTE, "blue": "old", "fallbacks": ["spare"]}, {"name": "other", "blue": "old"}],
}


class KnowsAll:
    """Finds every target."""

    def find(self, target: Target) -> Lookup:
        return Lookup(region=target.region, model_id=target.model_id, found=Found.YES)


class Plane:
    """A control plane with two routes and three Models; `now` moves only when told."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.now = START
        self.shim = str(uuid.uuid4())
        self.sequence = 0
        apply.apply_declarations(engine, DECLARED, actor="ann", now=self.now)

    def later(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now

    def register(self, route: str = ROUTE, green: str = "new", **more: Any) -> Rollout:
        body = {"green": green, "plan": PLAN, "reason": "cheaper", **more}
        found = register.register_rollout(self.engine, route, body, actor="ann", now=self.now, lookup=KnowsAll())
        return found.rollout

    def act(self, rollout_id: int, verb: str, **more: Any) -> Rollout:
        more = {"reason": "because", "actor": "ann", "now": self.now, **more}
        return act.act(self.engine, rollout_id, verb, **more)

    def amend(self, rollout_id: int, *checks: dict[str, Any], reason: str = "because", **more: Any) -> amend.Amended:
        body = {"checks": list(checks), "reason": reason, **more}
        return amend.amend_checks(self.engine, rollout_id, body, actor="ann", now=self.now)

    def tick(self) -> int:
        return tick(self.engine, now=self.now)

    def batch(self, *rows: Row, shim: str | None = None, sequence: int | None = None) -> dict[str, Any]:
        self.sequence += 1
        return {
            "shim": shim or self.shim,
            "sequence": self.sequence if sequence is None else sequence,
            "service": "checkout",
            "shim_version": "0.1.0",
            "snapshot_version": 2,
            "snapshot_age": 1.5,
            "dropped": 0,
            "sent_at": self.now.timestamp(),
            "rows": [row_to_dict(row) for row in rows],
        }

    def observe(self, *rows: Row) -> bool:
        return ingest.record_batch(self.engine, self.batch(*rows), now=self.now)

    def row(self, variant: str = "blue", calls: int = 10, errors: int = 0, *, ago: float = 0, **more: Any) -> Row:
        """A row of calls that began `ago` seconds before now, on route 1."""
        began = int(self.now.timestamp() - ago)
        counts: dict[str, int] = {"ok": calls - errors} | ({"model_error": errors} if errors else {})
        values = {
            "route": 1,
            "rollout": 0,
            "step": 0,
            "judged": calls,
            "outcomes": counts,
            "attempts": counts,
            "model": "old",
        } | more
        return Row(variant=Variant(variant), bucket=began - began % 10, calls=calls, errors=errors, **values)

    def call_id(self, rollout: int = 0, variant: str = "blue", *, ago: float = 0, step: int = 0, route: int = 1) -> str:
        return callid.mint(
            call_id_key(SECRET),
            rollout=rollout,
            route=route,
            step=step,
            variant=Variant(variant),
            called_at=self.now.timestamp() - ago,
        )

    def score(self, *scores: tuple[str, float], metric: str = "accuracy", grader: str = "default") -> int:
        body = {
            "scores": [{"call_id": call, "metric": metric, "value": value, "grader": grader} for call, value in scores]
        }
        return ingest.record_scores(self.engine, body, now=self.now, secret=SECRET)

    def sql(self, query: str, **values: Any) -> list[Any]:
        with self.engine.begin() as connection:
            result = connection.execute(text(query), values)
            return list(result) if result.returns_rows else []

    def one(self, query: str, **values: Any) -> Any:
        return self.sql(query, **values)[0][0]
