"""Which servers stand by what is owed; what was owed before is claimed by nobody, so that any may take it over."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "claims",
        sa.Column("project", sa.String(64), primary_key=True),
        sa.Column("fingerprint", sa.String(200), primary_key=True),
        sa.Column("seen_at", sa.Float, nullable=False),
    )
    op.execute("INSERT INTO claims (project, fingerprint, seen_at) SELECT DISTINCT project, fingerprint, 0.0 FROM jobs")
