"""Verdicts by content.

Stores of the first days have the table already, and no mark of a migration.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the table, unless it is there."""
    if sa.inspect(op.get_bind()).has_table("verdicts"):
        return
    op.create_table(
        "verdicts",
        sa.Column("content_key", sa.String(64), primary_key=True),
        sa.Column("fingerprint", sa.String(200), nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_verdicts_fingerprint", "verdicts", ["fingerprint"])
