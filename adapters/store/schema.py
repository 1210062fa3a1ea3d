"""The whole schema: the tables of every module on one metadata, for migrations and their test."""

from adapters.store import outbox_tables, restoration_tables
from adapters.store.tables import metadata

TABLES = (outbox_tables, restoration_tables)

__all__ = ["TABLES", "metadata"]
