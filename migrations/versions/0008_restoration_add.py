"""Restoration: clocks, escalations, compensations, what meters answer, and messages sent."""

import sqlalchemy as sa
from alembic import op

from adapters.store.columns import MOMENT

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = (
    "restoration_clocks",
    "escalations",
    "compensations",
    "answer_histories",
    "sent_messages",
)


def upgrade() -> None:
    op.add_column("supply_groups", sa.Column("restoration", sa.JSON))
    _create_restoration_clocks()
    _create_escalations()
    _create_compensations()
    _create_answer_histories()
    _create_sent_messages()


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
    with op.batch_alter_table("supply_groups") as groups:
        groups.drop_column("restoration")


def _create_restoration_clocks() -> None:
    op.create_table(
        "restoration_clocks",
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("recharge_id", sa.String, primary_key=True),
        sa.Column("drn", sa.String, nullable=False),
        sa.Column("sgc", sa.String, nullable=False),
        sa.Column("paid_at", MOMENT, nullable=False),
        sa.Column("digits_due_at", MOMENT, nullable=False),
        sa.Column("tell_at", MOMENT, nullable=False),
        sa.Column("limit_at", MOMENT, nullable=False),
        sa.Column("sight", sa.String),
        sa.Column("choice", sa.String),
        sa.Column("chance_percent", sa.Integer),
        sa.Column("told_at", MOMENT),
        sa.Column("limit_passed_at", MOMENT),
        sa.Column("ended_at", MOMENT),
        sa.Column("ended_by", sa.String),
        sa.Column("due_at", MOMENT),
        sa.Column("version", sa.Integer, nullable=False),
        _of_recharge(),
    )
    _due_index("ix_restoration_clocks_due", "restoration_clocks", "due_at")


def _create_escalations() -> None:
    op.create_table(
        "escalations",
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("recharge_id", sa.String, primary_key=True),
        sa.Column("threshold", sa.String, primary_key=True),
        sa.Column("contacts", sa.JSON, nullable=False),
        sa.Column("language", sa.String, nullable=False),
        sa.Column("made_at", MOMENT, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("not_before", MOMENT),
        sa.Column("given_at", MOMENT),
        _of_recharge(),
    )
    _due_index("ix_escalations_due", "escalations", "not_before")


def _create_compensations() -> None:
    op.create_table(
        "compensations",
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("recharge_id", sa.String, primary_key=True),
        sa.Column("drn", sa.String, nullable=False),
        sa.Column("sgc", sa.String, nullable=False),
        sa.Column("usage_point", sa.String),
        sa.Column("reference", sa.String),
        sa.Column("paid_at", MOMENT, nullable=False),
        sa.Column("limit_at", MOMENT, nullable=False),
        sa.Column("recorded_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT),
        sa.Column("ended_by", sa.String),
        sa.Column("cause", sa.String, nullable=False),
        _of_recharge(),
    )
    op.create_index("ix_compensations_time", "compensations", ["tenant", "limit_at", "recharge_id"])
    op.create_index(
        "ix_compensations_group", "compensations", ["tenant", "sgc", "limit_at", "recharge_id"]
    )


def _create_answer_histories() -> None:
    op.create_table(
        "answer_histories",
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("drn", sa.String, primary_key=True),
        sa.Column("tried", sa.JSON, nullable=False),
        sa.Column("answered", sa.JSON, nullable=False),
        sa.Column("silent_run", sa.Integer, nullable=False),
        sa.Column("silent_at", MOMENT),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["tenant", "drn"], ["meters.tenant", "meters.drn"]),
    )


def _create_sent_messages() -> None:
    op.create_table(
        "sent_messages",
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("delivery_id", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("address", sa.String, nullable=False),
        sa.Column("provider", sa.String, nullable=False),
        sa.Column("reference", sa.String, nullable=False),
        sa.Column("sent_at", MOMENT, nullable=False),
        sa.Column("receipt", sa.String, nullable=False),
        sa.Column("receipt_at", MOMENT),
        sa.Column("again_at", MOMENT),
        sa.Column("asked_at", MOMENT),
        sa.ForeignKeyConstraint(["tenant", "delivery_id"], ["deliveries.tenant", "deliveries.id"]),
    )
    op.create_index(
        "ix_sent_messages_delivery", "sent_messages", ["tenant", "delivery_id", "sent_at", "id"]
    )
    op.create_index(
        "ix_sent_messages_reference", "sent_messages", ["provider", "reference", "sent_at"]
    )
    _due_index("ix_sent_messages_again", "sent_messages", "again_at")


def _of_recharge() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["tenant", "recharge_id"], ["recharges.tenant", "recharges.id"])


def _due_index(name: str, table: str, column: str) -> None:
    where = sa.text(f"{column} IS NOT NULL")
    op.create_index(name, table, [column], sqlite_where=where, postgresql_where=where)
