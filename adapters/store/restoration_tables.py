"""Tables of restoration: clocks, escalations, compensations, what meters answer, messages sent."""

from sqlalchemy import JSON, Column, ForeignKeyConstraint, Index, Integer, String, Table
from sqlalchemy.sql.expression import ColumnElement

from adapters.store.columns import MOMENT
from adapters.store.tables import metadata

_OF_RECHARGE = (["tenant", "recharge_id"], ["recharges.tenant", "recharges.id"])


def _partial(name: str, *columns: Column[object], where: ColumnElement[bool]) -> Index:
    return Index(name, *columns, sqlite_where=where, postgresql_where=where)


restoration_clocks = Table(
    "restoration_clocks",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("recharge_id", String, primary_key=True),
    Column("drn", String, nullable=False),
    Column("sgc", String, nullable=False),
    Column("paid_at", MOMENT, nullable=False),
    Column("digits_due_at", MOMENT, nullable=False),
    Column("tell_at", MOMENT, nullable=False),
    Column("limit_at", MOMENT, nullable=False),
    Column("sight", String),
    Column("choice", String),
    Column("chance_percent", Integer),
    Column("told_at", MOMENT),
    Column("limit_passed_at", MOMENT),
    Column("ended_at", MOMENT),
    Column("ended_by", String),
    Column("due_at", MOMENT),
    Column("version", Integer, nullable=False),
    ForeignKeyConstraint(*_OF_RECHARGE),
)
_partial(
    "ix_restoration_clocks_due",
    restoration_clocks.c.due_at,
    where=restoration_clocks.c.due_at.is_not(None),
)

escalations = Table(
    "escalations",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("recharge_id", String, primary_key=True),
    Column("threshold", String, primary_key=True),
    Column("contacts", JSON, nullable=False),
    Column("language", String, nullable=False),
    Column("made_at", MOMENT, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("not_before", MOMENT),
    Column("given_at", MOMENT),
    ForeignKeyConstraint(*_OF_RECHARGE),
)
_partial(
    "ix_escalations_due", escalations.c.not_before, where=escalations.c.not_before.is_not(None)
)

compensations = Table(
    "compensations",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("recharge_id", String, primary_key=True),
    Column("drn", String, nullable=False),
    Column("sgc", String, nullable=False),
    Column("usage_point", String),
    Column("reference", String),
    Column("paid_at", MOMENT, nullable=False),
    Column("limit_at", MOMENT, nullable=False),
    Column("recorded_at", MOMENT, nullable=False),
    Column("ended_at", MOMENT),
    Column("ended_by", String),
    Column("cause", String, nullable=False),
    ForeignKeyConstraint(*_OF_RECHARGE),
    Index("ix_compensations_time", "tenant", "limit_at", "recharge_id"),
    Index("ix_compensations_group", "tenant", "sgc", "limit_at", "recharge_id"),
)

answer_histories = Table(
    "answer_histories",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("drn", String, primary_key=True),
    # Two lists of 24 numbers, one for each hour of the day.
    Column("tried", JSON, nullable=False),
    Column("answered", JSON, nullable=False),
    Column("silent_run", Integer, nullable=False),
    Column("silent_at", MOMENT),
    Column("changed_at", MOMENT, nullable=False),
    ForeignKeyConstraint(["tenant", "drn"], ["meters.tenant", "meters.drn"]),
)

sent_messages = Table(
    "sent_messages",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("delivery_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("address", String, nullable=False),
    Column("provider", String, nullable=False),
    Column("reference", String, nullable=False),
    Column("sent_at", MOMENT, nullable=False),
    Column("receipt", String, nullable=False),
    Column("receipt_at", MOMENT),
    Column("again_at", MOMENT),
    Column("asked_at", MOMENT),
    ForeignKeyConstraint(["tenant", "delivery_id"], ["deliveries.tenant", "deliveries.id"]),
    Index("ix_sent_messages_delivery", "tenant", "delivery_id", "sent_at", "id"),
    Index("ix_sent_messages_reference", "provider", "reference", "sent_at"),
)
_partial(
    "ix_sent_messages_again", sent_messages.c.again_at, where=sent_messages.c.again_at.is_not(None)
)
