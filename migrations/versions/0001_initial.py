"""The first schema: meters, recharges, deliveries, readings, events, keys."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from adapters.store.columns import COUNTER, EXACT, MOMENT

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_tenants()
    _create_meters()
    _create_usage_points()
    _create_supply_groups()
    _create_tids()
    _create_recharges()
    _create_deliveries()
    _create_tokens()
    _index_deliveries()
    _create_attempts()
    _create_readings()
    _create_events()
    _create_polls()
    _create_api_keys()
    _create_vending_keys()


def downgrade() -> None:
    for table in (
        "vending_keys",
        "api_keys",
        "polls",
        "events",
        "readings",
        "attempts",
        "tokens",
        "deliveries",
        "recharges",
        "tids",
        "supply_groups",
        "usage_points",
        "meters",
        "tenants",
    ):
        op.drop_table(table)


def _create_tenants() -> None:
    op.create_table(
        "tenants",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("created_at", MOMENT, nullable=False),
    )


def _create_meters() -> None:
    op.create_table(
        "meters",
        sa.Column("tenant", sa.String, sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("drn", sa.String, primary_key=True),
        sa.Column("service", sa.String, nullable=False),
        sa.Column("profile", sa.String, nullable=False),
        sa.Column("bus", sa.String),
        sa.Column("address", sa.String),
        sa.Column("sgc", sa.String, nullable=False),
        sa.Column("krn", sa.Integer, nullable=False),
        sa.Column("tariff_index", sa.Integer, nullable=False),
        sa.Column("key_type", sa.Integer, nullable=False),
        sa.Column("ea", sa.Integer, nullable=False),
        sa.Column("keypad", sa.String, nullable=False),
        sa.Column("currency", sa.String),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("usage_point", sa.String),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.Index("ix_meters_group", "tenant", "sgc", "drn"),
    )


def _create_usage_points() -> None:
    op.create_table(
        "usage_points",
        sa.Column("tenant", sa.String, sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("contacts", sa.JSON, nullable=False),
        sa.Column("language", sa.String),
        sa.Column("protected", sa.Boolean, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
    )


def _create_supply_groups() -> None:
    op.create_table(
        "supply_groups",
        sa.Column("tenant", sa.String, sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("sgc", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("zone", sa.String, nullable=False),
        sa.Column("language", sa.String, nullable=False),
        sa.Column("fallback_after_s", sa.Integer, nullable=False),
        sa.Column("deadline_after_s", sa.Integer, nullable=False),
        sa.Column("limit_per_recharge", EXACT),
        sa.Column("limit_per_day", EXACT),
        sa.Column("reveal", sa.String, nullable=False),
        sa.Column("reveal_at", sa.JSON, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
    )


def _create_tids() -> None:
    op.create_table(
        "tids",
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("drn", sa.String, primary_key=True),
        sa.Column("base_date", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("last", sa.BigInteger),
        sa.ForeignKeyConstraint(["tenant", "drn"], ["meters.tenant", "meters.drn"]),
    )


def _create_recharges() -> None:
    op.create_table(
        "recharges",
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("idempotency_key", sa.String),
        sa.Column("drn", sa.String, nullable=False),
        sa.Column("order", sa.JSON, nullable=False),
        sa.Column("reference", sa.String),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("sgc", sa.String, nullable=False),
        sa.Column("krn", sa.Integer, nullable=False),
        sa.Column("tariff_index", sa.Integer, nullable=False),
        sa.Column("key_type", sa.Integer, nullable=False),
        sa.Column("ea", sa.Integer, nullable=False),
        sa.Column("unit", sa.String),
        sa.Column("currency", sa.String),
        sa.Column("requested", EXACT),
        sa.Column("encoded", EXACT),
        sa.Column("taken", EXACT),
        sa.Column("tid", sa.BigInteger),
        sa.Column("rnd", sa.Integer),
        sa.Column("reveal", sa.String, nullable=False),
        sa.Column("supply", sa.String, nullable=False),
        sa.Column("dark_cause", sa.String),
        sa.Column("supply_at", MOMENT),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("issued_at", MOMENT),
        sa.Column("replaces", sa.String),
        sa.Column("replaced_by", sa.String),
        sa.Column("reversed_at", MOMENT),
        sa.Column("reversal_reason", sa.String),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["tenant", "drn"], ["meters.tenant", "meters.drn"]),
        sa.UniqueConstraint("tenant", "idempotency_key"),
        sa.Index("ix_recharges_time", "tenant", "created_at", "id"),
        sa.Index("ix_recharges_meter", "tenant", "drn", "created_at", "id"),
        sa.Index("ix_recharges_state", "tenant", "state", "created_at", "id"),
        sa.Index("ix_recharges_reference", "tenant", "reference", "created_at", "id"),
    )
    _index_recharges()


def _index_recharges() -> None:
    is_open, unlit = "state IN ('open')", "state IN ('awaiting_button', 'credited', 'dark')"
    _partial_index("ix_recharges_open", "recharges", ["created_at"], where=is_open)
    _partial_index(
        "ix_recharges_unlit", "recharges", ["tenant", "drn", "created_at", "id"], where=unlit
    )


def _create_tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("drn", sa.String, nullable=False),
        sa.Column("delivery_id", sa.String, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("purpose", sa.String, nullable=False),
        sa.Column("digits", sa.String, nullable=False),
        sa.Column("tid", sa.BigInteger),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("result", sa.Integer),
        sa.Column("taken_at", MOMENT),
        sa.ForeignKeyConstraint(["tenant", "delivery_id"], ["deliveries.tenant", "deliveries.id"]),
        sa.Index("ix_tokens_delivery", "tenant", "delivery_id", "sequence"),
        sa.Index("ix_tokens_tid", "tenant", "drn", "tid"),
    )
    not_of_a_set = "purpose != 'key_change'"
    digits = ["tenant", "drn", "digits"]
    _partial_index("uq_tokens_digits", "tokens", digits, where=not_of_a_set, unique=True)


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("drn", sa.String, nullable=False),
        sa.Column("bus", sa.String),
        sa.Column("command", sa.JSON, nullable=False),
        sa.Column("recharge_id", sa.String),
        sa.Column("ordered_by", sa.String),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("rank", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("methods", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("lockouts", sa.Integer, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("entered", sa.Integer, nullable=False),
        sa.Column("maybe_taken", sa.Boolean, nullable=False),
        sa.Column("doubted_at", MOMENT),
        sa.Column("revealed", sa.Boolean, nullable=False),
        sa.Column("handed_at", MOMENT),
        sa.Column("told_at", MOMENT),
        sa.Column("hand_attempts", sa.Integer, nullable=False),
        sa.Column("hand_not_before", MOMENT),
        sa.Column("not_before", MOMENT, nullable=False),
        sa.Column("fallback_at", MOMENT),
        sa.Column("deadline", MOMENT, nullable=False),
        sa.Column("confirmed_by", sa.String),
        sa.Column("confirmed_at", MOMENT),
        sa.Column("stopped_by", sa.String),
        sa.Column("result", sa.Integer),
        sa.Column("lease_id", sa.String),
        sa.Column("lease_until", MOMENT),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["tenant", "drn"], ["meters.tenant", "meters.drn"]),
        sa.ForeignKeyConstraint(["tenant", "recharge_id"], ["recharges.tenant", "recharges.id"]),
        sa.UniqueConstraint("tenant", "recharge_id"),
        sa.Index("ix_deliveries_meter", "tenant", "drn", "priority", "rank"),
    )


def _index_deliveries() -> None:
    _partial_index(
        "ix_deliveries_bus",
        "deliveries",
        ["bus", "priority", "rank", "tenant", "id"],
        where="state IN ('uncertain', 'waiting')",
    )
    _partial_index(
        "ix_deliveries_open",
        "deliveries",
        ["tenant", "drn", "priority", "rank"],
        where="state IN ('sending', 'uncertain', 'waiting')",
    )
    _partial_index(
        "ix_deliveries_people",
        "deliveries",
        ["created_at", "tenant", "id"],
        where="state IN ('uncertain', 'waiting')",
    )
    _partial_index(
        "ix_deliveries_lease",
        "deliveries",
        ["lease_until"],
        where="state IN ('sending')",
    )
    _partial_index(
        "ix_deliveries_untold",
        "deliveries",
        ["created_at", "tenant", "id"],
        where="state IN ('done') AND handed_at IS NOT NULL AND told_at IS NULL",
    )
    _partial_index(
        "ix_deliveries_ordered",
        "deliveries",
        ["ordered_by", "created_at"],
        where="ordered_by IS NOT NULL",
    )


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("number", COUNTER, primary_key=True),
        sa.Column("tenant", sa.String, nullable=False),
        sa.Column("delivery_id", sa.String, nullable=False),
        sa.Column("method", sa.Integer, nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=False),
        sa.Column("outcome", sa.String, nullable=False),
        sa.Column("result", sa.Integer),
        sa.Column("detail", sa.String, nullable=False),
        sa.ForeignKeyConstraint(["tenant", "delivery_id"], ["deliveries.tenant", "deliveries.id"]),
        sa.Index("ix_attempts_delivery", "tenant", "delivery_id", "started_at", "number"),
    )


def _create_readings() -> None:
    op.create_table(
        "readings",
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("drn", sa.String, primary_key=True),
        sa.Column("type", sa.String, primary_key=True),
        sa.Column("taken_at", MOMENT, primary_key=True, autoincrement=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("quality", sa.String, nullable=False),
        sa.Index("ix_readings_time", "tenant", "drn", "taken_at", "type"),
        sqlite_with_rowid=False,
    )


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("drn", sa.String, primary_key=True),
        sa.Column("taken_at", MOMENT, primary_key=True, autoincrement=False),
        sa.Column("code", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("argument", sa.BigInteger),
        sqlite_with_rowid=False,
    )


def _create_polls() -> None:
    op.create_table(
        "polls",
        sa.Column("tenant", sa.String, primary_key=True),
        sa.Column("drn", sa.String, primary_key=True),
        sa.Column("bus", sa.String, nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("interval_s", sa.Integer, nullable=False),
        sa.Column("misses", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(["tenant", "drn"], ["meters.tenant", "meters.drn"]),
        sa.Index("ix_polls_due", "bus", "due_at"),
    )


def _create_api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("tenant", sa.String, sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("revoked_at", MOMENT),
        sa.Index("ix_api_keys_tenant", "tenant", "created_at"),
    )


def _create_vending_keys() -> None:
    op.create_table(
        "vending_keys",
        sa.Column("number", COUNTER, primary_key=True),
        sa.Column("tenant", sa.String, sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("sgc", sa.String, nullable=False),
        sa.Column("krn", sa.Integer, nullable=False),
        sa.Column("key_type", sa.Integer, nullable=False),
        sa.Column("base_date", sa.Integer, nullable=False),
        sa.Column("ken", sa.Integer, nullable=False),
        sa.Column("dkga", sa.Integer, nullable=False),
        sa.Column("mark", sa.String, nullable=False),
        sa.Column("check_value", sa.String, nullable=False),
        sa.Column("nonce", sa.LargeBinary, nullable=False),
        sa.Column("ciphertext", sa.LargeBinary, nullable=False),
        sa.Column("master_id", sa.String, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("retired_at", MOMENT),
    )
    _partial_index(
        "ix_vending_keys_in_use",
        "vending_keys",
        ["tenant", "sgc", "krn"],
        where="retired_at IS NULL",
        unique=True,
    )


def _partial_index(
    name: str, table: str, columns: Sequence[str], *, where: str, unique: bool = False
) -> None:
    op.create_index(
        name,
        table,
        columns,
        unique=unique,
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )
