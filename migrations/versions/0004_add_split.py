"""Add split: what each look knew of the share of the calls that green got."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    column = sa.Column("split", postgresql.JSONB(), comment="null in looks of a version that did not ask")
    op.add_column("evaluations", column)


def downgrade() -> None:
    op.drop_column("evaluations", "split")
