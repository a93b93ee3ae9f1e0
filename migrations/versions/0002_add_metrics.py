"""Add what the metrics are counted from: stop reasons, costs, groups of keys; and rows refused for their time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("costs", "stops", "groups"):
        op.add_column(
            "observations", sa.Column(name, postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False)
        )
    op.add_column("observations", sa.Column("keyed", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column(
        "scores",
        sa.Column("grp", sa.SmallInteger(), nullable=True, comment="of the call's stickiness key; null without one"),
    )
    op.add_column("shims", sa.Column("refused", sa.BigInteger(), server_default=sa.text("0"), nullable=False))


def downgrade() -> None:
    op.drop_column("shims", "refused")
    op.drop_column("scores", "grp")
    for name in ("keyed", "groups", "stops", "costs"):
        op.drop_column("observations", name)
