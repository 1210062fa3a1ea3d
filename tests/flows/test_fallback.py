"""Digits in hand in time, whatever the wire, the meter or a provider does; in virtual time."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from headend.deliveries import Confirmation, DeliveryState
from headend.meters import Drn
from headend.supply_groups import DEFAULT_FALLBACK_S, default_group
from tests.builders import NOW
from tests.builders import TENANT as ACME
from tests.fakes import MemoryStore
from tests.flows.world import BUS, World, order, until

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

    def open(self, meter):
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

    def open(self, meter):
        return SlowOpening(self._wire.open(meter), self.before_s)


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
