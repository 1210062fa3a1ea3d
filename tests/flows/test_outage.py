"""The database goes away for a moment; what meters said meanwhile is written when it is back.

Within seconds, not when leases end (75 s): that would be longer than the fall-back.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from headend.bus import STORE_PAUSE_S
from headend.deliveries import Confirmation, DeliveryState
from headend.errors import StoreDown
from headend.meters import Drn
from headend.recharges import RechargeState
from headend.store import Store, Transaction
from tests.fakes import MemoryStore
from tests.flows.test_recharge import settled
from tests.flows.world import TENANT, World, order, until

pytestmark = pytest.mark.virtual_time
DRN = "12345678903"
SOON_S = 20


class ShakyStore:
    """A store that can be away, or not able to say once that a state was committed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.away = False
        self.mute_at: DeliveryState | None = None

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Transaction]:
        self._require()
        async with self._store.begin() as tx:
            yield tx
            self._require()
        if self.mute_at is not None and await self._reached(self.mute_at):
            self.mute_at = None
            raise StoreDown("the answer to the commit was lost")

    @asynccontextmanager
    async def look(self) -> AsyncIterator[Transaction]:
        self._require()
        async with self._store.look() as tx:
            yield tx

    def _require(self) -> None:
        if self.away:
            raise StoreDown("away")

    async def _reached(self, state: DeliveryState) -> bool:
        async with self._store.look() as tx:
            delivery = await tx.deliveries.of("r1", TENANT)
        return delivery is not None and delivery.state is state


@pytest.fixture
def store() -> ShakyStore:
    return ShakyStore(MemoryStore())


@pytest.fixture
async def world(store: ShakyStore) -> World:
    world = World(store)
    await world.set_up(DRN)
    return world


async def test_an_answer_heard_while_the_database_is_away_is_written_when_it_is_back(world, store):
    meter = world.meters[Drn(DRN)]
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await until(lambda: meter.token_port.pending, within_s=10)
        store.away = True
        await until(lambda: not meter.token_port.pending, within_s=10)
        await asyncio.sleep(STORE_PAUSE_S)
        store.away = False
        await settled(world, "r1", RechargeState.LIT, within_s=SOON_S)
    assert (await world.delivery_of("r1")).confirmed_by is Confirmation.ECHO
    assert world.credited(DRN) == 10


async def test_what_was_leased_without_our_knowing_is_taken_back_at_once(world, store):
    async with world.process().running() as process:
        store.mute_at = DeliveryState.SENDING
        await process.desk.recharge(order("r1", DRN))
        await settled(world, "r1", RechargeState.LIT, within_s=SOON_S)
    assert store.mute_at is None
    assert world.credited(DRN) == 10


async def test_an_outcome_whose_commit_was_not_heard_of_is_written_once(world, store):
    async with world.process().running() as process:
        store.mute_at = DeliveryState.DONE
        await process.desk.recharge(order("r1", DRN))
        await settled(world, "r1", RechargeState.LIT, within_s=SOON_S)
    assert store.mute_at is None
    assert (await world.delivery_of("r1")).confirmed_by is Confirmation.ECHO
    assert world.credited(DRN) == 10
