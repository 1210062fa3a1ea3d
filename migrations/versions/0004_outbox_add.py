"""The outbox to the back-office: announcements, webhooks, and what is posted to them."""

import sqlalchemy as sa
from alembic import op

from adapters.store.columns import COUNTER, MOMENT

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_announcements()
    _create_counters_and_tail()
    _create_webhooks()
    _create_postings()


def downgrade() -> None:
    for table in (
        "postings",
        "webhooks",
        "announcement_tail",
        "announcement_counters",
        "announcements",
    ):
        op.drop_table(table)


def _create_announcements() -> None:
    op.create_table(
        "announcements",
        sa.Column("number", COUNTER, primary_key=True),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("drn", sa.String, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("occurrence", sa.String, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("cursor", sa.BigInteger),
    )
    for name, columns, unique in (
        ("uq_announcements_sequence", ["tenant", "drn", "sequence"], True),
        ("uq_announcements_cursor", ["cursor"], True),
        ("ix_announcements_stream", ["tenant", "cursor"], False),
        ("ix_announcements_at", ["at"], False),
    ):
        op.create_index(name, "announcements", columns, unique=unique)
    _index("ix_announcements_unordered", "announcements", "number", where="cursor IS NULL")


def _create_counters_and_tail() -> None:
    op.create_table(
        "announcement_counters",
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("drn", sa.String, primary_key=True),
        sa.Column("last", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "announcement_tail",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("newest", sa.BigInteger, nullable=False),
        sa.Column("pruned", sa.BigInteger, nullable=False),
    )


def _create_webhooks() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column(
            "tenant",
            sa.String,
            sa.ForeignKey("tenants.id", name="fk_webhooks_tenants"),
            nullable=False,
        ),
        sa.Column("url", sa.String, nullable=False),
        sa.Column("description", sa.String, nullable=False),
        sa.Column("types", sa.JSON, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("paused_by", sa.String),
        sa.Column("nonce", sa.LargeBinary, nullable=False),
        sa.Column("ciphertext", sa.LargeBinary, nullable=False),
        sa.Column("master_id", sa.String, nullable=False),
        sa.Column("old_nonce", sa.LargeBinary),
        sa.Column("old_ciphertext", sa.LargeBinary),
        sa.Column("old_master_id", sa.String),
        sa.Column("old_until", MOMENT),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("failing_since", MOMENT),
        sa.Column("rest_until", MOMENT),
        sa.Column("status", sa.Integer),
        sa.Column("detail", sa.String, nullable=False),
        sa.Column("told_at", MOMENT),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
    )
    op.create_index("ix_webhooks_tenant", "webhooks", ["tenant", "created_at", "id"])


def _create_postings() -> None:
    op.create_table(
        "postings",
        sa.Column("webhook_id", sa.String, primary_key=True),
        sa.Column("cursor", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("drn", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("not_before", MOMENT, nullable=False),
        sa.Column("give_up_at", MOMENT, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("detail", sa.String, nullable=False),
        sa.Column("lease_id", sa.String),
        sa.Column("lease_until", MOMENT),
        sa.Column("ended_at", MOMENT),
    )
    op.create_index("ix_postings_ended", "postings", ["state", "ended_at"])
    pending, dead = "state IN ('pending')", "state IN ('dead')"
    _index("ix_postings_due", "postings", "webhook_id", "not_before", "cursor", where=pending)
    _index("ix_postings_meter", "postings", "webhook_id", "drn", "cursor", where=pending)
    _index("ix_postings_dead", "postings", "webhook_id", "cursor", where=dead)
    _index("ix_postings_kept", "postings", "cursor", where="state IN ('dead', 'pending')")


def _index(name: str, table: str, *columns: str, where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, list(columns), sqlite_where=condition, postgresql_where=condition)
