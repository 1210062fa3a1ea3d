"""Orders that were taken before their kind was held: kept back, until it is lifted or too late."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from headend.credit_parameters import CreditParameters
from headend.dangers import Danger
from headend.deliveries import Confirmation, DeliveryMethod, DeliveryState, Fact
from headend.holds import Hold
from headend.meters import Drn, Keypad, UsagePointId
from headend.people import PersonId
from headend.recharges import RechargeState
from headend.refusals import KindHeld
from headend.supply import SupplyAction
from headend.tokens import ManagementKind, ManagementOrder
from headend.usage_points import UsagePoint
from tests.fakes import MemoryStore
from tests.flows.test_key_change import DRN, NEXT, add_key, delivery, done, record_of
from tests.flows.test_recharge import settled
from tests.flows.test_supply import order_supply
from tests.flows.world import NEIGHBOUR, SGC, TENANT, World, order, until

pytestmark = pytest.mark.virtual_time
LIMIT = ManagementOrder(ManagementKind.POWER_LIMIT, value=5000)


@pytest.fixture
async def world() -> World:
    world = World(MemoryStore())
    await world.set_up(DRN)
    await add_key(world, krn=2)
    return world


async def hold(world: World, danger: Danger) -> Hold:
    now = world.clock.now()
    held = Hold(id="h1", tenant=TENANT, danger=danger, sgc=SGC, reason="too many", since=now)
    async with world.store.begin() as tx:
        assert await tx.holds.add(held)
    return held


async def lift(world: World, held: Hold) -> None:
    async with world.store.begin() as tx:
        assert await tx.holds.lift(
            replace(held, lifted_at=world.clock.now(), lifted_by=PersonId("p1"))
        )


async def change_key(process, world):
    return await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident="one", ordered_by="key")


async def limit_power(process, world):
    return await process.keys.order_management(
        TENANT, Drn(DRN), LIMIT, ident="one", ordered_by="key"
    )


async def set_parameters(process, world):
    change = CreditParameters(power_limit_w=5000)
    return await process.commands.order_parameters(
        TENANT, Drn(DRN), change, ident="one", ordered_by="key"
    )


KINDS = [
    (change_key, Danger.KEY_CHANGE),
    (limit_power, Danger.POWER_LIMIT),
    (set_parameters, Danger.POWER_LIMIT),
]


@pytest.mark.parametrize(("asks", "danger"), KINDS)
async def test_what_was_ordered_before_a_hold_waits_until_it_is_lifted(world, asks, danger):
    process = world.process()
    await asks(process, world)
    held = await hold(world, danger)
    async with process.running():
        await asyncio.sleep(600)
        kept = await delivery(world, "one")
        assert (kept.state, kept.attempts) == (DeliveryState.WAITING, 0)
        await lift(world, held)

        async def tried() -> bool:
            return (await delivery(world, "one")).attempts > 0

        await until(tried, within_s=120)


@pytest.mark.parametrize(("asks", "danger"), KINDS)
async def test_what_is_held_to_its_deadline_has_expired_and_was_never_sent(world, asks, danger):
    process = world.process()
    ordered, _ = await asks(process, world)
    soon = replace(ordered, deadline=world.clock.now() + timedelta(minutes=5))
    async with world.store.begin() as tx:
        await tx.deliveries.save(soon, was=DeliveryState.WAITING)
    await hold(world, danger)
    async with process.running():
        await asyncio.sleep(400)
    ended = await delivery(world, "one")
    assert (ended.state, ended.stopped_by) == (DeliveryState.FAILED, Fact.EXPIRED)
    assert not ended.out


@pytest.mark.parametrize(("asks", "danger"), KINDS[:2])
async def test_tokens_in_doubt_are_asked_about_but_not_entered_again_while_held(
    world, asks, danger
):
    process = world.process()
    ordered, _ = await asks(process, world)
    now = world.clock.now()
    doubted = ordered.after(Fact.LEASED, now=now).after(Fact.NO_ANSWER, now=now)
    async with world.store.begin() as tx:
        await tx.deliveries.save(doubted, was=DeliveryState.WAITING)
    held = await hold(world, danger)
    async with process.running():
        await asyncio.sleep(930)
        kept = await delivery(world, "one")
        assert (kept.state, kept.attempts) == (DeliveryState.UNCERTAIN, 1)
        await lift(world, held)
        await done(world, "one", within_s=120)


async def test_permitting_supply_and_credit_pass_an_order_that_is_held(world):
    process = world.process()
    await limit_power(process, world)
    await hold(world, Danger.POWER_LIMIT)
    async with process.running():
        await asyncio.sleep(5)
        await order_supply(process, world, "permit", action=SupplyAction.PERMIT_CLOSE)
        await process.desk.recharge(order("r1", DRN))
        await done(world, "permit", within_s=30)
        await settled(world, "r1", RechargeState.LIT, within_s=30)
        assert (await delivery(world, "one")).state is DeliveryState.WAITING


async def test_a_key_change_that_paid_credit_waits_for_goes_on(world):
    process = world.process()
    await change_key(process, world)
    await hold(world, Danger.KEY_CHANGE)
    async with process.running():
        await asyncio.sleep(600)
        assert (await delivery(world, "one")).state is DeliveryState.WAITING
        await process.desk.recharge(order("r1", DRN))
        await done(world, "one", within_s=180)
        assert await record_of(world) == NEXT

        await settled(world, "r1", RechargeState.LIT, within_s=180)


async def test_digits_of_a_held_order_are_neither_handed_over_nor_shown(world):
    async with world.store.begin() as tx:
        meter = await tx.meters.find(TENANT, Drn(DRN))
        by_hand = replace(meter, route=None, keypad=Keypad.METER, version=meter.version + 1)
        point = UsagePointId("house-1")
        await tx.meters.save(replace(by_hand, usage_point=point), was=meter.version)
        await tx.usage_points.put(
            UsagePoint(
                tenant=TENANT, id=point, contacts=(NEIGHBOUR,), changed_at=world.clock.now()
            ),
            was=None,
        )
    process = world.process()
    ordered, _ = await limit_power(process, world)
    assert DeliveryMethod.MANUAL in ordered.methods
    held = await hold(world, Danger.POWER_LIMIT)
    async with process.running():
        await asyncio.sleep(600)
        with pytest.raises(KindHeld, match="too many"):
            await process.keys.reveal(TENANT, "one")
        assert not (await delivery(world, "one")).out
        assert not world.postman.given
        await lift(world, held)
        await asyncio.sleep(120)
        assert len(world.postman.given) == 1
        assert len(await process.keys.reveal(TENANT, "one")) == 1
        assert (await delivery(world, "one")).out
        confirmed = await process.keys.confirm(TENANT, "one", by="K. Otieno")
        assert confirmed.confirmed_by is Confirmation.PERSON
