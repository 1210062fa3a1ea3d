"""What waits for people: listed with what is known, and closed by their word or by proof."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from adapters.simulators.faults import Dying
from headend.deliveries import Confirmation, DeliveryState
from headend.evidence import EvidenceKind, Says
from headend.meters import Drn
from headend.occurrences import Occurrence
from headend.outbox import StreamFilter
from headend.pages import Cursor
from headend.recharges import RechargeState
from headend.refusals import CreditNoteRequired, MeterSaysOtherwise, NotOnTheWorkList
from headend.usage_points import Contact
from headend.worklist import Way, WorkCause
from headend.worklist_desk import WorkListDesk
from tests.fakes import MemoryStore
from tests.flows.world import NEIGHBOUR, TENANT, World, a_poll_of, order, until

pytestmark = pytest.mark.virtual_time
DRN = "12345678903"
BY = "K. Otieno (key 1)"


@pytest.fixture
async def world() -> World:
    world = World(MemoryStore())
    await world.set_up(DRN)
    await world.put_group(deadline_after_s=120)
    async with world.store.begin() as tx:
        await tx.polls.put(a_poll_of(DRN, world.clock.now(), interval_s=900))
    return world


@asynccontextmanager
async def unresolved(
    world: World, *, taken: bool = False, told: tuple[Contact, ...] = (NEIGHBOUR,)
):
    """A sale whose outcome nobody can tell, and the desk where people settle it."""
    meter = world.meters[Drn(DRN)]
    meter.faults.dying = Dying.AFTER if taken else Dying.BEFORE
    async with world.process().running() as process:
        desk = WorkListDesk(world.store, clock=world.clock, chance=world.chance, wake=process.wake)
        await process.desk.recharge(order("r1", DRN, fallback_to=told))
        await until(lambda: meter.token_port.pending, within_s=10)
        meter.faults.silent = True
        await until(lambda: stands(world, "r1", DeliveryState.UNRESOLVED), within_s=300)
        yield process, desk


async def stands(world: World, ident: str, state: DeliveryState) -> bool:
    delivery = await world.delivery_of(ident)
    return delivery is not None and delivery.state is state


async def the_work(desk: WorkListDesk):
    (work,) = (await desk.page(TENANT, Cursor())).items
    return work


async def test_a_person_confirms_and_it_is_kept_as_a_persons_word(world):
    async with unresolved(world, taken=True) as (_, desk):
        work = await the_work(desk)
        assert work.cause is WorkCause.OUTCOME_UNKNOWN
        assert Way.CONFIRM_TAKEN in work.ways(world.clock.now())
        assert Way.REVERSE not in work.ways(world.clock.now())
        done = await desk.say_taken(TENANT, work.delivery.id, by=BY, note="on the display")
        assert (await desk.page(TENANT, Cursor())).items == []
        async with world.store.look() as tx:
            evidence = await tx.evidence.of(done.id, TENANT)
    assert (done.state, done.confirmed_by) == (DeliveryState.DONE, Confirmation.PERSON)
    (word,) = [one for one in evidence if one.kind is EvidenceKind.PERSON]
    assert (word.says, word.by, word.detail) == (Says.TAKEN, BY, "on the display")


async def test_what_was_not_taken_is_handed_over_again_and_no_token_is_made(world):
    meter = world.meters[Drn(DRN)]
    async with unresolved(world) as (_, desk):
        work = await the_work(desk)
        given = len(world.postman.given)
        await desk.say_not_taken(TENANT, work.delivery.id, by=BY, note="")
        await until(lambda: len(world.postman.given) > given, within_s=10)
        assert world.postman.given[-1].digits == world.postman.given[0].digits
        async with world.store.look() as tx:
            assert len(await tx.tokens.of(work.delivery.id, TENANT)) == 1
        meter.faults.silent = False
        await until(lambda: stands(world, "r1", DeliveryState.DONE), within_s=120)
    assert world.credited(DRN) == 10


async def test_a_person_does_not_outweigh_the_meter_and_nothing_else_is_settled_here(world):
    meter = world.meters[Drn(DRN)]
    meter.set_wrong_key(True)
    async with world.process().running() as process:
        desk = WorkListDesk(world.store, clock=world.clock, chance=world.chance, wake=process.wake)
        await process.desk.recharge(order("r1", DRN))
        await until(lambda: meter.token_port.pending, within_s=10)
        meter.faults.lose(1)
        await until(lambda: stands(world, "r1", DeliveryState.UNRESOLVED), within_s=200)
        work = await the_work(desk)
        assert work.cause is WorkCause.REFUSED
        for saying in (desk.say_taken, desk.say_not_taken):
            with pytest.raises(MeterSaysOtherwise):
                await saying(TENANT, work.delivery.id, by=BY, note="")
        with pytest.raises(NotOnTheWorkList):
            await desk.book(TENANT, work.delivery.id, by=BY, note="")
        with pytest.raises(CreditNoteRequired):
            await process.desk.reverse(TENANT, "r1", reason="customer asks")
        meter.set_wrong_key(False)
        await process.desk.recharge(order("r2", DRN))
        await until(lambda: stands(world, "r2", DeliveryState.DONE), within_s=60)
        second = await world.delivery_of("r2")
        assert second is not None
        with pytest.raises(NotOnTheWorkList):
            await desk.say_taken(TENANT, second.id, by=BY, note="")


async def test_the_money_goes_back_only_when_it_is_proved_unused(world):
    """Nobody has the digits, and the meter, asked when nothing is under way, does not know them."""
    meter = world.meters[Drn(DRN)]
    async with unresolved(world, told=()) as (process, desk):
        work = await the_work(desk)
        with pytest.raises(CreditNoteRequired):
            await process.desk.reverse(TENANT, "r1", reason="customer asks")
        meter.faults.silent = False
        await asyncio.sleep(1200)
        work = await the_work(desk)
        assert Way.REVERSE in work.ways(world.clock.now())
        undone = await process.desk.reverse(TENANT, "r1", reason="customer asks")
        assert undone.state is RechargeState.REVERSED
        assert (await desk.page(TENANT, Cursor())).items == []
        await a_late_truth(world, desk, meter)
    assert world.credited(DRN) == 10


async def a_late_truth(world: World, desk: WorkListDesk, meter) -> None:
    """Somebody had the digits all the same: an alarm, and work until the books are right."""
    delivery = await world.delivery_of("r1")
    assert delivery is not None
    async with world.store.look() as tx:
        (token,) = await tx.tokens.of(delivery.id, TENANT)
    meter.customer_types(token.digits, world.clock.now())
    await until(lambda: stands(world, "r1", DeliveryState.DONE), within_s=3600)
    recharge = await world.recharge_of("r1")
    assert recharge is not None
    assert recharge.state is RechargeState.REVERSED
    work = await the_work(desk)
    assert (work.cause, work.ways(world.clock.now())) == (
        WorkCause.CREDITED_AFTER_REVERSAL,
        (Way.BOOK,),
    )
    async with world.store.begin() as tx:
        now = world.clock.now()
        await tx.outbox.order(now=now, give_up_at=now, limit=100)
    async with world.store.look() as tx:
        told = await tx.outbox.after(TENANT, 0, StreamFilter(), limit=100)
    late = [one for one in told if one.announcement.occurrence is Occurrence.DELIVERY_LATE_TRUTH]
    assert len(late) == 1
    await desk.book(TENANT, work.delivery.id, by=BY, note="credit note 17 withdrawn")
    assert (await desk.page(TENANT, Cursor())).items == []
