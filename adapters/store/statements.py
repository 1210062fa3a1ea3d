"""Statements on one connection, and what it means for the head-end when one fails.

Foreign errors end here: the database cannot be reached (StoreDown), or it made us give way to
somebody else (Stale). What only a mistake of ours can cause passes through.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from sqlalchemy import CursorResult, Executable, Row
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from adapters.store.uncut import to_its_end
from headend.errors import Stale, StoreDown

SqlRow: TypeAlias = Row[*tuple[object, ...]]
Parameters: TypeAlias = Mapping[str, object]
# One logical statement in the words of each database, by the name of its dialect.
InEachDialect: TypeAlias = Mapping[str, Executable]

# SQLite result codes: BUSY, LOCKED, NOMEM, READONLY, IOERR, CORRUPT, FULL, CANTOPEN, PROTOCOL.
_SQLITE_DOWN = frozenset({5, 6, 7, 8, 10, 11, 13, 14, 15})
# PostgreSQL classes: connection, resources, operator intervention, system; then idle too long,
# lock not available.
_POSTGRESQL_DOWN = ("08", "53", "57", "58", "25P03", "55P03")
_POSTGRESQL_GIVE_WAY = ("40001", "40P01")


class Statements:
    """Runs statements in one transaction.

    `locks`: the transaction writes, so rows that are read to be changed are locked
    (SQLite has one writer and needs no locks; it leaves them out of the statement).
    """

    def __init__(self, connection: AsyncConnection, *, locks: bool) -> None:
        self._connection = connection
        self.dialect = connection.dialect.name
        self.locks = locks

    async def rows(self, statement: Executable, parameters: Parameters) -> Sequence[SqlRow]:
        return (await self._execute(statement, parameters)).all()

    async def row(self, statement: Executable, parameters: Parameters) -> SqlRow | None:
        return (await self._execute(statement, parameters)).first()

    async def changed(
        self, statement: Executable, parameters: Parameters | Sequence[Parameters]
    ) -> int:
        """How many rows the statement changed; for many sets of parameters some drivers tell -1."""
        return (await self._execute(statement, parameters)).rowcount

    async def returned(self, statement: Executable, many: Sequence[Parameters]) -> Sequence[SqlRow]:
        """What a statement returns that is run for many sets of parameters."""
        return (await self._execute(statement, many)).all()

    async def change(self, statement: Executable, parameters: Parameters, *, what: str) -> None:
        """Change exactly one row; raises Stale when it is not as it was read."""
        if not await self.changed(statement, parameters):
            raise Stale(what)

    async def _execute(
        self, statement: Executable, parameters: Parameters | Sequence[Parameters]
    ) -> CursorResult[*tuple[object, ...]]:
        with store_errors():
            return await to_its_end(self._connection.execute(statement, parameters))


@contextmanager
def store_errors() -> Iterator[None]:
    """Name what went wrong; texts hold neither parameters nor the database's address."""
    try:
        yield
    except DBAPIError as error:
        if meaning := _meaning(error):
            raise meaning from error
        raise
    except sqlite3.Error as error:
        raise StoreDown(f"SQLite: {error}") from error
    except (OSError, PoolTimeoutError) as error:
        raise StoreDown("the database does not answer") from error


async def connect(engine: AsyncEngine) -> AsyncConnection:
    """A connection of the pool, for the caller to close. Raises StoreDown, whatever the reason."""
    try:
        return await engine.connect()
    except DBAPIError as error:
        raise StoreDown(f"cannot open the database: {error.orig}") from error
    except (OSError, sqlite3.Error, PoolTimeoutError) as error:
        raise StoreDown(f"cannot reach the database: {error}") from error


def _meaning(error: DBAPIError) -> Stale | StoreDown | None:
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        down = getattr(cause, "sqlite_errorcode", 0) & 0xFF in _SQLITE_DOWN
        return StoreDown(f"SQLite: {cause}") if down else None
    state = getattr(cause, "sqlstate", None) or ""
    if state in _POSTGRESQL_GIVE_WAY:
        return Stale("another transaction needed the same rows")
    if error.connection_invalidated or state.startswith(_POSTGRESQL_DOWN):
        return StoreDown("the database does not answer")
    return None
