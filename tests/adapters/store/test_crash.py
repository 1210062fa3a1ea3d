"""A process that is killed while it writes to SQLite loses nothing that it acknowledged."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.store.transaction import SqlStore
from tests.adapters.store.conftest import furnish
from tests.builders import DRN, TENANT

ROOT = Path(__file__).parents[3]

WRITER = """
import asyncio, sys
from adapters.store.transaction import SqlStore
from tests.builders import DRN, TENANT, a_delivery, a_recharge, a_token

async def main(url, worker):
    store = SqlStore.open(url)
    for number in range(10_000):
        ident = f"{worker}-{number}"
        async with store.begin() as tx:
            last = await tx.tids.last(TENANT, DRN, 1993) or 0
            await tx.tids.give(TENANT, DRN, 1993, last + 1)
            await tx.recharges.add(a_recharge(id=ident, tid=last + 1))
            digits = f"{last + 1:020d}"
            await tx.deliveries.add(a_delivery(id=ident, recharge_id=ident))
            await tx.tokens.add(a_token(id=ident, delivery_id=ident, digits=digits, tid=last + 1))
        print(ident, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


def kill_while_writing(url: str, *, workers: int, after: int) -> list[str]:
    """Let processes write and kill them; what they had acknowledged by then."""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, url, f"worker{number}"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(workers)
    ]
    acknowledged = []
    for child in children:
        assert child.stdout is not None
        acknowledged += [child.stdout.readline().strip() for _ in range(after)]
    for child in children:
        child.send_signal(signal.SIGKILL)
    for child in children:
        assert child.stdout is not None
        acknowledged += child.stdout.read().split("\n")[:-1]
        child.stdout.close()
        assert child.wait() == -signal.SIGKILL
    return acknowledged


@pytest.mark.parametrize("after", [1, 17, 40])
async def test_what_was_acknowledged_is_there_after_a_kill(sqlite_url, after):
    store = SqlStore.open(sqlite_url)
    await furnish(store)
    acknowledged = kill_while_writing(sqlite_url, workers=2, after=after)

    assert len(acknowledged) >= 2 * after
    async with store.begin() as tx:
        tids = []
        for ident in acknowledged:
            recharge = await tx.recharges.find(TENANT, ident)
            assert recharge is not None
            assert recharge.tid is not None
            tids.append(recharge.tid)
            assert [token.tid for token in await tx.tokens.of(ident, TENANT)] == [recharge.tid]
            assert await tx.deliveries.of(ident, TENANT) is not None
        assert len(set(tids)) == len(tids)
        last = await tx.tids.last(TENANT, DRN, 1993)
    assert last is not None
    assert last >= max(tids)
    await store.aclose()
