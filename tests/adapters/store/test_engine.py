"""What connections promise: their set-up, and what happens when a database goes away."""

import asyncio
import sqlite3
import stat
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from adapters.store.engine import open_engines
from adapters.store.transaction import SqlStore
from headend.errors import StoreDown
from tests.builders import DRN, NOW, TENANT, a_drn, a_meter, a_token, some_digits


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://root:hunter2@host/name",
        "root:hunter2@nowhere",
        "",
    ],
)
def test_an_unusable_address_is_refused_without_showing_it(url):
    with pytest.raises(ValueError, match="write sqlite:///") as refused:
        open_engines(url)
    assert "hunter2" not in str(refused.value)


async def test_a_new_sqlite_file_is_for_its_owner_only(tmp_path):
    engines = open_engines(f"sqlite:///{tmp_path}/new.db")
    async with engines.writer.connect() as connection:
        found = [
            (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    await engines.aclose()
    assert found == ["wal", 2, 1]
    assert mode_of(tmp_path / "new.db") == 0o600


def mode_of(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


async def test_postgresql_gives_up_on_what_hangs(migrated_postgres_url):
    engines = open_engines(migrated_postgres_url)
    async with engines.reader.connect() as connection:
        found = {
            name: (await connection.execute(text(f"SHOW {name}"))).scalar_one()
            for name in (
                "statement_timeout",
                "idle_in_transaction_session_timeout",
                "transaction_isolation",
                "transaction_read_only",
            )
        }
    await engines.aclose()
    assert found == {
        "statement_timeout": "15s",
        "idle_in_transaction_session_timeout": "30s",
        "transaction_isolation": "read committed",
        "transaction_read_only": "on",
    }


async def test_a_writer_of_another_process_is_waited_for(sqlite_url):
    store = SqlStore.open(sqlite_url)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def write():
        async with store.begin() as tx:
            await tx.tenants.ensure(TENANT, NOW)

    writing = asyncio.create_task(write())
    await asyncio.sleep(0.1)
    assert not writing.done()
    async with store.look() as tx:
        assert not await tx.tenants.exists(TENANT)
    other.execute("COMMIT")
    other.close()
    await writing
    async with store.look() as tx:
        assert await tx.tenants.exists(TENANT)
    await store.aclose()


async def test_a_connection_that_breaks_is_told_so_and_the_next_one_works(
    migrated_postgres_url, postgres_server
):
    store = SqlStore.open(migrated_postgres_url)
    async with store.begin() as tx:
        await tx.tenants.ensure(TENANT, NOW)
    with pytest.raises(StoreDown):
        await write_while_cut_off(store, postgres_server)
    async with store.begin() as tx:
        assert await tx.meters.find(TENANT, DRN) is None
        await tx.meters.add(a_meter())
    await store.aclose()


async def write_while_cut_off(store, server):
    async with store.begin() as tx:
        await tx.meters.add(a_meter())
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'headend'"
        )
        await tx.meters.add(a_meter(drn=a_drn(2)))


async def test_a_transaction_that_breaks_before_its_commit_is_told_so(
    migrated_postgres_url, postgres_server
):
    store = SqlStore.open(migrated_postgres_url)

    async def write():
        async with store.begin() as tx:
            await tx.tenants.ensure(TENANT, NOW)
            postgres_server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'headend'"
            )

    with pytest.raises(StoreDown):
        await write()
    async with store.look() as tx:
        assert not await tx.tenants.exists(TENANT)
    await store.aclose()


async def test_a_database_that_is_away_is_told_so(free_port):
    store = SqlStore.open(f"postgresql://headend:hunter2@127.0.0.1:{free_port}/none")
    for opened in (store.begin, store.look):
        with pytest.raises(StoreDown) as down:
            await enter(opened())
        assert "hunter2" not in str(down.value)
    await store.aclose()


async def enter(context):
    async with context:
        pass


async def test_two_that_wait_for_each_other_are_parted(migrated_postgres_url):
    """One of them gives way (Stale); the other one is not disturbed."""
    store = SqlStore.open(migrated_postgres_url)
    async with store.begin() as tx:
        await tx.tenants.ensure(TENANT, NOW)
        for serial in (1, 2):
            await tx.meters.add(a_meter(drn=a_drn(serial)))

    async def lock(first, second):
        async with store.begin() as tx:
            await tx.tids.last(TENANT, a_drn(first), 1993)
            await asyncio.sleep(0.1)
            await tx.tids.last(TENANT, a_drn(second), 1993)

    ends = await asyncio.gather(lock(1, 2), lock(2, 1), return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == ["NoneType", "Stale"]
    await store.aclose()


async def test_errors_show_no_digits(sql_store):
    digits = some_digits(71_234_567_890_123_456)
    with pytest.raises(IntegrityError) as broken:
        await add_orphan(sql_store, digits)
    assert digits not in str(broken.value)
    assert digits not in repr(broken.value)


async def add_orphan(store, digits):
    async with store.begin() as tx:
        await tx.tokens.add(a_token(delivery_id="unknown", digits=digits))
