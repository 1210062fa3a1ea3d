"""What counts as evidence of a token, when other tokens came to the same meter meanwhile."""

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from headend.agenda import Urgency
from headend.deliveries import Confirmation, Delivery, DeliveryState, Fact
from headend.meters import Drn
from headend.outcomes import Outcome, write_outcome
from headend.pages import Cursor
from headend.ports import Report, TokenSeen
from headend.readings import Reading, ReadingType
from headend.recharges import RechargeState
from headend.supply import Contacts, ControlState, Supply
from headend.supply_groups import Reveal
from headend.tokens import Token, TokenOutcome, TokenResult
from headend.used_tokens import whose_was_used
from headend.worklist import Way, WorkCause
from headend.worklist_desk import work_of
from tests.fakes import MemoryStore
from tests.flows.world import BUS, TENANT, Process, World, a_poll_of, order

pytestmark = pytest.mark.virtual_time
DRN = Drn("12345678903")
OPEN = DeliveryState.WAITING


@pytest.fixture
async def world() -> World:
    world = World(MemoryStore())
    await world.set_up(DRN)
    await world.put_group(reveal=Reveal.AT_ONCE)
    return world


async def sold(world: World, process: Process, ident: str) -> Token:
    """A sale whose digits the customer holds; no bus runs."""
    await process.desk.recharge(order(ident, DRN), may_reveal=True)
    delivery = await world.delivery_of(ident)
    assert delivery is not None
    assert delivery.out
    async with world.store.look() as tx:
        (token,) = await tx.tokens.of(delivery.id, TENANT)
    await asyncio.sleep(60)
    return token


async def lease(world: World) -> str | None:
    """A bus takes the next delivery; returns whose."""
    now = world.clock.now()
    async with world.store.begin() as tx:
        (leased,) = await tx.deliveries.take_next(
            BUS,
            priorities=tuple(Urgency),
            now=now,
            lease_id="l",
            lease_until=now + timedelta(seconds=75),
            limit=1,
        )
    return leased.delivery.recharge_id


async def told(
    process: Process,
    *tokens: TokenSeen,
    readings: tuple[Reading, ...] = (),
    supply: Supply | None = None,
    stored: bool = False,
) -> None:
    report = Report(
        tenant=TENANT,
        drn=DRN,
        bus=BUS,
        address=DRN,
        tokens=tokens,
        readings=readings,
        supply=supply,
        stored=stored,
    )
    await process.intake.accept([report])


def registers(
    world: World, credit_milli: int, *, ahead: timedelta = timedelta()
) -> tuple[Reading, ...]:
    now = world.clock.now()
    values = {ReadingType.CREDIT_LEFT_MILLI: credit_milli, ReadingType.ENERGY_IMPORT_WH: 0}
    return tuple(
        Reading(
            tenant=TENANT, drn=DRN, type=kind, value=value, taken_at=now + ahead, received_at=now
        )
        for kind, value in values.items()
    )


async def end_of(world: World, ident: str) -> tuple[DeliveryState, Confirmation | None]:
    delivery: Delivery | None = await world.delivery_of(ident)
    assert delivery is not None
    return delivery.state, delivery.confirmed_by


async def test_asked_for_ours_the_meter_may_tell_of_another_vendors_token_of_the_same_tid(world):
    process = world.process()
    token = await sold(world, process, "r1")
    theirs = TokenOutcome(result=TokenResult.ACCEPT, tid=token.tid, amount=Decimal("3.3"))
    await told(process, TokenSeen(token_id=token.id, outcome=theirs))
    assert await end_of(world, "r1") == (OPEN, None)
    ours = TokenOutcome(result=TokenResult.ACCEPT, tid=token.tid, amount=Decimal(10))
    await told(process, TokenSeen(token_id=token.id, outcome=ours))
    assert await end_of(world, "r1") == (DeliveryState.DONE, Confirmation.ECHO)


async def test_used_is_left_to_whoever_can_ask_whose_token_it_was(world):
    process = world.process()
    token = await sold(world, process, "r1")
    used = TokenOutcome(result=TokenResult.USED_ERROR, tid=token.tid)
    await told(process, TokenSeen(token_id=token.id, outcome=used))
    assert await end_of(world, "r1") == (OPEN, None)


async def test_the_register_shows_a_sale_only_if_no_other_was_credited_since(world):
    process = world.process()
    await told(process, readings=registers(world, 5_000))
    await asyncio.sleep(60)
    first = await sold(world, process, "r1")
    await sold(world, process, "r2")  # of the same amount
    taken = TokenOutcome(result=TokenResult.ACCEPT, tid=first.tid, amount=Decimal(10))
    await told(process, TokenSeen(outcome=taken))
    await told(process, readings=registers(world, 15_000))
    assert await end_of(world, "r1") == (DeliveryState.DONE, Confirmation.TOKEN_LOG)
    assert await end_of(world, "r2") == (OPEN, None)


async def test_the_register_shows_nothing_while_another_token_is_being_entered(world):
    process = world.process()
    await told(process, readings=registers(world, 5_000))
    await asyncio.sleep(60)
    await process.desk.recharge(order("r1", DRN))
    assert await lease(world) == "r1"
    await sold(world, process, "r2")  # of the same amount
    await told(process, readings=registers(world, 15_000))
    assert await end_of(world, "r2") == (OPEN, None)


