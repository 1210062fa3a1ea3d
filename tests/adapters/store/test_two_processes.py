"""Two processes on one SQLite file: what one commits the other sees, whoever comes and goes."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from adapters.store.migrate import migrate
from adapters.store.transaction import SqlStore
from headend.meters import TenantId

COMES_AND_GOES = """
import asyncio, sys
from datetime import UTC, datetime
from adapters.store.transaction import SqlStore

async def main():
    store = SqlStore.open(sys.argv[1])
    async with store.begin() as tx:
        await tx.tenants.ensure(sys.argv[2], datetime.now(UTC))
    await store.aclose()

asyncio.run(main())
"""
ROOT = Path(__file__).parents[3]


async def test_a_process_that_leaves_takes_nothing_from_one_that_stays(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'town.db'}"
    await migrate(url)
    staying = SqlStore.open(url)
    async with staying.begin() as tx:
        await tx.tenants.ensure(TenantId("first"), datetime.now(UTC))
    # Further connections of this process to the same file must not drop its locks.
    await asyncio.gather(*(_looks(staying) for _ in range(4)))
    for name in ("second", "third"):
        call = [sys.executable, "-c", COMES_AND_GOES, url, name]
        await asyncio.to_thread(subprocess.run, call, check=True, cwd=ROOT, timeout=60)
        async with staying.begin() as tx:
            assert await tx.tenants.exists(TenantId(name))
        async with staying.look() as tx:
            assert await tx.tenants.exists(TenantId(name))
    await staying.aclose()


async def _looks(store: SqlStore) -> None:
    async with store.look() as tx:
        await tx.tenants.exists(TenantId("first"))
        await asyncio.sleep(0.1)
