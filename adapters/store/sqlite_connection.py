"""A SQLite connection whose thread is asked once a statement.

The library asks its thread four times for one SELECT (cursor, execute, fetch, close), and each
asking costs more than the statement itself. Here the rows come back with the first answer.
"""

import sqlite3
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import aiosqlite
from aiosqlite.context import contextmanager


class SqliteConnection(aiosqlite.Connection):
    """One connection and its thread; it begins and commits only when told to."""

    def __init__(self, file: Path, *, timeout_s: float) -> None:
        # Cursors are made and closed in the caller's thread, which never overlaps a statement.
        connect = partial(
            sqlite3.connect,
            str(file),
            timeout=timeout_s,
            isolation_level=None,
            check_same_thread=False,
        )
        super().__init__(connect, iter_chunk_size=64)
        # A thread that waits for its next statement must not keep a process that ends.
        self._thread.daemon = True

    @contextmanager
    async def cursor(self) -> aiosqlite.Cursor:
        return SqliteCursor(self, self._conn.cursor())


class SqliteCursor(aiosqlite.Cursor):
    """Fetches what a statement returns together with running it."""

    _rows: Iterable[sqlite3.Row] = ()

    async def execute(self, sql: str, parameters: Iterable[object] | None = None) -> "SqliteCursor":
        self._rows = await self._execute(  # type: ignore[no-untyped-call]  # not annotated there
            _all_rows, self._cursor, sql, parameters or ()
        )
        return self

    async def fetchall(self) -> Iterable[sqlite3.Row]:
        return self._rows

    async def close(self) -> None:
        self._cursor.close()


def _all_rows(
    cursor: sqlite3.Cursor, sql: str, parameters: tuple[object, ...]
) -> Iterable[sqlite3.Row]:
    return cursor.execute(sql, parameters).fetchall()
