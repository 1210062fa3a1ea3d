"""Migrations build what the tables say, on both databases, and can go back."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from adapters.store.engine import open_engines
from adapters.store.migrate import current, downgrade, migrate, newest
from adapters.store.schema import metadata
from headend.errors import StoreDown

ROOT = Path(__file__).parents[3]


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request, tmp_path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/new.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


async def look_at(url, what):
    engines = open_engines(url)
    async with engines.reader.connect() as connection:
        found = await connection.run_sync(what)
    await engines.aclose()
    return found


def differences(connection):
    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "compare_server_default": True}
    )
    return compare_metadata(context, metadata)


def partial_indexes(connection):
    """Name and condition of each partial index, in words that do not depend on the database."""
    if connection.dialect.name == "sqlite":
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql LIKE '% WHERE %'"
    else:
        query = "SELECT indexname, indexdef FROM pg_indexes WHERE indexdef LIKE '% WHERE %'"
    rows = connection.exec_driver_sql(query).all()
    return {name: condition.partition(" WHERE ")[2] for name, condition in rows}


async def test_a_migrated_database_is_what_the_tables_say(empty_url):
    assert await current(empty_url) is None
    await migrate(empty_url)
    assert await current(empty_url) == newest()
    assert await look_at(empty_url, differences) == []


async def test_partial_indexes_are_what_the_tables_say(empty_url):
    """Their conditions are not compared by the library."""
    engines = open_engines(empty_url)
    async with engines.writer.begin() as connection:
        await connection.run_sync(metadata.create_all)
        wanted = await connection.run_sync(partial_indexes)
        await connection.run_sync(metadata.drop_all)
    await engines.aclose()
    await migrate(empty_url)
    assert len(wanted) == 23
    assert await look_at(empty_url, partial_indexes) == wanted


async def test_a_schema_goes_back_and_forth_again(empty_url):
    await migrate(empty_url)
    await migrate(empty_url)
    await downgrade(empty_url, "base")
    assert await current(empty_url) is None
    tables = await look_at(empty_url, lambda connection: inspect(connection).get_table_names())
    assert tables == ["alembic_version"]
    await migrate(empty_url)
    assert await look_at(empty_url, differences) == []


async def test_two_that_start_together_migrate_once(empty_url):
    await asyncio.gather(migrate(empty_url), migrate(empty_url))
    assert await look_at(empty_url, differences) == []


async def test_a_step_that_fails_leaves_the_database_as_it_was(empty_url):
    engines = open_engines(empty_url)
    async with engines.writer.begin() as connection:
        await connection.exec_driver_sql("CREATE TABLE polls (id integer)")
    with pytest.raises(Exception, match="polls"):
        await migrate(empty_url)
    tables = await look_at(empty_url, lambda connection: inspect(connection).get_table_names())
    assert tables == ["polls"]
    await engines.aclose()


def test_migrations_run_from_any_folder(tmp_path):
    script = (
        "import asyncio; from adapters.store.migrate import migrate, current;"
        f"url = 'sqlite:///{tmp_path}/new.db'; asyncio.run(migrate(url));"
        "print(asyncio.run(current(url)))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.strip() == newest()


async def test_a_database_that_is_away_is_told_so(free_port, tmp_path):
    with pytest.raises(StoreDown):
        await migrate(f"postgresql://headend@127.0.0.1:{free_port}/none")
    with pytest.raises(StoreDown):
        await current(f"sqlite:///{tmp_path}/no/such/folder/headend.db")
