"""Create everything."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("shim_id", sa.UUID(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("shim_id", "sequence", name=op.f("pk_batches")),
    )
    op.create_index("ix_batches_received_at", "batches", ["received_at"], unique=False)
    op.create_table(
        "evaluations",
        sa.Column("rollout_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("step", sa.SmallInteger(), nullable=False),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("log_e_worse", sa.Float(), nullable=False),
        sa.Column("log_e_worse_needed", sa.Float(), nullable=False),
        sa.Column("verdicts", postgresql.JSONB(), nullable=False),
        sa.Column("conditions", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("rollout_id", "at", name=op.f("pk_evaluations")),
        postgresql_partition_by="RANGE (at)",
    )
    op.create_table(
        "heartbeats",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_heartbeats")),
    )
    op.create_table(
        "models",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("declaration", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
        sa.UniqueConstraint("name", name=op.f("uq_models_name")),
    )
    op.create_table(
        "observations",
        sa.Column("rollout_id", sa.Integer(), nullable=False),
        sa.Column("route_id", sa.Integer(), nullable=False),
        sa.Column("step", sa.SmallInteger(), nullable=False),
        sa.Column("variant", sa.Text(), nullable=False),
        sa.Column("bucket", sa.BigInteger(), nullable=False, comment="start, seconds since 1970"),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("judged", sa.BigInteger(), nullable=False),
        sa.Column("errors", sa.BigInteger(), nullable=False),
        sa.Column("busy", sa.BigInteger(), nullable=False),
        sa.Column("raised", sa.BigInteger(), nullable=False),
        sa.Column("retries", sa.BigInteger(), nullable=False),
        sa.Column("failovers", sa.BigInteger(), nullable=False),
        sa.Column("tokens_in", sa.BigInteger(), nullable=False),
        sa.Column("tokens_out", sa.BigInteger(), nullable=False),
        sa.Column("cost_n", sa.BigInteger(), nullable=False),
        sa.Column("cost_sum", sa.Float(), nullable=False),
        sa.Column("cost_sq", sa.Float(), nullable=False),
        sa.Column("outcomes", postgresql.JSONB(), nullable=False),
        sa.Column("attempts", postgresql.JSONB(), nullable=False),
        sa.Column("latency", postgresql.JSONB(), nullable=False),
        sa.Column("first_token", postgresql.JSONB(), nullable=False),
        sa.CheckConstraint("variant IN ('blue', 'green')", name=op.f("ck_observations_variant")),
        sa.CheckConstraint("0 <= errors AND errors <= judged AND judged <= calls", name=op.f("ck_observations_sums")),
        postgresql_partition_by="RANGE (bucket)",
    )
    op.create_index("ix_observations_place", "observations", ["rollout_id", "route_id", "bucket"], unique=False)
    op.create_table(
        "routes",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("blue", sa.Text(), nullable=False),
        sa.Column("blue_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("declaration", postgresql.JSONB(), nullable=False, comment="rules, fallbacks, policy and busy text"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="evidence and past rollouts outlive the route",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_routes")),
    )
    op.create_index("uq_routes_name", "routes", ["name"], unique=True, postgresql_where=sa.text("deleted_at IS NULL"))
    op.create_table(
        "scores",
        sa.Column("rollout_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("route_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("called_at", sa.BigInteger(), autoincrement=False, nullable=False, comment="seconds since 1970"),
        sa.Column("call", sa.Text(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("grader", sa.Text(), nullable=False),
        sa.Column("step", sa.SmallInteger(), nullable=False),
        sa.Column("variant", sa.Text(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("late_value", sa.Float(), nullable=True),
        sa.CheckConstraint("variant IN ('blue', 'green')", name=op.f("ck_scores_variant")),
        sa.CheckConstraint("late_value >= 0 AND late_value <= 1", name=op.f("ck_scores_late_value")),
        sa.CheckConstraint("value >= 0 AND value <= 1", name=op.f("ck_scores_value")),
        sa.PrimaryKeyConstraint(
            "rollout_id", "route_id", "called_at", "call", "metric", "grader", name=op.f("pk_scores")
        ),
        postgresql_partition_by="RANGE (called_at)",
    )
    op.create_table(
        "shims",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("snapshot_version", sa.BigInteger(), nullable=False),
        sa.Column("snapshot_age", sa.Float(), nullable=False),
        sa.Column("dropped", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shims")),
    )
    op.create_table(
        "snapshot_state",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("bucket_seconds", sa.Integer(), nullable=False),
        sa.CheckConstraint("bucket_seconds BETWEEN 1 AND 3600", name=op.f("ck_snapshot_state_bucket_seconds")),
        sa.CheckConstraint("id = 1", name=op.f("ck_snapshot_state_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshot_state")),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("role IN ('admin', 'operator', 'shim', 'viewer')", name=op.f("ck_tokens_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("hash", name=op.f("uq_tokens_hash")),
    )
    op.create_index("uq_tokens_name", "tokens", ["name"], unique=True, postgresql_where=sa.text("revoked_at IS NULL"))
    op.create_table(
        "rollouts",
        sa.Column("id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("route_id", sa.Integer(), nullable=False),
        sa.Column("blue", sa.Text(), nullable=False),
        sa.Column("green", sa.Text(), nullable=False),
        sa.Column("plan", postgresql.JSONB(), nullable=False),
        sa.Column("plan_hash", sa.Text(), nullable=False),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("step", sa.SmallInteger(), nullable=False),
        sa.Column("accepted", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("step_started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resumed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_evaluation", sa.DateTime(timezone=True), nullable=True),
        sa.Column("evaluated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "failures", sa.Integer(), server_default=sa.text("0"), nullable=False, comment="turns in a row that broke"
        ),
        sa.Column("act", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("worst", sa.Text(), nullable=True),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "(phase IN ('paused', 'pending', 'progressing')) = (ended_at IS NULL)", name=op.f("ck_rollouts_ended")
        ),
        sa.CheckConstraint(
            "next_evaluation IS NULL OR phase IN ('progressing', 'paused')",
            name=op.f("ck_rollouts_evaluated_while_running"),
        ),
        sa.CheckConstraint(
            "phase IN ('aborted', 'paused', 'pending', 'progressing', 'promoted', 'rolled_back', 'superseded')",
            name=op.f("ck_rollouts_phase"),
        ),
        sa.CheckConstraint("blue <> green", name=op.f("ck_rollouts_two_models")),
        sa.CheckConstraint("step >= 0", name=op.f("ck_rollouts_step")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_rollouts_version")),
        sa.ForeignKeyConstraint(["route_id"], ["routes.id"], name=op.f("fk_rollouts_route_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollouts")),
    )
    op.create_index(
        "ix_rollouts_next_evaluation",
        "rollouts",
        ["next_evaluation"],
        unique=False,
        postgresql_where=sa.text("next_evaluation IS NOT NULL"),
    )
    op.create_index("ix_rollouts_route_id", "rollouts", ["route_id", "id"], unique=False)
    op.create_index(
        "uq_rollouts_live",
        "rollouts",
        ["route_id"],
        unique=True,
        postgresql_where=sa.text("phase IN ('paused', 'pending', 'progressing')"),
    )
    op.create_table(
        "journal",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rollout_id", sa.Integer(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("numbers", postgresql.JSONB(), nullable=False),
        sa.Column("plan_hash", sa.Text(), nullable=True),
        sa.Column("step", sa.SmallInteger(), nullable=True),
        sa.Column("weight", sa.Float(), nullable=True),
        sa.CheckConstraint("actor_kind IN ('controller', 'person')", name=op.f("ck_journal_actor_kind")),
        sa.ForeignKeyConstraint(["rollout_id"], ["rollouts.id"], name=op.f("fk_journal_rollout_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journal")),
    )
    op.create_index("ix_journal_rollout_id", "journal", ["rollout_id", "id"], unique=False)
    op.execute(
        """
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'rows of % are never changed or removed', TG_TABLE_NAME
                USING ERRCODE = 'restrict_violation';
        END
        $$
        """
    )
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON journal"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.execute("INSERT INTO snapshot_state (id, version, bucket_seconds) VALUES (1, 1, 10)")


def downgrade() -> None:
    op.drop_table("journal")
    op.drop_table("rollouts")
    op.drop_table("tokens")
    op.drop_table("snapshot_state")
    op.drop_table("shims")
    op.drop_table("scores")
    op.drop_table("routes")
    op.drop_table("observations")
    op.drop_table("models")
    op.drop_table("heartbeats")
    op.drop_table("evaluations")
    op.drop_table("batches")
    op.execute("DROP FUNCTION refuse_change()")
