"""Flow B, the reading: polled or pushed, it comes in by one door and is acknowledged after."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from headend.events import EventType, MeterEvent
from headend.listening import listen
from headend.meters import Drn
from headend.pages import Cursor
from headend.polling import Poll
from headend.ports import Notice, Report
from headend.readings import Quality, Reading, ReadingType
from tests.fakes import MemoryStore
from tests.flows.world import BUS, TENANT, Fuse, Killed, World, order, until

pytestmark = pytest.mark.virtual_time
DRN = Drn("12345678903")


@pytest.fixture
async def world() -> World:
    world = World(MemoryStore())
    await world.set_up(DRN)
    return world


@dataclass
class Message:
    """One pushed message, and whether it was acknowledged."""

    report: Report
    acknowledged: bool = False

    def done(self) -> None:
        self.acknowledged = True


@dataclass
class Broker:
    """Gives what is not acknowledged, in batches, until all is."""

    messages: list[Message] = field(default_factory=list)

    async def notices(self) -> AsyncIterator[Sequence[Notice]]:
        for message in [one for one in self.messages if not one.acknowledged]:
            yield (message,)


def pushed(
    world: World, wh: int, *, drn: Drn = DRN, address: str = DRN, minutes: int = 0
) -> Report:
    at = world.clock.now() + timedelta(minutes=minutes)
    reading = Reading(
        tenant=TENANT,
        drn=drn,
        type=ReadingType.ENERGY_IMPORT_WH,
        value=wh,
        taken_at=at,
        received_at=world.clock.now(),
    )
    event = MeterEvent(
        tenant=TENANT,
        drn=drn,
        code=EventType.LOW_CREDIT_1,
        taken_at=at,
        received_at=world.clock.now(),
        number=wh,
    )
    return Report(
        tenant=TENANT, drn=drn, bus=BUS, address=address, readings=(reading,), events=(event,)
    )


async def readings_of(world: World) -> list[Reading]:
    async with world.store.look() as tx:
        return list((await tx.readings.page(TENANT, DRN, Cursor())).items)


async def test_a_polled_meter_is_read_again_and_again(world):
    async with world.store.begin() as tx:
        due = world.clock.now() + timedelta(seconds=10)
        await tx.polls.put(Poll(tenant=TENANT, drn=DRN, bus=BUS, due_at=due, interval_s=900))
    async with world.process().running():
        await asyncio.sleep(2000)
    found = await readings_of(world)
    energy = [one for one in found if one.type is ReadingType.ENERGY_IMPORT_WH]
    assert len(energy) == 3
    assert {one.quality for one in found} == {Quality.GOOD}


async def test_a_silent_meter_is_asked_ever_less_often_and_found_again(world):
    meter = world.meters[DRN]
    meter.faults.silent = True
    async with world.store.begin() as tx:
        poll = Poll(tenant=TENANT, drn=DRN, bus=BUS, due_at=world.clock.now(), interval_s=60)
        await tx.polls.put(poll)
    async with world.process().running():
        await asyncio.sleep(3600)
        assert not await readings_of(world)
        meter.faults.silent = False
        await asyncio.sleep(600)
    assert await readings_of(world)


async def test_a_pushed_reading_is_acknowledged_once_it_is_written(world):
    broker = Broker([Message(pushed(world, 1000))])
    await listen(broker, world.process().intake)
    (reading,) = await readings_of(world)
    assert (reading.value, reading.quality) == (1000, Quality.GOOD)
    assert broker.messages[0].acknowledged
    async with world.store.look() as tx:
        (event,) = (await tx.events.page(TENANT, DRN, Cursor())).items
    assert event.type is EventType.LOW_CREDIT_1


async def test_a_process_that_dies_before_the_commit_acknowledges_nothing(world):
    broker = Broker([Message(pushed(world, 1000))])
    with pytest.raises(Killed):
        await listen(broker, world.process(Fuse(left=0)).intake)
    assert not broker.messages[0].acknowledged
    assert not await readings_of(world)


async def test_a_process_that_dies_before_the_acknowledgement_hears_it_again_and_keeps_one(world):
    broker = Broker([Message(pushed(world, 1000))])
    with pytest.raises(Killed):
        await listen(broker, world.process(Fuse(left=1)).intake)
    assert [message.acknowledged for message in broker.messages] == [False]
    await listen(broker, world.process().intake)
    assert [message.acknowledged for message in broker.messages] == [True]
    assert len(await readings_of(world)) == 1


async def test_a_register_that_runs_backwards_is_kept_and_marked(world):
    intake = world.process().intake
    await intake.accept((pushed(world, 1000),))
    await intake.accept((pushed(world, 900, minutes=1),))
    newest, _ = await readings_of(world)
    assert (newest.value, newest.quality) == (900, Quality.SUSPECT)


async def test_strangers_are_counted_and_not_believed(world):
    intake = world.process().intake
    await intake.accept((pushed(world, 1, drn=Drn("01234567897")),))
    await intake.accept((pushed(world, 1, address="another gateway"),))
    assert intake.dropped == {"unknown_meter": 1, "wrong_route": 1}
    assert not await readings_of(world)


async def test_a_meter_that_only_shows_that_it_is_alive_costs_no_transaction_each_time(world):
    fuse = Fuse()
    intake = world.process(fuse).intake
    alive = Report(tenant=TENANT, drn=DRN, bus=BUS, address=DRN)
    for _ in range(10):
        await intake.accept((alive,))
    assert fuse.seen == 2, "before and after one commit"
    await asyncio.sleep(61)
    await intake.accept((alive,))
    assert fuse.seen == 4


async def test_a_meter_that_speaks_is_sent_to_at_once(world):
    meter = world.meters[DRN]
    meter.faults.silent = True
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await until(lambda: world.postman.given, within_s=70)
        await asyncio.sleep(1500)  # back-off has grown to minutes
        meter.faults.silent = False
        await process.intake.accept((pushed(world, 1000),))
        await until(lambda: world.credited(DRN) == 10, within_s=5)
