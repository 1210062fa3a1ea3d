"""The table of loans: a bus is lent to one at a time."""

from sqlalchemy import Column, String, Table

from adapters.store.columns import MOMENT
from adapters.store.tables import metadata

loans = Table(
    "loans",
    metadata,
    Column("bus", String, primary_key=True),
    Column("id", String, nullable=False),
    Column("borrower", String, nullable=False),
    Column("asked_at", MOMENT, nullable=False),
    Column("until", MOMENT, nullable=False),
    Column("noticed_at", MOMENT),
    Column("granted_at", MOMENT),
)
