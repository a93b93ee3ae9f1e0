"""Add shadow: green's copies of calls, and the pairs they make with them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("observations", "summed"):
        op.add_column(table, sa.Column("copies", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    pairs = sa.Column("pairs", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False)
    op.add_column("observations", pairs)


def downgrade() -> None:
    # A copy that is kept as a call of green's would be a call that nobody made.
    op.execute("DELETE FROM observations WHERE copies > 0")
    op.execute("DELETE FROM summed WHERE copies > 0")
    op.drop_column("observations", "pairs")
    for table in ("observations", "summed"):
        op.drop_column(table, "copies")
