"""A SQLite connection that goes to its thread only for what may take time.

The library asks its thread four times for one SELECT (cursor, execute, fetch, close), and on a
busy machine each asking costs a millisecond. Reading transactions ask once a statement, rows
included. What a writing one does is a few steps in an index, tens of microseconds: that is done
on the spot, and the thread is asked for what waits: the disk, and other processes.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import aiosqlite
from aiosqlite.context import contextmanager

# A batch of readings; so many values take about as long as the thread does to answer.
MANY_PARAMETERS = 400


class SqliteConnection(aiosqlite.Connection):
    """One connection and its thread; it begins and commits only when told to.

    `busy_timeout_s` is how long a writer waits for the writer of another process; once it is set
    up, a writer's own busy time-out is zero, and `begin` waits in the thread.
    """

    def __init__(self, file: Path, *, writes: bool, busy_timeout_s: int) -> None:
        self.writes = writes
        self._busy_timeout_ms = busy_timeout_s * 1000
        self._changes_before = 0
        # Two threads use it, but never at the same time: each statement is waited for.
        connect = partial(
            sqlite3.connect,
            str(file),
            timeout=busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
        )
        super().__init__(connect, iter_chunk_size=64)
        # A thread that waits for its next statement must not keep a process that ends.
        self._thread.daemon = True

    @contextmanager
    async def cursor(self) -> aiosqlite.Cursor:
        return SqliteCursor(self, self._conn.cursor())

    async def begin(self) -> None:
        """Start a transaction; one that writes is the only one of its kind from now on."""
        self._changes_before = self._conn.total_changes
        if not self.writes:
            self._conn.execute("BEGIN")
            return
        try:
            self._conn.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            patiently = partial(_begin_patiently, self._conn, self._busy_timeout_ms)
            await self._execute(patiently)  # type: ignore[no-untyped-call]  # unannotated there

    async def commit(self) -> None:
        if self._conn.total_changes == self._changes_before:
            self._conn.commit()
        else:
            await super().commit()

    async def rollback(self) -> None:
        self._conn.rollback()


class SqliteCursor(aiosqlite.Cursor):
    """Fetches what a statement returns together with running it."""

    def __init__(self, connection: SqliteConnection, cursor: sqlite3.Cursor) -> None:
        super().__init__(connection, cursor)
        self._on_the_spot = connection.writes
        self._rows: Sequence[sqlite3.Row] = ()

    async def execute(self, sql: str, parameters: Iterable[object] | None = None) -> "SqliteCursor":
        values = tuple(parameters or ())
        if self._on_the_spot and len(values) < MANY_PARAMETERS:
            self._rows = _all_rows(self._cursor, sql, values)
        else:
            self._rows = await self._execute(  # type: ignore[no-untyped-call]  # unannotated there
                _all_rows, self._cursor, sql, values
            )
        return self

    async def fetchall(self) -> Sequence[sqlite3.Row]:
        return self._rows

    async def close(self) -> None:
        self._cursor.close()


def _all_rows(
    cursor: sqlite3.Cursor, sql: str, values: tuple[object, ...]
) -> Sequence[sqlite3.Row]:
    return cursor.execute(sql, values).fetchall()


def _begin_patiently(connection: sqlite3.Connection, busy_timeout_ms: int) -> None:
    connection.execute(f"PRAGMA busy_timeout={busy_timeout_ms}")
    try:
        connection.execute("BEGIN IMMEDIATE")
    finally:
        connection.execute("PRAGMA busy_timeout=0")
