"""Every store that satisfies the port, each with an empty, migrated database of its own."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.store.migrate import migrate
from adapters.store.transaction import SqlStore
from headend.store import Store
from tests.builders import NOW, OTHER_TENANT, TENANT, a_drn, a_meter
from tests.conftest import CreateDatabase
from tests.fakes import MemoryStore


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    file = tmp_path_factory.mktemp("template") / "headend.db"
    asyncio.run(migrate(f"sqlite:///{file}"))
    return file


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path)}"


@pytest.fixture(scope="module")
def postgres_template(postgres_database: CreateDatabase) -> str:
    url = postgres_database()
    asyncio.run(migrate(url))
    return url


@pytest.fixture
def migrated_postgres_url(postgres_template: str, postgres_database: CreateDatabase) -> str:
    return postgres_database(like=postgres_template)


@pytest.fixture(params=["sqlite", "postgres"])
def migrated_url(request: pytest.FixtureRequest) -> str:
    """The URL of a migrated database, one of each kind."""
    name = {"sqlite": "sqlite_url", "postgres": "migrated_postgres_url"}[request.param]
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture
async def sql_store(migrated_url: str) -> AsyncIterator[SqlStore]:
    store = SqlStore.open(migrated_url)
    await furnish(store)
    yield store
    await store.aclose()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest) -> str | None:
    """The URL of a migrated database, None for the store in memory."""
    if request.param == "memory":
        return None
    name = {"sqlite": "sqlite_url", "postgres": "migrated_postgres_url"}[request.param]
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture
async def store(store_url: str | None) -> AsyncIterator[Store]:
    """A store with two tenants and the first nine meters of each."""
    if store_url is None:
        memory = MemoryStore()
        await furnish(memory)
        yield memory
        return
    opened = SqlStore.open(store_url)
    await furnish(opened)
    yield opened
    await opened.aclose()


async def furnish(store: Store) -> None:
    """Two tenants with nine meters each, of the same numbers."""
    async with store.begin() as tx:
        for tenant in (TENANT, OTHER_TENANT):
            await tx.tenants.ensure(tenant, NOW)
            for serial in range(1, 10):
                await tx.meters.add(a_meter(tenant=tenant, drn=a_drn(serial)))
