"""The tables. Columns are named like the fields of the records; the migrations build the same.

Enumerations of words are stored as their words (they are released API words and never change),
those of numbers as numbers. Every row belongs to a tenant, attempts through their delivery.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.sql.expression import ColumnElement

from adapters.store.columns import COUNTER, EXACT, MOMENT, literals
from headend.deliveries import OPEN_STATES, DeliveryState
from headend.recharges import UNLIT_STATES, RechargeState

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)


def _partial(name: str, *columns: Column[object], where: ColumnElement[bool]) -> Index:
    return Index(name, *columns, sqlite_where=where, postgresql_where=where)


tenants = Table(
    "tenants",
    metadata,
    Column("id", String, primary_key=True),
    Column("created_at", MOMENT, nullable=False),
)

meters = Table(
    "meters",
    metadata,
    Column("tenant", ForeignKey("tenants.id"), primary_key=True),
    Column("drn", String, primary_key=True),
    Column("service", String, nullable=False),
    Column("profile", String, nullable=False),
    Column("bus", String),
    Column("address", String),
    Column("sgc", String, nullable=False),
    Column("krn", Integer, nullable=False),
    Column("tariff_index", Integer, nullable=False),
    Column("key_type", Integer, nullable=False),
    Column("ea", Integer, nullable=False),
    Column("keypad", String, nullable=False),
    Column("currency", String),
    Column("state", String, nullable=False),
    Column("usage_point", String),
    Column("version", Integer, nullable=False),
    Column("changed_at", MOMENT, nullable=False),
    Index("ix_meters_group", "tenant", "sgc", "drn"),
)

usage_points = Table(
    "usage_points",
    metadata,
    Column("tenant", ForeignKey("tenants.id"), primary_key=True),
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("contacts", JSON, nullable=False),
    Column("language", String),
    Column("protected", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("changed_at", MOMENT, nullable=False),
)

supply_groups = Table(
    "supply_groups",
    metadata,
    Column("tenant", ForeignKey("tenants.id"), primary_key=True),
    Column("sgc", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("zone", String, nullable=False),
    Column("language", String, nullable=False),
    Column("fallback_after_s", Integer, nullable=False),
    Column("deadline_after_s", Integer, nullable=False),
    Column("limit_per_recharge", EXACT),
    Column("limit_per_day", EXACT),
    Column("reveal", String, nullable=False),
    Column("reveal_at", JSON, nullable=False),
    Column("restoration", JSON(none_as_null=True)),
    Column("version", Integer, nullable=False),
    Column("changed_at", MOMENT, nullable=False),
)

tids = Table(
    "tids",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("drn", String, primary_key=True),
    Column("base_date", Integer, primary_key=True, autoincrement=False),
    Column("last", BigInteger),
    ForeignKeyConstraint(["tenant", "drn"], ["meters.tenant", "meters.drn"]),
)

recharges = Table(
    "recharges",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("idempotency_key", String),
    Column("drn", String, nullable=False),
    Column("order", JSON, nullable=False),
    Column("reference", String),
    Column("state", String, nullable=False),
    Column("sgc", String, nullable=False),
    Column("krn", Integer, nullable=False),
    Column("tariff_index", Integer, nullable=False),
    Column("key_type", Integer, nullable=False),
    Column("ea", Integer, nullable=False),
    # What its amounts are counted in: one of the two.
    Column("unit", String),
    Column("currency", String),
    Column("requested", EXACT),
    Column("encoded", EXACT),
    Column("taken", EXACT),
    Column("tid", BigInteger),
    Column("rnd", Integer),
    Column("reveal", String, nullable=False),
    Column("supply", String, nullable=False),
    Column("dark_cause", String),
    Column("supply_at", MOMENT),
    Column("supply_proof", String),
    Column("missing_milli", BigInteger),
    Column("debt_milli", BigInteger),
    Column("created_at", MOMENT, nullable=False),
    Column("issued_at", MOMENT),
    Column("replaces", String),
    Column("replaced_by", String),
    Column("reversed_at", MOMENT),
    Column("reversal_reason", String),
    Column("changed_at", MOMENT, nullable=False),
    ForeignKeyConstraint(["tenant", "drn"], ["meters.tenant", "meters.drn"]),
    UniqueConstraint("tenant", "idempotency_key"),
    Index("ix_recharges_time", "tenant", "created_at", "id"),
    Index("ix_recharges_meter", "tenant", "drn", "created_at", "id"),
    Index("ix_recharges_state", "tenant", "state", "created_at", "id"),
    Index("ix_recharges_reference", "tenant", "reference", "created_at", "id"),
)
_partial(
    "ix_recharges_open",
    recharges.c.created_at,
    where=recharges.c.state.in_(literals([RechargeState.OPEN])),
)
_partial(
    "ix_recharges_unlit",
    recharges.c.tenant,
    recharges.c.drn,
    recharges.c.created_at,
    recharges.c.id,
    where=recharges.c.state.in_(literals(UNLIT_STATES)),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("drn", String, nullable=False),
    Column("delivery_id", String, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("purpose", String, nullable=False),
    Column("digits", String, nullable=False),
    Column("tid", BigInteger),
    Column("mark", String),
    Column("state", String, nullable=False),
    Column("result", Integer),
    Column("taken_at", MOMENT),
    ForeignKeyConstraint(["tenant", "delivery_id"], ["deliveries.tenant", "deliveries.id"]),
    # A key change that came to nothing may be ordered again, and its digits are the same.
    Index(
        "uq_tokens_digits",
        "tenant",
        "drn",
        "digits",
        unique=True,
        sqlite_where=text("purpose != 'key_change'"),
        postgresql_where=text("purpose != 'key_change'"),
    ),
    Index("ix_tokens_delivery", "tenant", "delivery_id", "sequence"),
    Index("ix_tokens_tid", "tenant", "drn", "tid"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("drn", String, nullable=False),
    Column("bus", String),
    Column("command", JSON, nullable=False),
    Column("recharge_id", String),
    Column("ordered_by", String),
    Column("priority", Integer, nullable=False),
    Column("rank", BigInteger, nullable=False),
    Column("state", String, nullable=False),
    # One bit a method: 1 << DeliveryMethod.
    Column("methods", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("lockouts", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("entered", Integer, nullable=False),
    Column("maybe_taken", Boolean, nullable=False),
    Column("doubted_at", MOMENT),
    Column("revealed", Boolean, nullable=False),
    Column("handed_at", MOMENT),
    Column("told_at", MOMENT),
    Column("hand_attempts", Integer, nullable=False),
    Column("hand_not_before", MOMENT),
    Column("not_before", MOMENT, nullable=False),
    Column("fallback_at", MOMENT),
    Column("deadline", MOMENT, nullable=False),
    Column("confirmed_by", String),
    Column("confirmed_at", MOMENT),
    Column("stopped_by", String),
    Column("result", Integer),
    Column("lease_id", String),
    Column("lease_until", MOMENT),
    Column("created_at", MOMENT, nullable=False),
    Column("changed_at", MOMENT, nullable=False),
    ForeignKeyConstraint(["tenant", "drn"], ["meters.tenant", "meters.drn"]),
    ForeignKeyConstraint(["tenant", "recharge_id"], ["recharges.tenant", "recharges.id"]),
    UniqueConstraint("tenant", "recharge_id"),
    Index("ix_deliveries_meter", "tenant", "drn", "priority", "rank"),
)
SENDABLE_STATES = OPEN_STATES - {DeliveryState.SENDING}
_partial(
    "ix_deliveries_bus",
    deliveries.c.bus,
    deliveries.c.priority,
    deliveries.c.rank,
    deliveries.c.tenant,
    deliveries.c.id,
    where=deliveries.c.state.in_(literals(SENDABLE_STATES)),
)
_partial(
    "ix_deliveries_open",
    deliveries.c.tenant,
    deliveries.c.drn,
    deliveries.c.priority,
    deliveries.c.rank,
    where=deliveries.c.state.in_(literals(OPEN_STATES)),
)
_partial(
    "ix_deliveries_people",
    deliveries.c.created_at,
    deliveries.c.tenant,
    deliveries.c.id,
    where=deliveries.c.state.in_(literals(OPEN_STATES)),
)
_partial(
    "ix_deliveries_lease",
    deliveries.c.lease_until,
    where=deliveries.c.state.in_(literals([DeliveryState.SENDING])),
)
_partial(
    "ix_deliveries_untold",
    deliveries.c.created_at,
    deliveries.c.tenant,
    deliveries.c.id,
    where=deliveries.c.state.in_(literals([DeliveryState.DONE]))
    & deliveries.c.handed_at.is_not(None)
    & deliveries.c.told_at.is_(None),
)

attempts = Table(
    "attempts",
    metadata,
    Column("number", COUNTER, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("delivery_id", String, nullable=False),
    Column("method", Integer, nullable=False),
    Column("started_at", MOMENT, nullable=False),
    Column("ended_at", MOMENT, nullable=False),
    Column("outcome", String, nullable=False),
    Column("result", Integer),
    Column("detail", String, nullable=False),
    Column("log_absent", Boolean),  # null: not known to be
    ForeignKeyConstraint(["tenant", "delivery_id"], ["deliveries.tenant", "deliveries.id"]),
    Index("ix_attempts_delivery", "tenant", "delivery_id", "started_at", "number"),
)

# Readings and events come in numbers; a foreign key would cost a look at the meter for each.
readings = Table(
    "readings",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("drn", String, primary_key=True),
    Column("type", String, primary_key=True),
    Column("taken_at", MOMENT, primary_key=True, autoincrement=False),
    Column("value", BigInteger, nullable=False),
    Column("received_at", MOMENT, nullable=False),
    Column("quality", String, nullable=False),
    Index("ix_readings_time", "tenant", "drn", "taken_at", "type"),
    sqlite_with_rowid=False,
)

events = Table(
    "events",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("drn", String, primary_key=True),
    Column("taken_at", MOMENT, primary_key=True, autoincrement=False),
    Column("code", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("received_at", MOMENT, nullable=False),
    Column("argument", BigInteger),
    Column("raw_code", Integer),
    Column("message", String),
    Index("events_received", "tenant", "drn", "received_at"),
    sqlite_with_rowid=False,
)
Index(
    "events_message",
    events.c.tenant,
    events.c.drn,
    events.c.code,
    events.c.message,
    unique=True,
    sqlite_where=events.c.message.is_not(None),
    postgresql_where=events.c.message.is_not(None),
)

polls = Table(
    "polls",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("drn", String, primary_key=True),
    Column("bus", String, nullable=False),
    Column("due_at", MOMENT, nullable=False),
    Column("interval_s", Integer, nullable=False),
    Column("misses", Integer, nullable=False),
    ForeignKeyConstraint(["tenant", "drn"], ["meters.tenant", "meters.drn"]),
    Index("ix_polls_due", "bus", "due_at"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant", ForeignKey("tenants.id"), nullable=False),
    Column("name", String, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Column("revoked_at", MOMENT),
    Column("person", String),
    Index("ix_api_keys_tenant", "tenant", "created_at"),
)

vending_keys = Table(
    "vending_keys",
    metadata,
    Column("number", COUNTER, primary_key=True),
    Column("tenant", ForeignKey("tenants.id"), nullable=False),
    Column("sgc", String, nullable=False),
    Column("krn", Integer, nullable=False),
    Column("key_type", Integer, nullable=False),
    Column("base_date", Integer, nullable=False),
    Column("ken", Integer, nullable=False),
    Column("dkga", Integer, nullable=False),
    Column("mark", String, nullable=False),
    Column("check_value", String, nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("master_id", String, nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Column("retired_at", MOMENT),
)
Index(
    "ix_vending_keys_in_use",
    vending_keys.c.tenant,
    vending_keys.c.sgc,
    vending_keys.c.krn,
    unique=True,
    sqlite_where=vending_keys.c.retired_at.is_(None),
    postgresql_where=vending_keys.c.retired_at.is_(None),
)
