"""Jobs: many orders from one file, and their lines."""

import sqlalchemy as sa
from alembic import op

from adapters.store.columns import MOMENT

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("tenant", sa.String, sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("dry_run", sa.Boolean, nullable=False),
        sa.Column("skip_bad", sa.Boolean, nullable=False),
        sa.Column("ordered_by", sa.String, nullable=False),
        sa.Column("requesters", sa.JSON, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("detail", sa.String, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
    )
    op.create_index("ix_jobs_time", "jobs", ["tenant", "created_at", "id"])
    working = sa.text("state IN ('working')")
    op.create_index(
        "ix_jobs_working",
        "jobs",
        ["created_at"],
        sqlite_where=working,
        postgresql_where=working,
    )
    op.create_table(
        "job_lines",
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("job_id", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("ident", sa.String, nullable=False),
        sa.Column("drn", sa.String),
        sa.Column("content", sa.JSON(none_as_null=True)),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("problem", sa.String),
        sa.Column("detail", sa.String, nullable=False),
        sa.ForeignKeyConstraint(["tenant", "job_id"], ["jobs.tenant", "jobs.id"]),
    )
    op.create_index("ix_job_lines_state", "job_lines", ["tenant", "job_id", "state", "number"])


def downgrade() -> None:
    op.drop_table("job_lines")
    op.drop_table("jobs")
