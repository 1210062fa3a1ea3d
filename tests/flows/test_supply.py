"""Supply orders whose answers are lost: looked at, closed by people, overtaken; in virtual time."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from headend.audit import AuditAction
from headend.deliveries import Confirmation, Delivery, DeliveryState, Fact
from headend.evidence import EvidenceKind, Says
from headend.meters import Drn
from headend.pages import Cursor
from headend.refusals import NotOnTheWorkList
from headend.supply import SupplyAction, SupplyReason
from headend.worklist import Way
from headend.worklist_desk import WorkListDesk
from tests.fakes import MemoryStore
from tests.flows.world import TENANT, Process, World, a_poll_of, order, until

pytestmark = pytest.mark.virtual_time
DRN = "12345678903"
BY = "K. Otieno (key 1)"


@pytest.fixture
async def world() -> World:
    world = World(MemoryStore())
    await world.set_up(DRN)
    async with world.store.begin() as tx:
        await tx.polls.put(a_poll_of(DRN, world.clock.now(), interval_s=900))
    return world


def meter_of(world: World):
    return world.meters[Drn(DRN)]


async def order_supply(
    process: Process,
    world: World,
    ident: str = "open-1",
    *,
    action: SupplyAction = SupplyAction.OPEN,
    reason: SupplyReason = SupplyReason.NON_PAYMENT,
    for_s: int = 3600,
) -> Delivery:
    delivery, _ = await process.commands.order_supply(
        TENANT,
        Drn(DRN),
        ident=ident,
        action=action,
        reason=reason,
        expires_at=world.clock.now() + timedelta(seconds=for_s),
        ordered_by="key-1",
    )
    return delivery


async def the_order(world: World, ident: str = "open-1") -> Delivery:
    async with world.store.look() as tx:
        found = await tx.deliveries.find(TENANT, ident)
    assert found is not None
    return found


async def is_in(world: World, state: DeliveryState, ident: str = "open-1") -> bool:
    return (await the_order(world, ident)).state is state


def desk_of(world: World, process: Process) -> WorkListDesk:
    return WorkListDesk(world.store, clock=world.clock, chance=world.chance, wake=process.wake)


@asynccontextmanager
async def unresolved(world: World, *, arrived: bool):
    """An opening that expired while nobody could tell whether it was carried out."""
    meter = meter_of(world)
    async with world.process().running() as process:
        await asyncio.sleep(5)
        meter.faults.silent = not arrived
        if arrived:
            meter.faults.lose(1)
        await order_supply(process, world, for_s=120)
        await until(lambda: is_in(world, DeliveryState.UNCERTAIN), within_s=20)
        meter.faults.silent = True
        await until(lambda: is_in(world, DeliveryState.UNRESOLVED), within_s=300)
        yield process


@pytest.mark.parametrize(
    ("arrived", "state", "fact", "says"),
    [
        (True, DeliveryState.DONE, None, Says.TAKEN),
        (False, DeliveryState.UNRESOLVED, Fact.NOT_AS_ORDERED, Says.NOT_SEEN),
    ],
)
async def test_a_later_look_tells_what_became_of_an_order_in_doubt(
    world, arrived, state, fact, says
):
    async with unresolved(world, arrived=arrived) as process:
        desk = desk_of(world, process)
        assert len((await desk.page(TENANT, Cursor())).items) == 1
        meter_of(world).faults.silent = False
        await asyncio.sleep(1800)
        settled = await the_order(world)
        assert (await desk.page(TENANT, Cursor())).items == []
        async with world.store.look() as tx:
            evidence = await tx.evidence.of("open-1", TENANT)
    assert settled.state is state
    assert settled.stopped_by is fact or arrived
    assert (evidence[-1].kind, evidence[-1].says) == (EvidenceKind.SUPPLY, says)
    assert meter_of(world).relay.closed is not arrived


@pytest.mark.parametrize(
    ("way", "state", "says"),
    [
        (Way.CONFIRM_TAKEN, DeliveryState.DONE, Says.TAKEN),
        (Way.CONFIRM_NOT_TAKEN, DeliveryState.UNRESOLVED, Says.NOT_SEEN),
        (Way.WITHDRAW, DeliveryState.UNRESOLVED, Says.WITHDRAWN),
    ],
)
async def test_a_person_closes_an_order_and_it_is_audited(world, way, state, says):
    async with unresolved(world, arrived=True) as process:
        desk = desk_of(world, process)
        (work,) = (await desk.page(TENANT, Cursor())).items
        assert way in work.ways(world.clock.now())
        saying = {
            Way.CONFIRM_TAKEN: desk.say_taken,
            Way.CONFIRM_NOT_TAKEN: desk.say_not_taken,
            Way.WITHDRAW: desk.withdraw,
        }[way]
        closed = await saying(TENANT, "open-1", by=BY, note="seen")
        assert (await desk.page(TENANT, Cursor())).items == []
        with pytest.raises(NotOnTheWorkList):
            await saying(TENANT, "open-1", by=BY, note="again")
        async with world.store.look() as tx:
            audit = await tx.audit.page(TENANT, Cursor(), action=AuditAction.ORDER_SETTLED)
            evidence = await tx.evidence.of("open-1", TENANT)
    assert closed.state is state
    if state is DeliveryState.DONE:
        assert closed.confirmed_by is Confirmation.PERSON
    (record,) = audit.items
    assert (record.entry.by, record.entry.subject, record.entry.result) == (BY, "open-1", says)
    assert (evidence[-1].kind, evidence[-1].by) == (EvidenceKind.PERSON, BY)


async def test_an_opening_in_doubt_is_not_sent_again_over_a_newer_order(world):
    meter = meter_of(world)
    async with world.process().running() as process:
        await asyncio.sleep(5)
        meter.faults.silent = True
        await order_supply(process, world)
        await until(lambda: is_in(world, DeliveryState.UNCERTAIN), within_s=20)
        await order_supply(
            process, world, "close-1", action=SupplyAction.PERMIT_CLOSE, for_s=36_000
        )
        meter.faults.silent = False
        await asyncio.sleep(1800)
        opening, closing = await the_order(world), await the_order(world, "close-1")
    assert meter.relay.closed
    assert closing.state is DeliveryState.DONE
    assert (opening.state, opening.stopped_by) == (DeliveryState.UNRESOLVED, Fact.NOT_AS_ORDERED)


async def test_what_nobody_wants_any_more_is_closed_long_before_its_deadline(world):
    """Paid after a lost order that never arrived: looked at until it can be under way no more."""
    meter = meter_of(world)
    async with world.process().running() as process:
        await asyncio.sleep(5)
        meter.faults.silent = True
        await order_supply(process, world, for_s=36_000)
        await until(lambda: is_in(world, DeliveryState.UNCERTAIN), within_s=20)
        meter.faults.silent = False
        await process.desk.recharge(order("r1", DRN))
        await asyncio.sleep(600)
        opening = await the_order(world)
        assert (await desk_of(world, process).page(TENANT, Cursor())).items == []
    assert (opening.state, opening.stopped_by) == (DeliveryState.UNRESOLVED, Fact.NOT_AS_ORDERED)
    assert meter.relay.closed
