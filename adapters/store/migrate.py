"""Brings the schema of a database to the newest version, and tells where it stands.

All in one transaction: a step that fails leaves the database as it was. Of two processes that
start together, one waits for the other.
"""

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

import migrations
from adapters.store.engine import open_engines
from adapters.store.statements import connect, store_errors

# Any number will do, as long as it is the same in every process.
_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(6205541)")
_NO_TIMEOUT = text("SET LOCAL statement_timeout = 0")


async def migrate(url: str) -> None:
    """Bring the schema to the newest version; raises StoreDown, ValueError."""
    await _change(url, lambda connection: command.upgrade(_config(connection), "head"))


async def downgrade(url: str, revision: str) -> None:
    """Take the schema back to a version, or to `base`: no tables. What they held is lost."""
    await _change(url, lambda connection: command.downgrade(_config(connection), revision))


async def current(url: str) -> str | None:
    """The version of the schema, None for an empty database; raises StoreDown, ValueError."""
    engines = open_engines(url)
    try:
        connection = await connect(engines.reader)
        try:
            return await connection.run_sync(_revision)
        finally:
            await connection.close()
    finally:
        await engines.aclose()


def newest() -> str:
    """The version that this release wants."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


async def _change(url: str, work: Callable[[Connection], None]) -> None:
    engines = open_engines(url)
    try:
        connection = await connect(engines.writer)
        try:
            with store_errors():
                await connection.run_sync(_alone, work)
                await connection.commit()
        finally:
            await connection.close()
    finally:
        await engines.aclose()


def _alone(connection: Connection, work: Callable[[Connection], None]) -> None:
    connection.begin()  # on SQLite this waits for whoever writes
    if connection.dialect.name == "postgresql":
        connection.execute(_NO_TIMEOUT)
        connection.execute(_ONE_AT_A_TIME)
    work(connection)


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    return config
