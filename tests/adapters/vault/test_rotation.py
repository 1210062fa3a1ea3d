"""The master key is changed in a real database while sales go on, in whatever pieces it takes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from adapters.store.migrate import migrate
from adapters.store.transaction import SqlStore
from adapters.vault.key_import import import_keys
from adapters.vault.key_states import retire_key
from adapters.vault.master_key import MasterKeys, UnknownMasterKey
from adapters.vault.rotation import ROUNDS, Rotation, rotate_master
from adapters.vault.software import SoftwareVault
from headend.errors import Stale, StoreDown
from headend.meters import TenantId
from headend.store import Store, Transaction
from tests.adapters.vault.conftest import (
    MASTER,
    NOW,
    OTHER_MASTER,
    TENANT,
    a_key,
)
from tests.adapters.vault.test_software import DKGA04_EA11_FIRST, an_order
from tests.fakes import FakeClock

TOWN = TenantId("town")
OLD, BOTH, NEW = MasterKeys(MASTER), MasterKeys(OTHER_MASTER, MASTER), MasterKeys(OTHER_MASTER)


@pytest.fixture
async def store(tmp_path):
    url = f"sqlite:///{tmp_path}/headend.db"
    await migrate(url)
    store = SqlStore.open(url)
    async with store.begin() as tx:
        await tx.tenants.ensure(TENANT, NOW)
        await tx.tenants.ensure(TOWN, NOW)
    keys = [a_key(krn=krn) for krn in range(1, 8)]
    await import_keys(store, OLD, keys, tenant=TENANT, now=NOW)
    await import_keys(store, OLD, [a_key()], tenant=TOWN, now=NOW)
    await retire_key(store, TENANT, "201457", 7, NOW)
    yield store
    await store.aclose()


async def masters_of(store):
    async with store.look() as tx:
        return [row.master_id for row in await tx.vending_keys.all(None)]


async def sell(store, masters):
    vault = SoftwareVault(store, masters, clock=FakeClock(NOW))
    issued = await vault.issue(an_order(), message_id="m1")
    return issued.tokens[0].digits


@dataclass
class Interrupted:
    """A store that goes down in the middle of the n-th transaction."""

    store: Store
    left: int

    def look(self):
        return self.store.look()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Transaction]:
        async with self.store.begin() as tx:
            yield tx
            self.left -= 1
            if self.left == 0:
                raise StoreDown("the line was cut before the commit")


@dataclass
class Busy:
    """A store in which somebody else seals the rows just before we do."""

    store: Store
    times: int
    tried: int = field(default=0)

    def look(self):
        return self.store.look()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Transaction]:
        self.tried += 1
        if self.tried <= self.times:
            raise Stale("somebody was faster")
        async with self.store.begin() as tx:
            yield tx


async def test_all_keys_of_all_tenants_come_under_the_newest_master_key(store):
    told: list[Rotation] = []
    rotation = await rotate_master(store, BOTH, batch=3, progress=told.append)
    assert rotation == Rotation(done=8, total=8)
    assert rotation.complete
    assert [step.done for step in told] == [3, 6, 8]
    assert set(await masters_of(store)) == {OTHER_MASTER.id}
    assert await sell(store, NEW) == DKGA04_EA11_FIRST
    async with store.look() as tx:
        retired = [row for row in await tx.vending_keys.all(TENANT) if row.retired_at]
    assert [row.key.krn for row in retired] == [7]


async def test_an_interrupted_rotation_loses_nothing_and_goes_on(store):
    with pytest.raises(StoreDown):
        await rotate_master(Interrupted(store, left=2), BOTH, batch=3)
    ids = await masters_of(store)
    assert (ids.count(OTHER_MASTER.id), ids.count(MASTER.id)) == (3, 5)
    assert await sell(store, BOTH) == DKGA04_EA11_FIRST
    told: list[Rotation] = []
    rotation = await rotate_master(store, BOTH, batch=3, progress=told.append)
    assert rotation.complete
    assert [step.done for step in told] == [6, 8]
    assert await sell(store, NEW) == DKGA04_EA11_FIRST


async def test_sales_go_on_before_while_and_after(store):
    vault = SoftwareVault(store, BOTH, clock=FakeClock(NOW))
    sold = []
    for left in (1, 2, 2, 2):
        with pytest.raises(StoreDown):
            await rotate_master(Interrupted(store, left=left), BOTH, batch=1)
        sold.append((await vault.issue(an_order(), message_id="m1")).tokens[0].digits)
    assert set(sold) == {DKGA04_EA11_FIRST}
    with pytest.raises(UnknownMasterKey):
        await sell(store, OLD)  # a process that was not given the new key first


async def test_a_second_rotation_has_nothing_to_do(store):
    await rotate_master(store, BOTH)
    told: list[Rotation] = []
    assert await rotate_master(store, BOTH, progress=told.append) == Rotation(8, 8)
    assert told == []


async def test_an_empty_database_is_rotated_at_once(tmp_path):
    url = f"sqlite:///{tmp_path}/empty.db"
    await migrate(url)
    store = SqlStore.open(url)
    try:
        assert (await rotate_master(store, BOTH)).complete
    finally:
        await store.aclose()


async def test_rows_changed_by_somebody_else_are_read_anew(store):
    rotation = await rotate_master(Busy(store, times=2), BOTH)
    assert rotation.complete


async def test_rows_that_keep_changing_end_it(store):
    busy = Busy(store, times=1000)
    with pytest.raises(Stale, match="run the rotation again"):
        await rotate_master(busy, BOTH)
    assert busy.tried == ROUNDS


async def test_keys_that_do_not_open_are_told_and_hold_up_nobody(shelf, add_keys):
    await add_keys(a_key(), a_key(krn=2), a_key(krn=3))
    rows = shelf.vending_keys.rows
    rows[0] = replace(rows[0], key=replace(rows[0].key, ken=1))
    rows[1] = replace(rows[1], master_id="00000000")
    rotation = await rotate_master(shelf.as_store, BOTH)
    assert (rotation.done, rotation.total, rotation.complete) == (1, 3, False)
    assert [key.krn for key in rotation.unopened] == [1, 2]
    assert rows[2].master_id == OTHER_MASTER.id
