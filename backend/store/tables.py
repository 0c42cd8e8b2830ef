"""The tables as the code sees them; a test holds them against what the migrations make."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Float, Index, Integer, MetaData, String, Table, Text
from sqlalchemy import UniqueConstraint as Unique

METADATA = MetaData()

_NUMBER = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts up only what it calls INTEGER."""

VERDICTS = Table(
    "verdicts",
    METADATA,
    Column("content_key", String(64), primary_key=True),
    Column("fingerprint", String(200), nullable=False, index=True),
    Column("verdict", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

JOBS = Table(
    "jobs",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    Column("project", String(64), nullable=False),
    Column("task", BigInteger, nullable=False),
    Column("fingerprint", String(200), nullable=False),
    Column("state", String(16), nullable=False),
    Column("due_at", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("reason", Text),
    Column("created_at", Float, nullable=False),
    Unique("project", "task", "fingerprint", name="uq_jobs_project_task_fingerprint"),
    Index("ix_jobs_due_at", "due_at"),
)

CLAIMS = Table(
    "claims",
    METADATA,
    Column("project", String(64), primary_key=True),
    Column("fingerprint", String(200), primary_key=True),
    Column("seen_at", Float, nullable=False),
)

WITHHELD = Table(
    "withheld",
    METADATA,
    Column("audit_key", String(64), primary_key=True),
    Column("task", BigInteger, primary_key=True, autoincrement=False),
    Column("fingerprint", String(200), primary_key=True),
    Column("prediction", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

STATEMENTS = Table(
    "statements",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    Column("project", String(64), nullable=False),
    Column("fingerprint", String(200), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Index("ix_statements_project_kind", "project", "kind"),
)

LOOKS = Table(
    "looks",
    METADATA,
    Column("audit_key", String(64), primary_key=True),
    Column("fingerprint", String(200), primary_key=True),
    Column("labels_digest", String(64), primary_key=True),
    Column("number", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

FEEDBACK = Table(
    "feedback",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    Column("project", String(64), nullable=False),
    Column("task", BigInteger),
    Column("annotation", BigInteger, nullable=False),
    Column("updated_at", String(40), nullable=False),
    Column("payload", Text, nullable=False),
    Column("deleted_at", DateTime(timezone=True)),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Unique("project", "annotation", name="uq_feedback_project_annotation"),
)
