"""People, audit, caps, dangerous orders, approvals, holds and opening hours."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from adapters.store.columns import MOMENT

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("person", sa.String))
    # Openings are counted as dangerous orders from now on.
    op.drop_index("ix_deliveries_ordered", "deliveries")
    _create_people()
    _create_audit()
    _create_audit_heads()
    _create_caps()
    _create_danger_turns()
    _create_dangerous_orders()
    _create_approvals()
    _create_holds()
    _create_opening_hours()


def downgrade() -> None:
    for table in (
        "opening_hours",
        "holds",
        "approvals",
        "dangerous_orders",
        "danger_turns",
        "caps",
        "audit_heads",
        "audit",
        "people",
    ):
        op.drop_table(table)
    _partial(
        "ix_deliveries_ordered",
        "deliveries",
        ["ordered_by", "created_at"],
        "ordered_by IS NOT NULL",
    )
    op.drop_column("api_keys", "person")


def _create_people() -> None:
    op.create_table(
        "people",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("tenant", sa.String, sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("name_key", sa.String, nullable=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("renewed_at", MOMENT, nullable=False),
        sa.Column("revoked_at", MOMENT),
        sa.UniqueConstraint("tenant", "name_key"),
    )


def _create_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("by", sa.String, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("result", sa.String, nullable=False),
        sa.Column("about", sa.JSON, nullable=False),
        sa.Column("hash", sa.String, nullable=False),
    )


def _create_audit_heads() -> None:
    op.create_table(
        "audit_heads",
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.String, nullable=False),
    )


def _create_caps() -> None:
    op.create_table(
        "caps",
        sa.Column("tenant", sa.String, sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("sgc", sa.String, primary_key=True),
        sa.Column("danger", sa.String, primary_key=True),
        sa.Column("per_key_hour", sa.Integer, nullable=False),
        sa.Column("per_key_day", sa.Integer, nullable=False),
        sa.Column("per_group_hour", sa.Integer, nullable=False),
        sa.Column("per_group_day", sa.Integer, nullable=False),
        sa.Column("approve_always", sa.Boolean, nullable=False),
        sa.Column("hold_percent", sa.Integer, nullable=False),
        sa.Column("hold_samples", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("changed_by", sa.String, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
    )


def _create_danger_turns() -> None:
    op.create_table(
        "danger_turns",
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("danger", sa.String, primary_key=True),
        sa.Column("turn", sa.Integer, nullable=False),
    )


def _create_dangerous_orders() -> None:
    op.create_table(
        "dangerous_orders",
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("danger", sa.String, nullable=False),
        sa.Column("drn", sa.String, nullable=False),
        sa.Column("sgc", sa.String, nullable=False),
        sa.Column("ordered_by", sa.String, nullable=False),
        sa.Column("admitted_at", MOMENT, nullable=False),
        sa.Column("result", sa.String),
        sa.Column("ended_at", MOMENT),
    )
    op.create_index(
        "ix_dangerous_orders_count", "dangerous_orders", ["tenant", "danger", "admitted_at"]
    )
    op.create_index(
        "ix_dangerous_orders_share", "dangerous_orders", ["tenant", "danger", "sgc", "ended_at"]
    )
    _partial("ix_dangerous_orders_open", "dangerous_orders", ["admitted_at"], "result IS NULL")


def _create_approvals() -> None:
    op.create_table(
        "approvals",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("tenant", sa.String, sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("order_id", sa.String, nullable=False),
        sa.Column("danger", sa.String, nullable=False),
        sa.Column("sgc", sa.String),
        sa.Column("drn", sa.String),
        sa.Column("command", sa.JSON(none_as_null=True)),
        sa.Column("three_kct", sa.Boolean, nullable=False),
        sa.Column("caps", sa.JSON(none_as_null=True)),
        sa.Column("ordered_by", sa.String),
        sa.Column("requesters", sa.JSON, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("decided_by", sa.String),
        sa.Column("decided_at", MOMENT),
        sa.Column("detail", sa.String, nullable=False),
        sa.UniqueConstraint("tenant", "subject", "order_id"),
    )
    op.create_index("ix_approvals_time", "approvals", ["tenant", "created_at", "id"])
    undecided = "state IN ('approved', 'waiting')"
    _partial("ix_approvals_undecided", "approvals", ["created_at"], undecided)


def _create_holds() -> None:
    op.create_table(
        "holds",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("tenant", sa.String, sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("danger", sa.String, nullable=False),
        sa.Column("sgc", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("lifted_at", MOMENT),
        sa.Column("lifted_by", sa.String),
        sa.Column("lift_reason", sa.String, nullable=False),
    )
    op.create_index("ix_holds_time", "holds", ["tenant", "since", "id"])
    _partial(
        "ix_holds_in_force",
        "holds",
        ["tenant", "danger", "sgc"],
        "lifted_at IS NULL",
        unique=True,
    )


def _create_opening_hours() -> None:
    op.create_table(
        "opening_hours",
        sa.Column("tenant", sa.String, sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("sgc", sa.String, primary_key=True),
        sa.Column("hours", sa.JSON, nullable=False),
        sa.Column("closed_on", sa.JSON, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("changed_by", sa.String, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
    )


def _partial(
    name: str, table: str, columns: Sequence[str], where: str, *, unique: bool = False
) -> None:
    op.create_index(
        name,
        table,
        columns,
        unique=unique,
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )
