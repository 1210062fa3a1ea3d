"""Flow A, the recharge: the first whole path, with every fault a wire knows, in virtual time."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest

from adapters.simulators.faults import Dying
from headend.deliveries import Confirmation, DeliveryState
from headend.looking import look
from headend.meters import Drn
from headend.readings import ReadingType
from headend.recharges import RechargeState
from headend.refusals import CapReached, CreditNoteRequired, RechargeDiffers
from headend.supply import DarkCause, SupplyAction, SupplyReason
from headend.supply_groups import Reveal
from headend.tokens import TokenResult
from tests.fakes import MemoryStore
from tests.flows.world import TENANT, Fuse, Killed, Process, World, order, until

pytestmark = pytest.mark.virtual_time
DRN = "12345678903"
OTHER = "01234567897"


@pytest.fixture
async def world() -> World:
    world = World(MemoryStore())
    await world.set_up(DRN)
    return world


async def state_is(world: World, ident: str, state: RechargeState) -> bool:
    recharge = await world.recharge_of(ident)
    return recharge is not None and recharge.state is state


async def delivery_is(world: World, ident: str, state: DeliveryState) -> bool:
    delivery = await world.delivery_of(ident)
    return delivery is not None and delivery.state is state


async def settled(world: World, ident: str, state: RechargeState, *, within_s: float) -> None:
    try:
        await until(lambda: state_is(world, ident, state), within_s=within_s)
    except AssertionError:
        recharge = await world.recharge_of(ident)
        raise AssertionError(f"{ident} is {recharge.state if recharge else None}") from None


async def test_a_recharge_lights_a_healthy_meter(world):
    async with world.process().running() as process:
        recharge, created = await process.desk.recharge(order("r1", DRN))
        assert created
        assert recharge.state is RechargeState.ISSUED
        await settled(world, "r1", RechargeState.LIT, within_s=5)
    assert world.credited(DRN) == 10
    assert (await world.delivery_of("r1")).confirmed_by is Confirmation.ECHO
    assert (await world.recharge_of("r1")).taken.value == 10


async def test_a_lost_answer_does_not_charge_twice(world):
    meter = world.meters[Drn(DRN)]
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await until(lambda: meter.token_port.pending, within_s=10)
        meter.faults.lose(1)
        await settled(world, "r1", RechargeState.LIT, within_s=30)
    assert world.credited(DRN) == 10
    assert (await world.delivery_of("r1")).confirmed_by is Confirmation.TOKEN_LOG


@pytest.mark.parametrize("dying", [Dying.BEFORE, Dying.AFTER])
async def test_a_meter_that_dies_in_the_middle_is_credited_once(world, dying):
    world.meters[Drn(DRN)].faults.dying = dying
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await settled(world, "r1", RechargeState.LIT, within_s=60)
    assert world.credited(DRN) == 10


async def test_a_silent_meter_means_digits_for_the_person_and_remote_goes_on(world):
    meter = world.meters[Drn(DRN)]
    meter.faults.silent = True
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await until(lambda: world.postman.given, within_s=70)
        (note,) = world.postman.given
        assert len(note.digits) == 1
        assert (await world.delivery_of("r1")).state in (
            DeliveryState.WAITING,
            DeliveryState.UNCERTAIN,
            DeliveryState.SENDING,
        )
        meter.faults.silent = False
        await settled(world, "r1", RechargeState.LIT, within_s=1000)
        await until(lambda: len(world.postman.given) == 2, within_s=30)
    assert world.postman.given[1].taken
    assert not world.postman.given[1].digits
    assert world.credited(DRN) == 10


async def test_typed_digits_are_found_in_the_meter_when_the_wire_is_back(world):
    meter = world.meters[Drn(DRN)]
    meter.faults.silent = True
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await until(lambda: world.postman.given, within_s=70)
        meter.customer_types(world.postman.given[0].digits[0], world.clock.now())
        meter.faults.silent = False
        await settled(world, "r1", RechargeState.LIT, within_s=1000)
    assert world.credited(DRN) == 10
    assert (await world.delivery_of("r1")).confirmed_by is Confirmation.TOKEN_LOG


async def test_a_wrong_key_is_a_final_refusal_and_can_be_reversed(world):
    world.meters[Drn(DRN)].set_wrong_key(True)
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await settled(world, "r1", RechargeState.FAILED, within_s=5)
        assert (await world.delivery_of("r1")).result is TokenResult.CRC_ERROR
        reversed_ = await process.desk.reverse(TENANT, "r1", reason="wrong key")
        assert reversed_.state is RechargeState.REVERSED
        await asyncio.sleep(120)
    assert not world.postman.given
    assert world.credited(DRN) == 0


async def test_a_relay_that_does_not_close_is_paid_but_dark_and_says_so(world):
    meter = world.meters[Drn(DRN)]
    meter.set_load(20_000, world.clock.now())
    await asyncio.sleep(1000)  # the credit runs out and the relay opens
    meter.advance(world.clock.now())
    meter.set_relay_fault(True, world.clock.now())
    meter.set_load(0, world.clock.now())
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await settled(world, "r1", RechargeState.DARK, within_s=10)
    assert (await world.recharge_of("r1")).dark_cause is DarkCause.RELAY_FAULT


async def test_a_locked_keypad_is_waited_for_and_costs_no_attempt(world):
    meter = world.meters[Drn(DRN)]
    for _ in range(3):
        meter.customer_types("00000000000000000123", world.clock.now())
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await settled(world, "r1", RechargeState.LIT, within_s=60)
    delivery = await world.delivery_of("r1")
    assert (delivery.attempts, delivery.lockouts) == (1, 1)


async def test_two_recharges_of_one_minute_are_both_taken(world):
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await process.desk.recharge(order("r2", DRN, "20"))
        await settled(world, "r1", RechargeState.LIT, within_s=30)
        await settled(world, "r2", RechargeState.LIT, within_s=30)
    assert world.credited(DRN) == 30


async def test_a_stuck_recharge_does_not_hold_the_next_meter_up(world):
    await world.add_meter(OTHER)
    world.meters[Drn(DRN)].faults.silent = True
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await process.desk.recharge(order("r2", OTHER))
        await settled(world, "r2", RechargeState.LIT, within_s=5)


async def test_a_repeat_is_an_answer_and_a_contradiction_names_its_field(world):
    process = world.process()
    first, created = await process.desk.recharge(order("r1", DRN))
    again, created_again = await process.desk.recharge(order("r1", DRN))
    assert (created, created_again) == (True, False)
    assert again == first
    with pytest.raises(RechargeDiffers) as refusal:
        await process.desk.recharge(order("r1", DRN, "11"))
    assert refusal.value.field == "amount"


async def test_the_same_id_from_many_callers_at_once_is_one_recharge(world):
    process = world.process()
    answers = await asyncio.gather(*(process.desk.recharge(order("r1", DRN)) for _ in range(20)))
    assert sum(created for _, created in answers) == 1
    async with world.process().running():
        await settled(world, "r1", RechargeState.LIT, within_s=10)
    assert world.credited(DRN) == 10


async def test_a_sale_is_reversed_only_while_its_digits_were_never_out(world):
    process = world.process()
    await process.desk.recharge(order("r1", DRN))
    assert (await process.desk.reverse(TENANT, "r1", reason="x")).state is RechargeState.REVERSED
    await process.desk.recharge(order("r2", DRN))
    async with world.process().running():
        await settled(world, "r2", RechargeState.LIT, within_s=10)
    with pytest.raises(CreditNoteRequired, match="taken_by_meter"):
        await process.desk.reverse(TENANT, "r2", reason="x")
    assert world.credited(DRN) == 10


async def test_the_digits_of_a_sale_that_was_undone_are_never_shown(world):
    await world.put_group(reveal=Reveal.AT_ONCE)
    process = world.process()
    await process.desk.recharge(order("r1", DRN))
    store = process.desk._store
    look = store.look

    @asynccontextmanager
    async def reversed_meanwhile():
        async with look() as tx:
            yield tx
        process.desk._store = store
        await world.process().desk.reverse(TENANT, "r1", reason="x")

    process.desk._store = SimpleNamespace(look=reversed_meanwhile, begin=store.begin)
    assert await process.desk.reveal(TENANT, "r1") == ()


async def test_a_hand_over_that_fails_is_tried_until_somebody_is_told(world):
    world.meters[Drn(DRN)].faults.silent = True
    world.postman.down = True
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await asyncio.sleep(90)
        assert (await world.delivery_of("r1")).handed_at is None
        with pytest.raises(CreditNoteRequired):  # a message may have gone before it failed
            await process.desk.reverse(TENANT, "r1", reason="x")
        world.postman.down = False
        await until(lambda: world.postman.given, within_s=400)


async def test_past_the_deadline_an_open_doubt_is_a_work_item_for_people(world):
    world.meters[Drn(DRN)].faults.silent = True
    await world.put_group(deadline_after_s=600)
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await settled(world, "r1", RechargeState.UNRESOLVED, within_s=700)


async def test_tokens_brought_by_the_back_office_are_delivered_in_order_and_never_minted(world):
    maker = World(MemoryStore(), seed=2)
    await maker.set_up(DRN)
    digits = []
    for ident in ("x", "y"):
        made, _ = await maker.process().desk.recharge(order(ident, DRN))
        async with maker.store.look() as tx:
            of = await tx.deliveries.of(made.id, TENANT)
            assert of is not None
            digits += [token.digits for token in await tx.tokens.of(of.id, TENANT)]
    brought = order("r1", DRN, amount=None, tokens=tuple(digits))
    async with world.process().running() as process:
        await process.desk.recharge(brought)
        await settled(world, "r1", RechargeState.LIT, within_s=30)
    assert world.credited(DRN) == 20
    async with world.store.look() as tx:
        delivered = await tx.deliveries.of("r1", TENANT)
        assert delivered is not None
        tokens = await tx.tokens.of(delivered.id, TENANT)
    assert [token.digits for token in tokens] == digits


async def test_a_payment_cancels_a_waiting_disconnection_and_the_meter_stays_lit(world):
    meter = world.meters[Drn(DRN)]
    meter.faults.busy = True
    async with world.process().running() as process:
        expires = world.clock.now() + timedelta(hours=1)
        await process.commands.order_supply(
            TENANT,
            Drn(DRN),
            ident="s1",
            action=SupplyAction.OPEN,
            reason=SupplyReason.NON_PAYMENT,
            expires_at=expires,
            ordered_by="key",
        )
        await asyncio.sleep(10)
        await process.desk.recharge(order("r1", DRN))
        meter.faults.busy = False
        await settled(world, "r1", RechargeState.LIT, within_s=60)
        await asyncio.sleep(120)
    async with world.store.look() as tx:
        assert (await tx.deliveries.find(TENANT, "s1")).state is DeliveryState.CANCELLED
    assert meter.lit


async def test_supply_is_opened_and_read_back_and_openings_are_capped(world):
    async with world.process().running() as process:

        async def open_supply(ident: str):
            return await process.commands.order_supply(
                TENANT,
                Drn(DRN),
                ident=ident,
                action=SupplyAction.OPEN,
                reason=SupplyReason.SAFETY,
                expires_at=world.clock.now() + timedelta(hours=1),
                ordered_by="key",
            )

        await open_supply("s0")
        await until(lambda: not world.meters[Drn(DRN)].lit, within_s=5)
        for number in range(1, 20):
            await open_supply(f"s{number}")
        with pytest.raises(CapReached):
            await open_supply("s20")


async def test_a_register_shows_a_typed_token_on_a_meter_without_a_log(world):
    meter = world.meters[Drn(DRN)]
    process = world.process()
    process.bus._driver.can &= ~process.bus._driver.can.TOKEN_OUTCOME
    readings = await wire_readings(process, world)
    await process.intake.accept((readings,))
    meter.faults.silent = True
    await asyncio.sleep(5)
    async with process.running():
        await process.desk.recharge(order("r1", DRN))
        await until(lambda: world.postman.given, within_s=70)
        meter.customer_types(world.postman.given[0].digits[0], world.clock.now())
        meter.faults.silent = False
        await process.intake.accept((await wire_readings(process, world),))
        delivery = await world.delivery_of("r1")
    assert delivery.confirmed_by is Confirmation.CREDIT_REGISTER
    assert world.credited(DRN) == 10


async def wire_readings(process: Process, world: World):
    async with world.store.look() as tx:
        meter = await tx.meters.find(TENANT, Drn(DRN))
    assert meter is not None
    wire = process.bus._driver
    (report,) = await look(wire, meter, (), clock=world.clock, within_s=60)
    assert {reading.type for reading in report.readings} >= {ReadingType.CREDIT_LEFT_MILLI}
    return report


# --- a process killed between any two steps ------------------------------------------------------


async def test_what_a_dead_process_was_sending_is_taken_up_by_the_next_one_at_once(world):
    meter = world.meters[Drn(DRN)]
    meter.faults.silent = True
    dying = world.process()
    async with dying.running():
        await dying.desk.recharge(order("r1", DRN))
        await until(lambda: delivery_is(world, "r1", DeliveryState.SENDING), within_s=5)
        dying.fuse.burnt = True
    assert await delivery_is(world, "r1", DeliveryState.SENDING)
    meter.faults.silent = False
    async with world.process().running():
        await settled(world, "r1", RechargeState.LIT, within_s=10)
    assert world.credited(DRN) == 10


async def live_and_die(world: World, ident: str, steps: int, fault) -> bool:
    """Post once in a process that dies at its n-th step; whether it died."""
    fault(world.meters[Drn(DRN)])
    fuse = Fuse(left=steps)
    process = world.process(fuse)
    async with process.running():
        try:
            await process.desk.recharge(order(ident, DRN))
            await settled(world, ident, RechargeState.LIT, within_s=200)
        except (Killed, AssertionError):
            pass
    return fuse.burnt


def healthy(meter) -> None:
    meter.faults.clear()


def loses_an_answer(meter) -> None:
    meter.faults.clear()
    meter.faults.lose(1)


def silent_for_a_while(meter) -> None:
    meter.faults.silent = True


@pytest.mark.parametrize("fault", [healthy, loses_an_answer, silent_for_a_while])
async def test_killed_at_any_step_nothing_is_lost_and_nothing_credited_twice(fault):
    died_at = []
    for steps in range(200):
        world = World(MemoryStore(), seed=steps)
        await world.set_up(DRN)
        await world.put_group(fallback_after_s=20)
        died = await live_and_die(world, "r1", steps, fault)
        meter = world.meters[Drn(DRN)]
        meter.faults.clear()
        async with world.process().running() as process:
            await process.desk.recharge(order("r1", DRN))  # the caller got no answer and repeats
            await settled(world, "r1", RechargeState.LIT, within_s=1200)
        assert world.credited(DRN) == Decimal(10), f"killed at step {steps}"
        digits = {note.digits for note in world.postman.given if note.digits}
        assert len(digits) <= 1, "a second token was minted"
        if not died:
            break
        died_at.append(steps)
    assert len(died_at) >= 8
