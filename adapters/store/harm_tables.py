"""The tables of what bounds harm: people, audit, caps, approvals, holds, opening hours."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
)

from adapters.store.columns import MOMENT, literals
from adapters.store.tables import metadata
from headend.approvals import UNDECIDED

people = Table(
    "people",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant", ForeignKey("tenants.id"), nullable=False),
    Column("name", String, nullable=False),
    # What two spellings of a name have in common.
    Column("name_key", String, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Column("renewed_at", MOMENT, nullable=False),
    Column("revoked_at", MOMENT),
    UniqueConstraint("tenant", "name_key"),
)

audit = Table(
    "audit",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", MOMENT, nullable=False),
    Column("by", String, nullable=False),
    Column("action", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("result", String, nullable=False),
    Column("about", JSON, nullable=False),
    Column("hash", String, nullable=False),
)
audit_heads = Table(
    "audit_heads",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("hash", String, nullable=False),
)

caps = Table(
    "caps",
    metadata,
    Column("tenant", ForeignKey("tenants.id"), primary_key=True),
    # Empty: those of the whole tenant.
    Column("sgc", String, primary_key=True),
    Column("danger", String, primary_key=True),
    Column("per_key_hour", Integer, nullable=False),
    Column("per_key_day", Integer, nullable=False),
    Column("per_group_hour", Integer, nullable=False),
    Column("per_group_day", Integer, nullable=False),
    Column("approve_always", Boolean, nullable=False),
    Column("hold_percent", Integer, nullable=False),
    Column("hold_samples", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("changed_by", String, nullable=False),
    Column("changed_at", MOMENT, nullable=False),
)

# A row that is locked while orders of its kind are counted.
danger_turns = Table(
    "danger_turns",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("danger", String, primary_key=True),
    Column("turn", Integer, nullable=False),
)
dangerous_orders = Table(
    "dangerous_orders",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("danger", String, nullable=False),
    Column("drn", String, nullable=False),
    Column("sgc", String, nullable=False),
    Column("ordered_by", String, nullable=False),
    Column("admitted_at", MOMENT, nullable=False),
    Column("result", String),
    Column("ended_at", MOMENT),
    Column("command", JSON(none_as_null=True)),
    Column("three_kct", Boolean),
    Index("ix_dangerous_orders_count", "tenant", "danger", "admitted_at"),
    Index("ix_dangerous_orders_share", "tenant", "danger", "sgc", "ended_at"),
)
Index(
    "ix_dangerous_orders_open",
    dangerous_orders.c.admitted_at,
    sqlite_where=dangerous_orders.c.result.is_(None),
    postgresql_where=dangerous_orders.c.result.is_(None),
)

approvals = Table(
    "approvals",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant", ForeignKey("tenants.id"), nullable=False),
    Column("subject", String, nullable=False),
    Column("order_id", String, nullable=False),
    Column("danger", String, nullable=False),
    Column("sgc", String),
    Column("drn", String),
    Column("command", JSON(none_as_null=True)),
    Column("three_kct", Boolean, nullable=False),
    Column("caps", JSON(none_as_null=True)),
    Column("ordered_by", String),
    Column("requesters", JSON, nullable=False),
    Column("reason", String, nullable=False),
    Column("state", String, nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Column("expires_at", MOMENT, nullable=False),
    Column("decided_by", String),
    Column("decided_at", MOMENT),
    Column("detail", String, nullable=False),
    UniqueConstraint("tenant", "subject", "order_id"),
    Index("ix_approvals_time", "tenant", "created_at", "id"),
)
Index(
    "ix_approvals_undecided",
    approvals.c.created_at,
    sqlite_where=approvals.c.state.in_(literals(UNDECIDED)),
    postgresql_where=approvals.c.state.in_(literals(UNDECIDED)),
)

holds = Table(
    "holds",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant", ForeignKey("tenants.id"), nullable=False),
    Column("danger", String, nullable=False),
    Column("sgc", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("since", MOMENT, nullable=False),
    Column("lifted_at", MOMENT),
    Column("lifted_by", String),
    Column("lift_reason", String, nullable=False),
    Index("ix_holds_time", "tenant", "since", "id"),
)
Index(
    "ix_holds_in_force",
    holds.c.tenant,
    holds.c.danger,
    holds.c.sgc,
    unique=True,
    sqlite_where=holds.c.lifted_at.is_(None),
    postgresql_where=holds.c.lifted_at.is_(None),
)

opening_hours = Table(
    "opening_hours",
    metadata,
    Column("tenant", ForeignKey("tenants.id"), primary_key=True),
    Column("sgc", String, primary_key=True),
    # Weekday, from, until.
    Column("hours", JSON, nullable=False),
    Column("closed_on", JSON, nullable=False),
    Column("version", Integer, nullable=False),
    Column("changed_by", String, nullable=False),
    Column("changed_at", MOMENT, nullable=False),
)
