"""Inserts that meet what is there already, in the words of each database."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from sqlalchemy import ColumnElement, Insert, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.elements import KeyedColumnElement

# What was to be inserted and met a row that is there.
Excluded: TypeAlias = ReadOnlyColumnCollection[str, KeyedColumnElement[object]]
InEachDialect: TypeAlias = Mapping[str, Insert]


def new_only(table: Table) -> InEachDialect:
    """Insert unless something unique is taken; then no row changes and the transaction goes on."""
    statements: dict[str, Insert] = {
        "sqlite": sqlite.insert(table).on_conflict_do_nothing(),
        "postgresql": postgresql.insert(table).on_conflict_do_nothing(),
    }
    return {name: _counted(statement) for name, statement in statements.items()}


def upsert(
    table: Table,
    change: Callable[[Excluded], Mapping[str, ColumnElement[object]]],
    *,
    where: Callable[[Excluded], ColumnElement[bool]] | None = None,
) -> InEachDialect:
    """Insert, or change the row of the same primary key (where that holds)."""
    keys = list(table.primary_key.columns)
    statements: dict[str, Insert] = {}
    for name, start in (("sqlite", sqlite.insert(table)), ("postgresql", postgresql.insert(table))):
        statements[name] = start.on_conflict_do_update(
            index_elements=keys,
            set_=change(start.excluded),
            where=where(start.excluded) if where else None,
        )
    return {name: _counted(statement) for name, statement in statements.items()}


def _counted(statement: Insert) -> Insert:
    return statement.inline().execution_options(preserve_rowcount=True)
