"""Schema: every table, in one metadata. The migrations must equal it; a test compares them."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from crossfade.core.phase import LIVE, Phase
from crossfade.core.split import Variant

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)

ROLES = ("viewer", "operator", "admin", "shim")
DAILY = {"observations": "bucket", "summed": "received", "scores": "called_at", "evaluations": "at"}
"""The tables partitioned by day, and the column that says the day."""


def _one_of(column: str, allowed: type[StrEnum] | frozenset[Phase] | tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(str(value)) for value in sorted(allowed))})"


def _time(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _counts(*names: str) -> list[Column[int]]:
    return [Column(name, BigInteger, nullable=False) for name in names]


def _table(name: str) -> Column[object]:
    return Column(name, JSONB, nullable=False)


def _added_table(name: str) -> Column[object]:
    """One that a controller of the version before does not write yet."""
    return Column(name, JSONB, nullable=False, server_default=text("'{}'"))


# Nothing refers to a Model by key: past rollouts keep its name after it is gone.
models = Table(
    "models",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("declaration", JSONB, nullable=False),
    _time("created_at"),
    _time("updated_at"),
)

routes = Table(
    "routes",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("name", Text, nullable=False),
    Column("blue", Text, nullable=False),
    _time("blue_since"),
    Column("declaration", JSONB, nullable=False, comment="rules, fallbacks, policy and busy text"),
    _time("created_at"),
    _time("updated_at"),
    Column("deleted_at", DateTime(timezone=True), comment="evidence and past rollouts outlive the route"),
)
Index("uq_routes_name", routes.c.name, unique=True, postgresql_where=routes.c.deleted_at.is_(None))

rollouts = Table(
    "rollouts",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("route_id", ForeignKey("routes.id"), nullable=False),
    Column("blue", Text, nullable=False),
    Column("green", Text, nullable=False),
    Column("plan", JSONB, nullable=False),
    Column("plan_hash", Text, nullable=False),
    Column("salt", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("step", SmallInteger, nullable=False),
    Column("accepted", ARRAY(Text), nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_by", Text, nullable=False),
    _time("created_at"),
    _time("started_at", nullable=True),
    _time("step_started_at", nullable=True),
    _time("resumed_at", nullable=True),
    _time("ended_at", nullable=True),
    _time("next_evaluation", nullable=True),
    _time("evaluated_at", nullable=True),
    Column("failures", Integer, nullable=False, server_default=text("0"), comment="turns in a row that broke"),
    Column("act", Text),
    Column("reason", Text),
    Column("worst", Text),
    Column("sentence", Text, nullable=False),
    _added_table("histories"),
    CheckConstraint(_one_of("phase", Phase), name="phase"),
    CheckConstraint("step >= 0", name="step"),
    CheckConstraint("version >= 1", name="version"),
    CheckConstraint("blue <> green", name="two_models"),
    CheckConstraint(f"({_one_of('phase', LIVE)}) = (ended_at IS NULL)", name="ended"),
    CheckConstraint("next_evaluation IS NULL OR phase IN ('progressing', 'paused')", name="evaluated_while_running"),
)
Index("ix_rollouts_route_id", rollouts.c.route_id, rollouts.c.id)
Index("uq_rollouts_live", rollouts.c.route_id, unique=True, postgresql_where=text(_one_of("phase", LIVE)))
Index(
    "ix_rollouts_next_evaluation",
    rollouts.c.next_evaluation,
    postgresql_where=rollouts.c.next_evaluation.is_not(None),
)

# Rows of the journal are never changed or removed: a trigger of the migration refuses it.
journal = Table(
    "journal",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    _time("at"),
    Column("rollout_id", ForeignKey("rollouts.id")),
    Column("subject", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("act", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("sentence", Text, nullable=False),
    Column("numbers", JSONB, nullable=False),
    Column("plan_hash", Text),
    Column("step", SmallInteger),
    Column("weight", Float),
    CheckConstraint(_one_of("actor_kind", ("controller", "person")), name="actor_kind"),
)
Index("ix_journal_rollout_id", journal.c.rollout_id, journal.c.id)

evaluations = Table(
    "evaluations",
    metadata,
    Column("rollout_id", Integer, primary_key=True, autoincrement=False),
    Column("at", DateTime(timezone=True), primary_key=True),
    Column("step", SmallInteger, nullable=False),
    Column("weight", Float, nullable=False),
    Column("act", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("sentence", Text, nullable=False),
    Column("log_e_worse", Float, nullable=False),
    Column("log_e_worse_needed", Float, nullable=False),
    _table("verdicts"),
    _table("conditions"),
    Column("split", JSONB, comment="null in looks of a version that did not ask"),
    postgresql_partition_by="RANGE (at)",
)

# Appended and summed when read, never updated: rollout 0 holds what was called while none was live.
observations = Table(
    "observations",
    metadata,
    Column("rollout_id", Integer, nullable=False),
    Column("route_id", Integer, nullable=False),
    Column("step", SmallInteger, nullable=False),
    Column("variant", Text, nullable=False),
    Column("bucket", BigInteger, nullable=False, comment="start, seconds since 1970"),
    _time("received_at"),
    Column("model", Text, nullable=False),
    Column("region", Text, nullable=False),
    *_counts("calls", "judged", "errors", "busy", "raised", "retries", "failovers"),
    *_counts("tokens_in", "tokens_out", "cost_n"),
    Column("cost_sum", Float, nullable=False),
    Column("cost_sq", Float, nullable=False),
    _table("outcomes"),
    _table("attempts"),
    _table("latency"),
    _table("first_token"),
    _added_table("costs"),
    _added_table("stops"),
    _added_table("groups"),
    Column("keyed", BigInteger, nullable=False, server_default=text("0")),
    Column("copies", BigInteger, nullable=False, server_default=text("0")),
    _added_table("pairs"),
    CheckConstraint(_one_of("variant", Variant), name="variant"),
    CheckConstraint("0 <= errors AND errors <= judged AND judged <= calls", name="sums"),
    Index("ix_observations_place", "rollout_id", "route_id", "bucket"),
    Index("ix_observations_received", "rollout_id", "route_id", "received_at"),
    postgresql_partition_by="RANGE (bucket)",
)

# A saving of work: what all shims sent within ten minutes as one row; never what is still arriving.
summed = Table(
    "summed",
    metadata,
    Column("rollout_id", Integer, primary_key=True, autoincrement=False),
    Column("route_id", Integer, primary_key=True, autoincrement=False),
    Column(
        "received",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="start of the ten minutes, seconds since 1970",
    ),
    Column("step", SmallInteger, primary_key=True, autoincrement=False),
    Column("variant", Text, primary_key=True),
    Column("first", BigInteger, nullable=False, comment="the earliest bucket in it"),
    Column("last", BigInteger, nullable=False, comment="the latest bucket in it"),
    *_counts("calls", "judged", "errors", "busy", "raised", "retries", "failovers"),
    *_counts("tokens_in", "tokens_out", "cost_n"),
    Column("cost_sum", Float, nullable=False),
    _table("outcomes"),
    _table("attempts"),
    _table("latency"),
    _table("first_token"),
    _table("costs"),
    _table("stops"),
    Column("copies", BigInteger, nullable=False, server_default=text("0")),
    postgresql_partition_by="RANGE (received)",
)

# One row a (call, metric, grader). What replaces a score after it was sealed is kept beside it, not judged.
scores = Table(
    "scores",
    metadata,
    Column("rollout_id", Integer, primary_key=True, autoincrement=False),
    Column("route_id", Integer, primary_key=True, autoincrement=False),
    Column("called_at", BigInteger, primary_key=True, autoincrement=False, comment="seconds since 1970"),
    Column("call", Text, primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("grader", Text, primary_key=True),
    Column("step", SmallInteger, nullable=False),
    Column("variant", Text, nullable=False),
    Column("value", Float, nullable=False),
    _time("received_at"),
    Column("late_value", Float),
    Column("grp", SmallInteger, comment="of the call's stickiness key; null without one"),
    CheckConstraint(_one_of("variant", Variant), name="variant"),
    CheckConstraint("value >= 0 AND value <= 1", name="value"),
    CheckConstraint("late_value >= 0 AND late_value <= 1", name="late_value"),
    postgresql_partition_by="RANGE (called_at)",
)

# A saving of work: what it holds can be computed anew from observations and scores.
carried = Table(
    "carried",
    metadata,
    Column("rollout_id", ForeignKey("rollouts.id"), primary_key=True),
    Column("metric", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("sealed", BigInteger, nullable=False, comment="start of the last bucket in it"),
    _table("document"),
)

batches = Table(
    "batches",
    metadata,
    Column("shim_id", UUID(as_uuid=True), primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    _time("received_at"),
)
Index("ix_batches_received_at", batches.c.received_at)

shims = Table(
    "shims",
    metadata,
    Column("id", UUID(as_uuid=True), primary_key=True),
    Column("service", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("snapshot_version", BigInteger, nullable=False),
    Column("snapshot_age", Float, nullable=False),
    Column("dropped", BigInteger, nullable=False),
    _time("last_seen"),
    Column("refused", BigInteger, nullable=False, server_default=text("0")),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("created_by", Text, nullable=False),
    _time("created_at"),
    _time("last_used_at", nullable=True),
    _time("revoked_at", nullable=True),
    CheckConstraint(_one_of("role", ROLES), name="role"),
)
Index("uq_tokens_name", tokens.c.name, unique=True, postgresql_where=tokens.c.revoked_at.is_(None))

# One row. Every change that alters the snapshot raises the version in its own transaction, as its last statement.
snapshot_state = Table(
    "snapshot_state",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
    Column("bucket_seconds", Integer, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
    CheckConstraint("bucket_seconds BETWEEN 1 AND 3600", name="bucket_seconds"),
)

heartbeats = Table(
    "heartbeats",
    metadata,
    Column("name", Text, primary_key=True),
    _time("at"),
)
