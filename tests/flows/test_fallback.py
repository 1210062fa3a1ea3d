"""Digits in hand in time, whatever the wire, the meter or a provider does; in virtual time."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from headend.deliveries import Confirmation, DeliveryState
from headend.errors import StoreDown
from headend.handing_over import CLAIM
from headend.meters import Drn, Keypad
from headend.supply_groups import DEFAULT_FALLBACK_S, default_group
from tests.builders import NOW
from tests.builders import TENANT as ACME
from tests.fakes import MemoryStore
from tests.flows.world import BUS, TENANT, Fuse, Killed, World, order, until

pytestmark = pytest.mark.virtual_time
DRN = "12345678903"


@pytest.fixture
async def world() -> World:
    world = World(MemoryStore())
    await world.set_up(DRN)
    return world


class HangingWire:
    """Lets a conversation begin and never says a word."""

    def __init__(self, wire) -> None:
        self._wire = wire

    def capabilities(self, profile):
        return self._wire.capabilities(profile)

    def open(self, meter, **how):
        return self

    async def __aenter__(self):
        await asyncio.sleep(3600)

    async def __aexit__(self, *_):
        return None


async def test_digits_are_in_hand_in_time_while_a_try_hangs(world):
    process = world.process()
    process.bus._driver = HangingWire(process.bus._driver)
    async with process.running():
        paid_at = world.clock.now()
        await process.desk.recharge(order("r1", DRN))
        await until(lambda: world.postman.given, within_s=DEFAULT_FALLBACK_S)
        assert (await world.delivery_of("r1")).state is DeliveryState.SENDING
        await asyncio.sleep(1)
        delivery = await world.delivery_of("r1")
        assert delivery.handed_at - paid_at < timedelta(seconds=DEFAULT_FALLBACK_S)


async def test_a_dead_meter_means_digits_within_the_promise(world):
    world.meters[Drn(DRN)].faults.silent = True
    async with world.process().running() as process:
        paid_at = world.clock.now()
        await process.desk.recharge(order("r1", DRN))
        await until(lambda: world.postman.given, within_s=DEFAULT_FALLBACK_S)
        assert world.clock.now() - paid_at < timedelta(seconds=DEFAULT_FALLBACK_S)


async def test_a_meter_without_keypad_that_was_silent_for_hours_is_credited_when_it_is_back(world):
    """Only the deadline ends remote, never the number of tries."""
    async with world.store.begin() as tx:
        known = await tx.meters.find(TENANT, Drn(DRN))
        assert known is not None
        changed = replace(known, keypad=Keypad.NONE, version=known.version + 1)
        await tx.meters.save(changed, was=known.version)
    simulated = world.meters[Drn(DRN)]
    async with world.process().running() as process:
        simulated.faults.silent, before = True, simulated.credit_milli
        await process.desk.recharge(order("r1", DRN))
        await asyncio.sleep(4 * 3600)
        tried = (await world.delivery_of("r1")).attempts
        assert 100 < tried < 140
        simulated.faults.silent = False
        await until(lambda: simulated.credit_milli > before, within_s=900)
        assert not world.postman.given


async def test_digits_typed_while_a_try_is_under_way_are_taken_once(world):
    """The customer is faster than the wire: the meter says USED to our try, and is asked why."""
    meter = world.meters[Drn(DRN)]
    process = world.process()
    slow = SlowWire(process.bus._driver, before_s=30.0)
    process.bus._driver = slow
    await world.put_group(fallback_after_s=8)
    async with process.running():
        await process.desk.recharge(order("r1", DRN))
        await until(lambda: world.postman.given, within_s=20)
        meter.customer_types(world.postman.given[0].digits[0], world.clock.now())
        await asyncio.sleep(3)
        slow.before_s = 0.0
        await until(lambda: is_done(world, "r1"), within_s=120)
    assert world.credited(DRN) == 10
    assert (await world.delivery_of("r1")).confirmed_by is Confirmation.TOKEN_LOG


class SlowWire:
    """Takes its time before a conversation begins."""

    def __init__(self, wire, *, before_s: float) -> None:
        self._wire = wire
        self.before_s = before_s

    def capabilities(self, profile):
        return self._wire.capabilities(profile)

    def open(self, meter, **how):
        return SlowOpening(self._wire.open(meter, **how), self.before_s)


class SlowOpening:
    def __init__(self, opening, before_s: float) -> None:
        self._opening, self._before_s = opening, before_s

    async def __aenter__(self):
        await asyncio.sleep(self._before_s)
        return await self._opening.__aenter__()

    async def __aexit__(self, *error):
        return await self._opening.__aexit__(*error)


@pytest.mark.parametrize(("promise_s", "begins_s"), [(60, 45), (20, 15), (0, 0), (600, 585)])
def test_a_hand_over_begins_early_enough_for_its_promise(promise_s, begins_s):
    group = replace(default_group(ACME, "600675", NOW), fallback_after_s=promise_s)
    assert group.fallback_at(NOW) == NOW + timedelta(seconds=begins_s)


async def is_done(world, ident):
    return (await world.delivery_of(ident)).state is DeliveryState.DONE


async def test_hand_overs_go_on_with_no_bus_served_at_all(world):
    """Nobody owns the wire: no process serves the bus, and the customer has the digits in time."""
    process = world.process()
    tending = asyncio.create_task(process.tending.serve())
    await process.desk.recharge(order("r1", DRN))
    await until(lambda: world.postman.given, within_s=DEFAULT_FALLBACK_S)
    assert (await world.delivery_of("r1")).bus == BUS
    assert (await world.delivery_of("r1")).attempts == 0
    tending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await tending


async def test_nobody_can_be_told_and_the_digits_go_as_soon_as_somebody_can(world):
    world.meters[Drn(DRN)].faults.silent = True
    world.postman.down = True
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await asyncio.sleep(600)
        assert (await world.delivery_of("r1")).handed_at is None
        world.postman.down = False
        await until(lambda: world.postman.given, within_s=301)
    assert (await world.delivery_of("r1")).handed_at is not None


@pytest.mark.parametrize("step", range(1, 9))
async def test_a_process_that_dies_while_it_gives_gives_the_same_once_more(world, step):
    """At most twice, never not at all; the second time by the same name, so a gateway knows it."""
    world.meters[Drn(DRN)].faults.silent = True
    await world.process().desk.recharge(order("r1", DRN))
    await asyncio.sleep(DEFAULT_FALLBACK_S)
    dying = world.process(Fuse(left=step))
    with suppress(Killed, BaseExceptionGroup, TimeoutError):
        async with asyncio.timeout(30):
            await dying.tending.serve()
    living = asyncio.create_task(world.process().tending.serve())
    await asyncio.sleep(CLAIM.total_seconds() + 5)
    living.cancel()
    await asyncio.gather(living, return_exceptions=True)
    notes = world.postman.given
    assert 1 <= len(notes) <= 2
    assert len({(note.id, note.digits) for note in notes}) == 1
    assert (await world.delivery_of("r1")).handed_at is not None


class AwayStore:
    """A database that is away while told so."""

    def __init__(self, store) -> None:
        self._store = store
        self.away = False

    def begin(self):
        self._require()
        return self._store.begin()

    def look(self):
        self._require()
        return self._store.look()

    def _require(self) -> None:
        if self.away:
            raise StoreDown("away")


async def test_with_the_database_away_nobody_is_told_and_when_it_is_back_everybody_is():
    store = AwayStore(MemoryStore())
    world = World(store)
    await world.set_up(DRN)
    world.meters[Drn(DRN)].faults.silent = True
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await asyncio.sleep(1)
        store.away = True
        await asyncio.sleep(DEFAULT_FALLBACK_S - 5)
        assert not world.postman.given
        with pytest.raises(StoreDown):
            await process.desk.recharge(order("r2", DRN))
        store.away = False
        await until(lambda: world.postman.given, within_s=5)
        world.meters[Drn(DRN)].faults.silent = False
        await until(lambda: is_done(world, "r1"), within_s=1000)
    assert world.credited(DRN) == 10


async def test_a_clock_set_back_delays_what_is_under_way_by_as_much_and_doubles_nothing(world):
    world.meters[Drn(DRN)].faults.silent = True
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await asyncio.sleep(10)
        world.clock.start -= timedelta(minutes=10)
        await process.desk.recharge(order("r2", DRN))
        await until(lambda: told(world, "r2"), within_s=DEFAULT_FALLBACK_S)
        await until(lambda: told(world, "r1"), within_s=600 + DEFAULT_FALLBACK_S)
        world.meters[Drn(DRN)].faults.silent = False
        await until(lambda: is_done(world, "r1"), within_s=2000)
        await until(lambda: is_done(world, "r2"), within_s=2000)
    assert world.credited(DRN) == 20


async def test_a_clock_set_forward_means_digits_early_and_doubles_nothing(world):
    world.meters[Drn(DRN)].faults.silent = True
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await asyncio.sleep(10)
        world.clock.start += timedelta(hours=3)
        await until(lambda: told(world, "r1"), within_s=5)
        world.meters[Drn(DRN)].faults.silent = False
        await until(lambda: is_done(world, "r1"), within_s=2000)
    assert world.credited(DRN) == 10


async def told(world, ident):
    delivery = await world.delivery_of(ident)
    return delivery.handed_at is not None