async def test_a_meter_whose_clock_is_ahead_does_not_hide_another_sale(world):
    process = world.process()
    ahead = timedelta(seconds=110)  # too little to be suspect
    await told(process, readings=registers(world, 5_000, ahead=ahead))
    await asyncio.sleep(10)
    first = await sold(world, process, "r1")
    taken = TokenOutcome(result=TokenResult.ACCEPT, tid=first.tid, amount=Decimal(10))
    await told(process, TokenSeen(outcome=taken))
    await asyncio.sleep(ahead.total_seconds())
    await sold(world, process, "r2")
    await told(process, readings=registers(world, 15_000, ahead=ahead))
    assert await end_of(world, "r1") == (DeliveryState.DONE, Confirmation.TOKEN_LOG)
    assert await end_of(world, "r2") == (OPEN, None)


async def test_the_register_shows_a_sale_that_was_the_only_one(world):
    process = world.process()
    await told(process, readings=registers(world, 5_000))
    await asyncio.sleep(60)
    await sold(world, process, "r1")
    await told(process, readings=registers(world, 15_000))
    assert await end_of(world, "r1") == (DeliveryState.DONE, Confirmation.CREDIT_REGISTER)


# --- used, and the log does not tell whose it was -----------------------------------------------


async def used(world: World, ident: str, credit_milli: int) -> Fact:
    """The meter calls the token used, and these are its registers then."""
    delivery = await world.delivery_of(ident)
    assert delivery is not None
    echo = TokenOutcome(result=TokenResult.USED_ERROR)
    now = world.clock.now()
    async with world.store.begin() as tx:
        (token,) = await tx.tokens.of(delivery.id, TENANT)
        seen = registers(world, credit_milli)
        outcome = Outcome(fact=Fact.USED, token_id=token.id, echo=echo, readings=seen)
        judged = await whose_was_used(tx, delivery, outcome, now=now)
        await write_outcome(tx, delivery, judged, now=now, spread=0.0)
    return judged.fact


async def sold_and_sent(world: World, process: Process, ident: str) -> None:
    await told(process, readings=registers(world, 5_000))
    await asyncio.sleep(60)
    await sold(world, process, ident)
    await lease(world)


async def test_used_without_credit_in_the_registers_was_anothers(world):
    await sold_and_sent(world, world.process(), "r1")
    assert await used(world, "r1", 5_000) is Fact.USED_BY_ANOTHER
    assert await end_of(world, "r1") == (DeliveryState.UNRESOLVED, None)
    async with world.store.look() as tx:
        (waiting,) = (await tx.worklist.page(TENANT, Cursor())).items
        work = await work_of(tx, waiting)
    assert work.cause is WorkCause.USED_BY_ANOTHER
    assert Way.ASK_AGAIN in work.ways(world.clock.now())


async def test_used_with_the_credit_in_the_registers_was_ours(world):
    await sold_and_sent(world, world.process(), "r1")
    assert await used(world, "r1", 15_000) is Fact.SEEN
    assert await end_of(world, "r1") == (DeliveryState.DONE, Confirmation.CREDIT_REGISTER)


async def test_used_with_registers_that_cannot_tell_is_named_as_what_it_is(world):
    process = world.process()
    await sold_and_sent(world, process, "r1")
    assert await used(world, "r1", 8_300) is Fact.USED
    assert await end_of(world, "r1") == (DeliveryState.DONE, Confirmation.USED)


async def test_credit_that_another_sale_explains_proves_nothing(world):
    process = world.process()
    await sold_and_sent(world, process, "r1")
    second = await sold(world, process, "r2")  # of the same amount
    taken = TokenOutcome(result=TokenResult.ACCEPT, tid=second.tid, amount=Decimal(10))
    await told(process, TokenSeen(outcome=taken))
    assert await used(world, "r1", 15_000) is Fact.USED


# --- supply, and when it was seen ----------------------------------------------------------------


def supply_on(taken_at: datetime) -> Supply:
    return Supply(contacts=Contacts.CLOSED, control=ControlState.CONNECTED, taken_at=taken_at)


async def state_of(world: World, ident: str) -> RechargeState:
    recharge = await world.recharge_of(ident)
    assert recharge is not None
    return recharge.state


async def test_supply_seen_before_the_credit_was_in_lights_nothing(world):
    process = world.process()
    token = await sold(world, process, "r1")
    before_credit = world.clock.now() - timedelta(seconds=30)
    taken = TokenOutcome(result=TokenResult.ACCEPT, tid=token.tid, amount=Decimal(10))
    await told(process, TokenSeen(outcome=taken))
    assert await state_of(world, "r1") is RechargeState.CREDITED
    await asyncio.sleep(5)
    await told(process, supply=supply_on(before_credit))
    assert await state_of(world, "r1") is RechargeState.CREDITED
    await told(process, supply=supply_on(world.clock.now()))
    assert await state_of(world, "r1") is RechargeState.LIT


async def test_stored_supply_lights_nothing_and_is_a_reason_to_look(world):
    process = world.process()
    token = await sold(world, process, "r1")
    taken = TokenOutcome(result=TokenResult.ACCEPT, tid=token.tid, amount=Decimal(10))
    await told(process, TokenSeen(outcome=taken))
    async with world.store.begin() as tx:
        await tx.polls.put(a_poll_of(DRN, world.clock.now() + timedelta(days=1), interval_s=86_400))
    await told(process, supply=supply_on(world.clock.now()), stored=True)
    assert await state_of(world, "r1") is RechargeState.CREDITED
    async with world.store.look() as tx:
        assert await tx.polls.next_due(BUS) == world.clock.now()


async def test_supply_told_with_the_credit_is_supply_after_it(world):
    process = world.process()
    token = await sold(world, process, "r1")
    taken = TokenOutcome(result=TokenResult.ACCEPT, tid=token.tid, amount=Decimal(10))
    seen = supply_on(world.clock.now())
    await told(process, TokenSeen(outcome=taken), supply=seen)
    assert await state_of(world, "r1") is RechargeState.LIT
