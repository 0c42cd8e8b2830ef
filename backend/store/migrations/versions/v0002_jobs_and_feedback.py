"""What is owed to Label Studio, and what people said there."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "jobs",
        sa.Column("id", _NUMBER, primary_key=True),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("task", sa.BigInteger, nullable=False),
        sa.Column("fingerprint", sa.String(200), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("due_at", sa.Float, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.UniqueConstraint("project", "task", "fingerprint", name="uq_jobs_project_task_fingerprint"),
    )
    op.create_index("ix_jobs_due_at", "jobs", ["due_at"])
    op.create_table(
        "feedback",
        sa.Column("id", _NUMBER, primary_key=True),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("task", sa.BigInteger),
        sa.Column("annotation", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.String(40), nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("project", "annotation", name="uq_feedback_project_annotation"),
    )
