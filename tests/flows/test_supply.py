"""Supply orders whose answers are lost: looked at, closed by people, overtaken; in virtual time."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.simulators.relay import Hold
from headend.audit import HEAD_END, AuditAction
from headend.commands import SetSupply
from headend.darkness import Darkness, dark_page
from headend.deliveries import NEWEST_LIMIT, Confirmation, Delivery, DeliveryState, Fact
from headend.evidence import EvidenceKind, Says
from headend.meters import Drn
from headend.pages import Cursor
from headend.recharges import RechargeState
from headend.refusals import NotOnTheWorkList
from headend.supply import ControlState, Supply, SupplyAction, SupplyReason
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


async def dark_by_us(world: World, process: Process, reason: SupplyReason) -> None:
    """The supply was opened by our order, and everybody knows it."""
    await asyncio.sleep(5)
    await order_supply(process, world, reason=reason)
    await until(lambda: is_in(world, DeliveryState.DONE), within_s=60)
    assert not meter_of(world).relay.closed


async def sale_is(world: World, *states: RechargeState) -> bool:
    recharge = await world.recharge_of("r1")
    return recharge is not None and recharge.state in states


async def permits(world: World) -> list[Delivery]:
    async with world.store.look() as tx:
        every = await tx.deliveries.newest_of(
            TENANT, Drn(DRN), SetSupply, states=frozenset(DeliveryState)
        )
    return [
        one
        for one in every
        if isinstance(one.command, SetSupply) and one.command.action is SupplyAction.PERMIT_CLOSE
    ]


LIGHT = (RechargeState.LIT, RechargeState.AWAITING_BUTTON)


async def test_who_was_disconnected_for_non_payment_and_pays_is_lit_again(world):
    async with world.process().running() as process:
        await dark_by_us(world, process, SupplyReason.NON_PAYMENT)
        await process.desk.recharge(order("r1", DRN))
        await until(lambda: sale_is(world, *LIGHT), within_s=120)
        await process.desk.recharge(order("r2", DRN))
        await asyncio.sleep(60)
    (permit,) = await permits(world)
    assert (permit.state, permit.ordered_by) == (DeliveryState.DONE, None)
    async with world.store.look() as tx:
        audit = await tx.audit.page(TENANT, Cursor(), action=AuditAction.ORDERED)
    told = [record.entry for record in audit.items if record.entry.by == HEAD_END]
    assert [entry.subject for entry in told] == [permit.id]
    assert (told[0].about["opening"], told[0].about["recharge"]) == ("open-1", "r1")


async def test_who_was_disconnected_for_another_reason_is_on_the_list_until_somebody_permits(world):
    async with world.process().running() as process:
        await dark_by_us(world, process, SupplyReason.MAINTENANCE)
        await process.desk.recharge(order("r1", DRN))
        await until(lambda: sale_is(world, RechargeState.DARK), within_s=120)
        await asyncio.sleep(300)
        async with world.store.look() as tx:
            (sale,) = (await dark_page(tx.paid_sales, TENANT, Cursor())).items
        assert sale.cause is Darkness.DISCONNECTED
        assert await permits(world) == []
        await order_supply(
            process, world, "close-1", action=SupplyAction.PERMIT_CLOSE,
            reason=SupplyReason.CUSTOMER_REQUEST,
        )  # fmt: skip
        await until(lambda: sale_is(world, *LIGHT), within_s=120)


@pytest.mark.parametrize("on_top", [1, NEWEST_LIMIT])
async def test_a_payment_never_undoes_an_opening_for_safety_under_one_for_non_payment(
    world, on_top
):
    async with world.process().running() as process:
        await dark_by_us(world, process, SupplyReason.SAFETY)
        newest = await order_supply(process, world, "open-2")
        await until(lambda: is_in(world, DeliveryState.DONE, "open-2"), within_s=60)
        async with world.store.begin() as tx:
            for number in range(1, on_top):
                later = newest.created_at + timedelta(milliseconds=number)
                another = replace(
                    newest, id=f"bulk-{number}", rank=newest.rank + number,
                    state=DeliveryState.DONE, created_at=later, confirmed_at=later,
                )  # fmt: skip
                await tx.deliveries.add(another)
        await process.desk.recharge(order("r1", DRN))
        await until(lambda: sale_is(world, RechargeState.DARK), within_s=120)
        await asyncio.sleep(300)
    assert await permits(world) == []
    assert not meter_of(world).relay.closed


@pytest.mark.parametrize("waits", [True, False])
async def test_an_opening_for_safety_outlives_one_for_non_payment_that_a_payment_ends(world, waits):
    """Both wait, or were sent and not heard by the meter, when the customer pays."""
    meter = meter_of(world)
    async with world.process().running() as process:
        await asyncio.sleep(5)
        meter.faults.busy, meter.faults.silent = waits, not waits
        state = DeliveryState.WAITING if waits else DeliveryState.UNCERTAIN
        await order_supply(process, world, reason=SupplyReason.SAFETY)
        await until(lambda: is_in(world, state), within_s=20)
        await order_supply(process, world, "open-2")
        await until(lambda: is_in(world, state, "open-2"), within_s=120)
        await process.desk.recharge(order("r1", DRN))
        meter.faults.busy = meter.faults.silent = False
        await until(lambda: is_in(world, DeliveryState.DONE), within_s=300)
        await asyncio.sleep(1800)
    assert await permits(world) == []
    assert not meter.relay.closed


async def test_a_sale_that_is_under_way_stops_an_opening_for_non_payment(world):
    """It was paid before the opening was ordered, and its credit comes in at the same time."""
    meter = meter_of(world)
    async with world.process().running() as process:
        await asyncio.sleep(5)
        meter.faults.busy = True
        await process.desk.recharge(order("r1", DRN))
        await until(lambda: sale_is(world, RechargeState.ISSUED), within_s=20)
        await asyncio.sleep(5)
        await order_supply(process, world)
        meter.faults.busy = False
        await until(lambda: is_in(world, DeliveryState.CANCELLED), within_s=300)
        await until(lambda: sale_is(world, RechargeState.LIT), within_s=300)
    assert await permits(world) == []
    assert meter.relay.closed


async def test_a_sale_from_before_the_opening_does_not_undo_it(world):
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await until(lambda: sale_is(world, *LIGHT), within_s=120)
        await dark_by_us(world, process, SupplyReason.NON_PAYMENT)
        await asyncio.sleep(1800)
    assert await permits(world) == []
    assert not meter_of(world).relay.closed


async def test_a_payment_has_an_opening_in_doubt_looked_at_now_and_cancels_one_that_waits(world):
    process, now = world.process(), world.clock.now()
    later = now + timedelta(hours=16)
    for ident, state in (("open-1", DeliveryState.UNCERTAIN), ("open-2", DeliveryState.WAITING)):
        opening = await order_supply(process, world, ident, for_s=72 * 3600)
        doubt = state is DeliveryState.UNCERTAIN
        held = replace(opening, state=state, not_before=later, maybe_taken=doubt)
        async with world.store.begin() as tx:
            await tx.deliveries.save(held, was=DeliveryState.WAITING)
    await process.desk.recharge(order("r1", DRN))
    opening = await the_order(world)
    assert (opening.state, opening.not_before) == (DeliveryState.UNCERTAIN, world.clock.now())
    assert await is_in(world, DeliveryState.CANCELLED, "open-2")


@pytest.mark.parametrize("arrived", [True, False])
async def test_lose_the_answer_of_the_opening_then_sell_and_the_home_is_lit(world, arrived):
    """Whether or not it was carried out, and although it would be tried again for an hour."""
    meter = meter_of(world)
    async with world.process().running() as process:
        await asyncio.sleep(5)
        meter.faults.silent = not arrived
        if arrived:
            meter.faults.lose(1)
        await order_supply(process, world)
        await until(lambda: is_in(world, DeliveryState.UNCERTAIN), within_s=20)
        meter.faults.silent = False
        await process.desk.recharge(order("r1", DRN))
        await until(lambda: sale_is(world, *LIGHT), within_s=120)
        await asyncio.sleep(3600)
        assert await sale_is(world, *LIGHT)
    assert meter.relay.closed or meter.relay.control is ControlState.READY
    assert len(await permits(world)) <= 1


def tells_contacts_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The meters are such that say neither what commands the contacts nor why they are open."""
    monkeypatch.setattr(
        "tests.flows.world.judge_supply",
        lambda signs, taken_at: Supply(contacts=signs.contacts, taken_at=taken_at),
    )


