"""Add summed: what all shims sent within ten minutes as one row, and an index that finds what came after it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

COUNTS = ("calls", "judged", "errors", "busy", "raised", "retries", "failovers", "tokens_in", "tokens_out", "cost_n")
TABLES = ("outcomes", "attempts", "latency", "first_token", "costs", "stops")


def upgrade() -> None:
    op.create_table(
        "summed",
        sa.Column("rollout_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("route_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "received",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="start of the ten minutes, seconds since 1970",
        ),
        sa.Column("step", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("variant", sa.Text(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False, comment="the earliest bucket in it"),
        sa.Column("last", sa.BigInteger(), nullable=False, comment="the latest bucket in it"),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in COUNTS),
        sa.Column("cost_sum", sa.Float(), nullable=False),
        *(sa.Column(name, postgresql.JSONB(), nullable=False) for name in TABLES),
        sa.PrimaryKeyConstraint("rollout_id", "route_id", "received", "step", "variant", name=op.f("pk_summed")),
        postgresql_partition_by="RANGE (received)",
    )
    op.create_index("ix_observations_received", "observations", ["rollout_id", "route_id", "received_at"])


def downgrade() -> None:
    op.drop_index("ix_observations_received", "observations")
    op.drop_table("summed")
