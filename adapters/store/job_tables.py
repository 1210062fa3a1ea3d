"""The tables of jobs and their lines."""

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
)

from adapters.store.columns import MOMENT, literals
from adapters.store.tables import metadata
from headend.jobs import JobState

jobs = Table(
    "jobs",
    metadata,
    Column("tenant", ForeignKey("tenants.id"), primary_key=True),
    Column("id", String, primary_key=True),
    Column("digest", String, nullable=False),
    Column("size", Integer, nullable=False),
    Column("dry_run", Boolean, nullable=False),
    Column("skip_bad", Boolean, nullable=False),
    Column("ordered_by", String, nullable=False),
    Column("requesters", JSON, nullable=False),
    Column("state", String, nullable=False),
    Column("detail", String, nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Column("changed_at", MOMENT, nullable=False),
    # None: at once.
    Column("turn_at", MOMENT),
    Index("ix_jobs_time", "tenant", "created_at", "id"),
)
Index(
    "ix_jobs_working",
    jobs.c.created_at,
    sqlite_where=jobs.c.state.in_(literals([JobState.WORKING])),
    postgresql_where=jobs.c.state.in_(literals([JobState.WORKING])),
)

job_lines = Table(
    "job_lines",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("job_id", String, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("ident", String, nullable=False),
    Column("drn", String),
    Column("content", JSON(none_as_null=True)),
    Column("state", String, nullable=False),
    Column("problem", String),
    Column("detail", String, nullable=False),
    ForeignKeyConstraint(["tenant", "job_id"], ["jobs.tenant", "jobs.id"]),
    Index("ix_job_lines_state", "tenant", "job_id", "state", "number"),
)
