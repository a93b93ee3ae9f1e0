"""Add histories: what the evidence of a rollout's checks began with, kept as it was read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    column = sa.Column("histories", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False)
    op.add_column("rollouts", column)


def downgrade() -> None:
    op.drop_column("rollouts", "histories")
