"""The table of evidence: what is known of a token after a doubt."""

from sqlalchemy import Boolean, Column, ForeignKeyConstraint, Index, Integer, String, Table

from adapters.store.columns import COUNTER, MOMENT
from adapters.store.tables import metadata

evidence = Table(
    "evidence",
    metadata,
    Column("number", COUNTER, primary_key=True),
    Column("tenant", String, nullable=False),
    Column("delivery_id", String, nullable=False),
    Column("token_id", String),
    Column("kind", String, nullable=False),
    Column("says", String, nullable=False),
    Column("by", String, nullable=False),
    Column("stored", Boolean, nullable=False),
    Column("result", Integer),
    Column("origin", String),
    Column("asked_at", MOMENT),
    Column("told_at", MOMENT),
    Column("first_at", MOMENT, nullable=False),
    Column("received_at", MOMENT, nullable=False),
    Column("times", Integer, nullable=False),
    Column("detail", String, nullable=False),
    ForeignKeyConstraint(["tenant", "delivery_id"], ["deliveries.tenant", "deliveries.id"]),
    Index("ix_evidence_delivery", "tenant", "delivery_id", "first_at", "number"),
)
