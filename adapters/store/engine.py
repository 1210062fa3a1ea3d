"""Connections to the two databases, set up so that what was committed is kept and nothing hangs.

SQLite: write-ahead log, every commit synced, one writer at a time in this process and another
process waited for. PostgreSQL: READ COMMITTED, with a bound on every wait.
"""

import asyncio
import os
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import aiosqlite
from sqlalchemy import URL, AdaptedConnection, Connection, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from adapters.store.sqlite_connection import SqliteConnection

# Another process commits within milliseconds; a migration of a large table takes longer.
BUSY_TIMEOUT_S = 10
SQLITE_READERS = 4
POSTGRES_CONNECTIONS = 20
POOL_TIMEOUT_S = 15
CONNECT_TIMEOUT_S = 10
# The server gives up first, and says why; our own limit is for a network that is gone.
STATEMENT_TIMEOUT_MS = 15_000
IDLE_IN_TRANSACTION_TIMEOUT_MS = 30_000
ANSWER_TIMEOUT_S = 20

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
_SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
)


@dataclass(frozen=True, slots=True)
class Engines:
    """`gate` is held while writing; readers never wait at it."""

    writer: AsyncEngine
    reader: AsyncEngine
    gate: AbstractAsyncContextManager[None]

    async def aclose(self) -> None:
        """Close every connection."""
        await self.reader.dispose()
        await self.writer.dispose()


def open_engines(url: str) -> Engines:
    """Engines for `sqlite:///file` or `postgresql://user@host/name`; connects when first used.

    Raises ValueError for another database, and for a SQLite database in memory.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite_engines(parsed)
    return _postgresql_engines(parsed)


def parse_url(url: str) -> URL:
    """The address with its async driver; errors never show it, for it may hold a password."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError("the database URL cannot be read; " + _EXAMPLES) from None
    driver = _DRIVERS.get(parsed.get_backend_name())
    if driver is None:
        raise ValueError(f"no such database: {parsed.get_backend_name()}; " + _EXAMPLES)
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ValueError("SQLite needs a file: in memory everything is lost; " + _EXAMPLES)
    return parsed.set(drivername=driver)


_EXAMPLES = "write sqlite:///headend.db or postgresql://user:password@host/name"


def _sqlite_engines(url: URL) -> Engines:
    return Engines(
        writer=_sqlite_engine(url, writes=True, pool_size=1),
        reader=_sqlite_engine(url, writes=False, pool_size=SQLITE_READERS),
        gate=asyncio.Lock(),
    )


def _sqlite_engine(url: URL, *, writes: bool, pool_size: int) -> AsyncEngine:
    file = Path(url.database or "")

    async def connect() -> aiosqlite.Connection:
        _make_private(file)
        return await SqliteConnection(file, writes=writes, busy_timeout_s=BUSY_TIMEOUT_S)

    engine = create_async_engine(
        url,
        async_creator=connect,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        # Transactions are always ended by name, see `transaction`.
        pool_reset_on_return=None,
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "connect", partial(_set_up, writes=writes))
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _make_private(file: Path) -> None:
    """Token digits are in it: a new file is for its owner only.

    One that exists is never opened here: closing it again would drop the locks that this process
    holds on it (POSIX), and another process would then take away the log under our connections.
    """
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _set_up(fresh: DBAPIConnection, _: ConnectionPoolEntry, *, writes: bool) -> None:
    cursor = fresh.cursor()
    last = "PRAGMA busy_timeout=0" if writes else "PRAGMA query_only=ON"
    for pragma in (*_SQLITE_PRAGMAS, last):
        cursor.execute(pragma)
    cursor.close()


def _begin(connection: Connection) -> None:
    adapted = cast(AdaptedConnection, connection.connection.dbapi_connection)
    adapted.run_async(SqliteConnection.begin)


def _postgresql_engines(url: URL) -> Engines:
    engine = create_async_engine(
        url,
        pool_size=POSTGRES_CONNECTIONS,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={
            "timeout": CONNECT_TIMEOUT_S,
            "command_timeout": ANSWER_TIMEOUT_S,
            "server_settings": {
                "application_name": "headend",
                "timezone": "UTC",
                "statement_timeout": str(STATEMENT_TIMEOUT_MS),
                "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_TIMEOUT_MS),
            },
        },
    )
    reader = engine.execution_options(postgresql_readonly=True)
    return Engines(writer=engine, reader=reader, gate=nullcontext())
