"""Verdicts that are kept from annotators, what was stated about the judge, and how often the blind labels were used."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "withheld",
        sa.Column("audit_key", sa.String(64), primary_key=True),
        sa.Column("task", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("fingerprint", sa.String(200), primary_key=True),
        sa.Column("prediction", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "statements",
        sa.Column("id", _NUMBER, primary_key=True),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("fingerprint", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_statements_project_kind", "statements", ["project", "kind"])
    op.create_table(
        "looks",
        sa.Column("audit_key", sa.String(64), primary_key=True),
        sa.Column("fingerprint", sa.String(200), primary_key=True),
        sa.Column("labels_digest", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