async def out_of_credit(world: World) -> None:
    """The meter is off for reasons of its own, and uses nothing any more."""
    meter = meter_of(world)
    meter.set_load(20_000, world.clock.now())
    await asyncio.sleep(1000)
    meter.advance(world.clock.now())
    meter.set_load(0, world.clock.now())
    assert not meter.relay.closed


@pytest.mark.parametrize("contacts_only", [False, True])
async def test_an_opening_that_a_dark_meter_never_heard_is_sent_again_and_holds(
    world, monkeypatch, contacts_only
):
    if contacts_only:
        tells_contacts_only(monkeypatch)
    await out_of_credit(world)
    meter = meter_of(world)
    async with world.process().running() as process:
        await asyncio.sleep(5)
        meter.faults.silent = True
        await order_supply(process, world, reason=SupplyReason.SAFETY)
        await until(lambda: is_in(world, DeliveryState.UNCERTAIN), within_s=20)
        meter.faults.silent = False
        await until(lambda: is_in(world, DeliveryState.DONE), within_s=120)
        await process.desk.recharge(order("r1", DRN))
        await until(lambda: sale_is(world, RechargeState.DARK), within_s=120)
        await asyncio.sleep(300)
    assert not meter.relay.closed


@pytest.mark.parametrize("contacts_only", [False, True])
async def test_a_dark_meter_settles_no_opening_that_expired_in_doubt(
    world, monkeypatch, contacts_only
):
    if contacts_only:
        tells_contacts_only(monkeypatch)
    await out_of_credit(world)
    async with unresolved(world, arrived=False) as process:
        meter_of(world).faults.silent = False
        await asyncio.sleep(1800)
        (work,) = (await desk_of(world, process).page(TENANT, Cursor())).items
    assert (work.delivery.id, work.delivery.state) == ("open-1", DeliveryState.UNRESOLVED)


async def test_an_opening_that_comes_late_to_a_meter_with_bare_contacts_is_undone_for_who_paid(
    world, monkeypatch
):
    tells_contacts_only(monkeypatch)
    meter = meter_of(world)
    async with world.process().running() as process:
        await asyncio.sleep(5)
        meter.faults.silent = True
        await order_supply(process, world, for_s=72 * 3600)
        await until(lambda: is_in(world, DeliveryState.UNCERTAIN), within_s=20)
        meter.faults.silent = False
        await process.desk.recharge(order("r1", DRN))
        await until(lambda: sale_is(world, RechargeState.LIT), within_s=30)
        meter.circuit.hold(Hold.REMOTE, world.clock.now())
        assert not meter.relay.closed
        await asyncio.sleep(1800)
    assert meter.relay.closed or meter.relay.control is ControlState.READY
