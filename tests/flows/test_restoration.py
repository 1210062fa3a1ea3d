"""Paid and dark: somebody is told once, the broken limit is on record once, whatever is killed."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest

from headend.answering import AnswerHistory
from headend.compensations import CompensationFilter
from headend.errors import ModuleDown
from headend.meters import Drn
from headend.pages import Cursor
from headend.restoration import Choice, Ending
from headend.supply_groups import Restoration
from headend.usage_points import Contact, ContactKind
from headend.watching import Watch
from tests.fakes import MemoryStore
from tests.flows.world import TENANT, Fuse, Killed, MortalStore, World, order, until

pytestmark = pytest.mark.virtual_time
DRN = "12345678903"
CHIEF = Contact(ContactKind.SMS, "+27820000009")
TIMES = Restoration(tell_after_s=120, limit_after_s=600, contacts=(CHIEF,))


@pytest.fixture
async def world() -> World:
    world = World(MemoryStore())
    await world.set_up(DRN)
    await world.put_group(restoration=TIMES)
    return world


async def clock_of(world, ident):
    async with world.store.look() as tx:
        return await tx.restoration_clocks.find(TENANT, ident)


async def records(world):
    async with world.store.look() as tx:
        return (await tx.compensations.page(TENANT, Cursor(), CompensationFilter())).items


async def test_a_lit_home_is_told_to_nobody(world):
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await asyncio.sleep(700)
    assert not world.postman.alerts
    assert not await records(world)
    clock = await clock_of(world, "r1")
    assert clock.ended_by is Ending.LIT
    assert clock.ended_at - clock.paid_at < timedelta(seconds=10)
    assert clock.choice is Choice.USUAL


async def test_a_dark_home_is_told_of_and_then_recorded_each_in_its_time(world):
    world.meters[Drn(DRN)].faults.silent = True
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await asyncio.sleep(125)
        (told,) = world.postman.alerts
        assert (told.contacts, told.limit, told.minutes) == ((CHIEF,), False, 2)
        assert not await records(world)
        await asyncio.sleep(600 - 120)
        assert [alert.limit for alert in world.postman.alerts] == [False, True]
        (record,) = await records(world)
        assert (record.ended_at, record.cause) == (None, "no_answer")
        await asyncio.sleep(300)
        world.meters[Drn(DRN)].faults.silent = False
        await until(lambda: is_ended(world), within_s=1200)
    (record,) = await records(world)
    assert record.ended_by is Ending.LIT
    assert 5 <= record.minutes_over(world.clock.now()) <= 22
    assert len(world.postman.alerts) == 2


async def is_ended(world):
    (record,) = await records(world)
    return record.ended_at is not None


async def test_several_processes_tell_and_record_once(world):
    world.meters[Drn(DRN)].faults.silent = True
    process = world.process()
    await process.desk.recharge(order("r1", DRN))
    watches = [
        Watch(world.store, world.postman, clock=world.clock, chance=world.chance) for _ in range(5)
    ]
    tasks = [asyncio.create_task(watch.serve()) for watch in watches]
    await asyncio.sleep(620)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert [alert.limit for alert in world.postman.alerts] == [False, True]
    assert len(await records(world)) == 1


@pytest.mark.parametrize("step", range(1, 14))
async def test_killed_at_any_step_each_threshold_is_recorded_once_and_told(step):
    """A message may be given once more under its own name; nothing else is twice, and none lost."""
    world = World(MemoryStore())
    await world.set_up(DRN)
    await world.put_group(restoration=TIMES)
    world.meters[Drn(DRN)].faults.silent = True
    await world.process().desk.recharge(order("r1", DRN))
    await asyncio.sleep(601)
    fuse = Fuse(left=step)
    await die(world, fuse)
    world.postman.fuse = Fuse()
    whole = Watch(world.store, world.postman, clock=world.clock, chance=world.chance)
    task = asyncio.create_task(whole.serve())
    await asyncio.sleep(120)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(await records(world)) == 1
    async with world.store.look() as tx:
        owed = await tx.escalations.of(TENANT, "r1")
    assert len(owed) == 2
    assert all(one.given_at is not None for one in owed)
    assert len({alert.id for alert in world.postman.alerts}) == 2
    assert len(world.postman.alerts) <= 4


async def die(world, fuse):
    world.postman.fuse = fuse
    store = MortalStore(world.store, fuse)
    watch = Watch(store, world.postman, clock=world.clock, chance=world.chance)
    with suppress(Killed, BaseExceptionGroup, TimeoutError):
        async with asyncio.timeout(60):
            await watch.serve()


async def test_people_in_charge_are_told_as_soon_as_somebody_can_be(world):
    world.meters[Drn(DRN)].faults.silent = True
    world.postman.down = True
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await asyncio.sleep(300)
        assert not world.postman.alerts
        world.postman.down = False
        await until(lambda: world.postman.alerts, within_s=301)


async def test_a_sale_whose_token_cannot_be_made_is_told_of_too(world):
    process = world.process()
    async with process.running():
        process.desk._module = DownModule(process.desk._module)
        await process.desk.recharge(order("r1", DRN))
        await asyncio.sleep(125)
    (told,) = world.postman.alerts
    assert told.state == "open, token_not_made"


class DownModule:
    """Checks orders, and then cannot be asked."""

    def __init__(self, module) -> None:
        self.check = module.check

    async def issue(self, order, *, message_id):
        raise ModuleDown("away")


async def test_a_meter_that_rarely_answers_gets_its_digits_at_once_while_remote_goes_on(world):
    meter = world.meters[Drn(DRN)]
    meter.faults.silent = True
    now = world.clock.now()
    poor = AnswerHistory(tenant=TENANT, drn=Drn(DRN), tried=(8.0,) * 24, changed_at=now)
    async with world.store.begin() as tx:
        await tx.answer_histories.put(poor)
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await until(lambda: world.postman.given, within_s=5)
        clock = await clock_of(world, "r1")
        assert clock.choice is Choice.RARELY_ANSWERS
        assert clock.chance_percent < 30
        meter.faults.silent = False
        await until(lambda: ended(world, "r1"), within_s=1000)
    assert world.credited(DRN) == 10


async def test_what_came_of_tries_is_learned(world):
    meter = world.meters[Drn(DRN)]
    meter.faults.silent = True
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await asyncio.sleep(700)
        assert (await history_of(world)).silent_run >= 1
        meter.faults.silent = False
        await until(lambda: ended(world, "r1"), within_s=1000)
    history = await history_of(world)
    assert history.silent_run == 0
    assert sum(history.answered) == pytest.approx(1.0, abs=0.01)
    assert sum(history.tried) < 5


async def history_of(world):
    async with world.store.look() as tx:
        return await tx.answer_histories.find(TENANT, Drn(DRN))


async def ended(world, ident):
    clock = await clock_of(world, ident)
    recharge, delivery = await world.recharge_of(ident), await world.delivery_of(ident)
    return clock.ending(recharge, delivery)
