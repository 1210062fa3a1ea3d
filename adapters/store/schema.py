"""The whole schema: the tables of every module on one metadata, for migrations and their test."""

from adapters.store import loan_tables, outbox_tables, restoration_tables
from adapters.store.tables import metadata

TABLES = (loan_tables, outbox_tables, restoration_tables)

__all__ = ["TABLES", "metadata"]
