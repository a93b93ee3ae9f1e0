"""Add carried: each check's evidence as the last tick left it, so that the next one reads only what is new."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "carried",
        sa.Column("rollout_id", sa.Integer(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("sealed", sa.BigInteger(), nullable=False, comment="start of the last bucket in it"),
        sa.Column("document", postgresql.JSONB(), nullable=False),
        sa.ForeignKeyConstraint(["rollout_id"], ["rollouts.id"], name=op.f("fk_carried_rollout_id")),
        sa.PrimaryKeyConstraint("rollout_id", "metric", name=op.f("pk_carried")),
    )


def downgrade() -> None:
    op.drop_table("carried")
