"""Key changes in virtual time: read first, entered whole, never blindly; credit after proof."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from adapters.vault.key_import import KeyToImport, import_keys
from adapters.vault.software import SoftwareVault
from api.stories import recharge_story
from headend.commands import Manage
from headend.deliveries import Confirmation, Delivery, DeliveryState, Fact
from headend.meters import Drn, Keypad, KeyType, StsConfiguration
from headend.outcomes import Outcome, write_outcome
from headend.pages import Cursor
from headend.ports import SecurityModule
from headend.prospects import NextStep, what_next
from headend.readings import Reading, ReadingType
from headend.recharges import RechargeState
from headend.refusals import (
    KeyChangePending,
    KeyChangeUnconfirmed,
    KeyExpired,
    NoDeliveryMethod,
    NothingToAsk,
    NothingToWithdraw,
    NotReplaceable,
    NoVendingKey,
    OrderDiffers,
    SameKey,
)
from headend.rekeying import HALF_SET_FORGOTTEN
from headend.supply_groups import Reveal
from headend.tokens import (
    Issued,
    KeyChangeOrder,
    ManagementKind,
    ManagementOrder,
    TokenOrder,
    TokenPurpose,
    TokenResult,
    TokenState,
)
from headend.vending_keys import KeyMark
from headend.worklist import Way
from headend.worklist_desk import WorkListDesk
from tests.fakes import MemoryStore
from tests.flows.test_recharge import settled
from tests.flows.world import (
    ALL,
    NEIGHBOUR,
    SGC,
    TENANT,
    Fuse,
    Killed,
    Process,
    World,
    order,
    until,
)

pytestmark = pytest.mark.virtual_time
DRN = "12345678903"
PRESENT = StsConfiguration(SGC, 1, 1, KeyType.UNIQUE, 11)
NEXT = replace(PRESENT, krn=2, tariff_index=7)
OTHER_KEY = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
async def world() -> World:
    world = World(MemoryStore())
    await world.set_up(DRN)
    await add_key(world, krn=2)
    return world


async def add_key(world: World, **changed: object) -> None:
    key = KeyToImport(sgc=SGC, krn=2, base_date=2014, ken=255, mark="test", key=OTHER_KEY)
    changed_key = replace(key, **changed)  # type: ignore[arg-type] # tests name the fields
    await import_keys(
        world.store, world.masters, [changed_key], tenant=TENANT, now=world.clock.now()
    )


async def delivery(world: World, ident: str) -> Delivery:
    async with world.store.look() as tx:
        found = await tx.deliveries.find(TENANT, ident)
    assert found is not None
    return found


async def done(world: World, ident: str, *, within_s: float) -> Delivery:
    async def is_done() -> bool:
        return (await delivery(world, ident)).state is DeliveryState.DONE

    await until(is_done, within_s=within_s)
    return await delivery(world, ident)


async def record_of(world: World) -> StsConfiguration:
    async with world.store.look() as tx:
        meter = await tx.meters.find(TENANT, Drn(DRN))
    assert meter is not None
    return meter.sts


async def test_a_key_change_is_entered_whole_proved_and_written_down(world):
    async with world.process().running() as process:
        ordered, created = await process.keys.order_change(
            TENANT, Drn(DRN), NEXT, ident="k1", ordered_by="key"
        )
        assert created
        changed = await done(world, "k1", within_s=20)
    assert changed.confirmed_by is Confirmation.READ_BACK
    held = world.meters[Drn(DRN)].decoder
    assert (held.krn, held.tariff_index) == (2, 7)
    assert await record_of(world) == NEXT
    async with world.store.look() as tx:
        tokens = await tx.tokens.of(ordered.id, TENANT)
    assert [token.purpose for token in tokens] == [TokenPurpose.KEY_CHANGE] * 4
    assert {token.state for token in tokens} == {TokenState.TAKEN}
    assert {token.mark for token in tokens} == {KeyMark.TEST}


async def test_credit_sold_while_the_change_is_on_its_way_is_made_after_the_proof(world):
    meter = world.meters[Drn(DRN)]
    meter.faults.busy = True
    async with world.process().running() as process:
        await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident="k1", ordered_by="key")
        recharge, _ = await process.desk.recharge(order("r1", DRN))
        assert recharge.state is RechargeState.OPEN
        meter.faults.busy = False
        await done(world, "k1", within_s=120)
        await settled(world, "r1", RechargeState.LIT, within_s=120)
    found = await world.recharge_of("r1")
    assert found is not None
    assert found.sts == NEXT
    assert world.credited(DRN) == 10


async def test_credit_on_its_way_goes_before_the_change(world):
    meter = world.meters[Drn(DRN)]
    meter.faults.busy = True
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident="k1", ordered_by="key")
        meter.faults.busy = False
        await settled(world, "r1", RechargeState.LIT, within_s=60)
        await done(world, "k1", within_s=120)
    assert world.credited(DRN) == 10


async def test_a_half_set_is_started_over_only_after_the_meter_forgot_it(world):
    meter = world.meters[Drn(DRN)]
    entered: list[float] = []
    submit = meter.submit

    def counting(*arguments: object, **named: object) -> None:
        entered.append(asyncio.get_running_loop().time())
        submit(*arguments, **named)

    meter.submit = counting
    async with world.process().running() as process:
        await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident="k1", ordered_by="key")
        await until(lambda: len(entered) == 2, within_s=10)
        meter.faults.lose(1)
        await done(world, "k1", within_s=2000)
    pauses = [later - earlier for earlier, later in pairwise(entered)]
    assert max(pauses) >= 600
    assert meter.decoder.krn == 2


async def test_a_set_refused_behind_its_first_token_is_in_doubt_and_never_called_failed(world):
    meter = world.meters[Drn(DRN)]
    entered = 0
    submit = meter.submit

    def spoiling(request_id: object, digits: str, *arguments: object, **named: object) -> None:
        nonlocal entered
        entered += 1
        submit(request_id, "0" * 20 if entered == 2 else digits, *arguments, **named)

    meter.submit = spoiling
    async with world.process().running() as process:
        await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident="k1", ordered_by="key")
        await until(lambda: stopped(world, "k1", DeliveryState.UNCERTAIN), within_s=10)
        assert (await delivery(world, "k1")).maybe_taken
        await done(world, "k1", within_s=2000)
    assert meter.decoder.krn == 2


async def test_a_lost_last_answer_is_found_by_reading_and_nothing_is_sent_again(world):
    meter = world.meters[Drn(DRN)]
    count = 0
    submit = meter.submit

    def counting(*arguments: object, **named: object) -> None:
        nonlocal count
        count += 1
        if count == 4:
            meter.faults.lose(1)
        submit(*arguments, **named)

    meter.submit = counting
    async with world.process().running() as process:
        await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident="k1", ordered_by="key")
        changed = await done(world, "k1", within_s=60)
    assert (count, changed.confirmed_by) == (4, Confirmation.READ_BACK)


async def test_in_doubt_a_meter_that_cannot_be_read_gets_nothing_again(world):
    process = world.process()
    process.bus._driver.can = ALL & ~ALL.STS_CONFIGURATION
    world.meters[Drn(DRN)].faults.lose(1)
    async with process.running():
        await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident="k1", ordered_by="key")
        await until(lambda: stopped(world, "k1", DeliveryState.UNRESOLVED), within_s=120)
    assert world.meters[Drn(DRN)].decoder.krn == 1


async def stopped(world: World, ident: str, state: DeliveryState) -> bool:
    return (await delivery(world, ident)).state is state


async def test_a_meter_under_another_key_stops_credit_as_key_mismatch_and_locks_nothing(world):
    await wrong_record(world)
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await settled(world, "r1", RechargeState.FAILED, within_s=10)
    found = await world.delivery_of("r1")
    assert found is not None
    assert found.stopped_by is Fact.KEY_MISMATCH
    assert world.meters[Drn(DRN)].tokens.newest_first() == ()


async def test_a_change_from_a_key_the_meter_does_not_hold_is_not_sent(world):
    await wrong_record(world)
    to = replace(NEXT, krn=1)
    async with world.process().running() as process:
        await process.keys.order_change(TENANT, Drn(DRN), to, ident="k1", ordered_by="key")
        await until(lambda: stopped(world, "k1", DeliveryState.FAILED), within_s=10)
    assert (await delivery(world, "k1")).stopped_by is Fact.KEY_MISMATCH


async def typed_elsewhere(world: World, *, sections: int = 4, to: StsConfiguration = NEXT) -> None:
    """Somebody types (the first sections of) a key change that no head-end knows of."""
    vault = SoftwareVault(world.store, world.masters, clock=world.clock)
    change = KeyChangeOrder(tenant=TENANT, drn=Drn(DRN), present=PRESENT, to=to)
    made = await vault.change_key(change, message_id="elsewhere")
    for token in made.tokens[:sections]:
        assert world.meters[Drn(DRN)].customer_types(token.digits, world.clock.now()).result.taken


async def wrong_record(world: World) -> None:
    """The record has the meter under the second key."""
    async with world.store.begin() as tx:
        meter = await tx.meters.find(TENANT, Drn(DRN))
        assert meter is not None
        wrong = replace(meter, sts=replace(PRESENT, krn=2), version=meter.version + 1)
        await tx.meters.save(wrong, was=meter.version)


async def test_by_hand_the_set_and_then_the_credit_are_given_in_one_numbered_message(world):
    async with world.store.begin() as tx:
        meter = await tx.meters.find(TENANT, Drn(DRN))
        assert meter is not None
        by_hand = replace(meter, route=None, keypad=Keypad.METER, version=meter.version + 1)
        await tx.meters.save(by_hand, was=meter.version)
    process = world.process()
    process.capabilities = lambda meter: ALL.NONE
    async with process.running():
        await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident="k1", ordered_by="key")
        await process.desk.recharge(order("r1", DRN, fallback_to=(NEIGHBOUR,)))
        await until(lambda: world.postman.given, within_s=10)
    (note,) = world.postman.given
    assert (len(note.digits), note.test) == (5, True)
    simulated = world.meters[Drn(DRN)]
    results = [simulated.customer_types(one, world.clock.now()).result for one in note.digits]
    assert results[-1] is TokenResult.ACCEPT
    assert simulated.decoder.krn == 2
    assert world.credited(DRN) == 10
    confirmed = await process.keys.confirm(TENANT, "k1", by="operator")
    assert (confirmed.state, confirmed.confirmed_by) == (DeliveryState.DONE, Confirmation.PERSON)
    assert await record_of(world) == NEXT


async def test_a_customer_does_not_wait_for_a_key_change_that_a_dead_wire_holds_up(world):
    meter = world.meters[Drn(DRN)]
    meter.faults.silent = True
    await world.put_group(fallback_after_s=20)
    async with world.process().running() as process:
        await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident="k1", ordered_by="key")
        await process.desk.recharge(order("r1", DRN))
        await until(lambda: world.postman.given, within_s=180)
        (note,) = world.postman.given
        assert len(note.digits) == 5
        results = [meter.customer_types(one, world.clock.now()).result for one in note.digits]
        assert results[-1] is TokenResult.ACCEPT
        meter.faults.silent = False
        await done(world, "k1", within_s=2000)
        await settled(world, "r1", RechargeState.LIT, within_s=2000)
    assert world.credited(DRN) == 10
    assert await record_of(world) == NEXT


async def test_a_failed_change_can_be_ordered_again(world):
    meter = world.meters[Drn(DRN)]
    meter.set_wrong_key(True)
    async with world.process().running() as process:
        await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident="k1", ordered_by="key")
        await until(lambda: stopped(world, "k1", DeliveryState.FAILED), within_s=10)
        meter.set_wrong_key(False)
        await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident="k2", ordered_by="key")
        await done(world, "k2", within_s=60)


async def registers_are_read(world: World) -> None:
    now, meter = world.clock.now(), world.meters[Drn(DRN)]
    values = {
        ReadingType.CREDIT_LEFT_MILLI: meter.credit_milli,
        ReadingType.ENERGY_IMPORT_WH: meter.import_milli,
    }
    async with world.store.begin() as tx:
        await tx.readings.add(
            [
                Reading(
                    tenant=TENANT,
                    drn=Drn(DRN),
                    type=kind,
                    value=value,
                    taken_at=now,
                    received_at=now,
                )
                for kind, value in values.items()
            ]
        )


async def test_a_credit_that_died_with_the_old_key_is_replaced_once_and_linked(world):
    meter = world.meters[Drn(DRN)]
    meter.faults.silent = True
    await world.put_group(fallback_after_s=20, deadline_after_s=120)
    await registers_are_read(world)
    async with world.process().running() as process:
        await asyncio.sleep(1)
        await process.desk.recharge(order("r1", DRN))
        await settled(world, "r1", RechargeState.UNRESOLVED, within_s=200)
        with pytest.raises(NotReplaceable):
            await process.desk.replace(TENANT, "r1", new_id="r2")
        meter.faults.silent = False
        await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident="k1", ordered_by="key")
        await done(world, "k1", within_s=120)
        with pytest.raises(NotReplaceable, match="not been asked"):
            await process.desk.replace(TENANT, "r1", new_id="r2")
        found = await world.delivery_of("r1")
        assert found is not None
        await process.keys.ask_again(TENANT, found.id)
        await settled(world, "r1", RechargeState.UNRESOLVED, within_s=60)
        await asyncio.sleep(30)
        with pytest.raises(NotReplaceable, match="not read since the key was changed"):
            await process.desk.replace(TENANT, "r1", new_id="r2")
        await registers_are_read(world)
        replacement = await process.desk.replace(TENANT, "r1", new_id="r2")
        assert replacement.replaces == "r1"
        again = await process.desk.replace(TENANT, "r1", new_id="r2")
        assert again.id == "r2"
        with pytest.raises(NotReplaceable):
            await process.desk.replace(TENANT, "r1", new_id="r3")
        await settled(world, "r2", RechargeState.LIT, within_s=60)
    dead = await world.recharge_of("r1")
    assert dead is not None
    assert (dead.state, dead.replaced_by) == (RechargeState.REPLACED, "r2")
    assert world.credited(DRN) == 10


async def test_a_credit_that_the_meter_knows_is_never_replaced(world):
    meter = world.meters[Drn(DRN)]
    meter.faults.silent = True
    await world.put_group(fallback_after_s=20, deadline_after_s=120)
    async with world.process().running() as process:
        await process.desk.recharge(order("r1", DRN))
        await settled(world, "r1", RechargeState.UNRESOLVED, within_s=200)
        meter.customer_types(world.postman.given[0].digits[0], world.clock.now())
        meter.faults.silent = False
        await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident="k1", ordered_by="key")
        await done(world, "k1", within_s=120)
        found = await world.delivery_of("r1")
        assert found is not None
        await process.keys.ask_again(TENANT, found.id)
        await settled(world, "r1", RechargeState.LIT, within_s=60)
        with pytest.raises(NotReplaceable):
            await process.desk.replace(TENANT, "r1", new_id="r2")
    assert world.credited(DRN) == 10


async def test_orders_for_keys_are_refused_by_name(world):
    process = world.process()
    with pytest.raises(SameKey):
        await process.keys.order_change(TENANT, Drn(DRN), PRESENT, ident="x", ordered_by="key")
    unknown = replace(NEXT, krn=9)
    with pytest.raises(NoVendingKey):
        await process.keys.order_change(TENANT, Drn(DRN), unknown, ident="x", ordered_by="key")
    await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident="k1", ordered_by="key")
    again, created = await process.keys.order_change(
        TENANT, Drn(DRN), NEXT, ident="k1", ordered_by="key"
    )
    assert (again.id, created) == ("k1", False)
    other = replace(NEXT, tariff_index=8)
    with pytest.raises(OrderDiffers):
        await process.keys.order_change(TENANT, Drn(DRN), other, ident="k1", ordered_by="key")
    with pytest.raises(KeyChangePending):
        await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident="k2", ordered_by="key")


async def test_management_tokens_travel_as_credit_does(world):
    meter = world.meters[Drn(DRN)]
    meter.tamper(world.clock.now())
    assert not meter.lit
    clear = ManagementOrder(ManagementKind.CLEAR_TAMPER)
    async with world.process().running() as process:
        await process.keys.order_management(TENANT, Drn(DRN), clear, ident="m1", ordered_by="key")
        await done(world, "m1", within_s=10)
    assert meter.lit


async def test_a_management_token_remembers_its_key_and_goes_to_no_other(world):
    meter = world.meters[Drn(DRN)]
    meter.faults.silent = True
    clear = ManagementOrder(ManagementKind.CLEAR_TAMPER)
    async with world.process().running() as process:
        ordered, _ = await process.keys.order_management(
            TENANT, Drn(DRN), clear, ident="m1", ordered_by="key"
        )
        assert ordered.command == Manage(clear, PRESENT)
        await typed_elsewhere(world)
        await wrong_record(world)  # ... and somebody corrects the record to it
        meter.faults.silent = False
        await until(lambda: stopped(world, "m1", DeliveryState.FAILED), within_s=60)
        again, created = await process.keys.order_management(
            TENANT, Drn(DRN), clear, ident="m1", ordered_by="key"
        )
    assert (again.id, created, again.stopped_by) == ("m1", False, Fact.KEY_MISMATCH)
    assert len(meter.tokens.newest_first()) == 4  # the key change, and nothing of ours


async def test_a_management_token_of_the_old_key_goes_before_the_change(world):
    meter = world.meters[Drn(DRN)]
    meter.tamper(world.clock.now())
    meter.faults.busy = True
    clear = ManagementOrder(ManagementKind.CLEAR_TAMPER)
    async with world.process().running() as process:
        await process.keys.order_management(TENANT, Drn(DRN), clear, ident="m1", ordered_by="key")
        await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident="k1", ordered_by="key")
        meter.faults.busy = False
        await done(world, "m1", within_s=120)
        assert (await delivery(world, "k1")).state is not DeliveryState.DONE
        await done(world, "k1", within_s=120)
    assert meter.lit


async def test_the_key_of_a_meter_can_be_looked_at_while_its_change_is_on_its_way(world):
    world.meters[Drn(DRN)].faults.busy = True
    process = world.process()
    await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident="k1", ordered_by="key")
    krn = ManagementOrder(ManagementKind.METER_TEST, value=4)
    shown, created = await process.keys.order_management(
        TENANT, Drn(DRN), krn, ident="m1", ordered_by="key"
    )
    assert (created, shown.command) == (True, Manage(krn))
    clear = ManagementOrder(ManagementKind.CLEAR_TAMPER)
    with pytest.raises(KeyChangePending):
        await process.keys.order_management(TENANT, Drn(DRN), clear, ident="m2", ordered_by="key")


async def test_an_order_that_no_way_carries_makes_no_token_and_takes_no_tid(world):
    async with world.store.begin() as tx:
        meter = await tx.meters.find(TENANT, Drn(DRN))
        assert meter is not None
        cut_off = replace(meter, route=None, keypad=Keypad.NONE, version=meter.version + 1)
        await tx.meters.save(cut_off, was=meter.version)
    process = world.process()
    process.capabilities = lambda meter: ALL.NONE
    made: list[str] = []
    for desk in (process.keys, process.desk):
        desk._module = CountingModule(desk._module, made)
    clear = ManagementOrder(ManagementKind.CLEAR_TAMPER)
    with pytest.raises(NoDeliveryMethod):
        await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident="k1", ordered_by="key")
    with pytest.raises(NoDeliveryMethod):
        await process.keys.order_management(TENANT, Drn(DRN), clear, ident="m1", ordered_by="key")
    with pytest.raises(NoDeliveryMethod):
        await process.desk.recharge(order("r1", DRN))
    assert made == []
    async with world.store.begin() as tx:
        assert await tx.tids.last(TENANT, Drn(DRN), 2014) is None


class CountingModule:
    """The vault, and what it was asked to make."""

    def __init__(self, module: SecurityModule, made: list[str]) -> None:
        self._module, self._made = module, made
        self.key, self.check = module.key, module.check

    async def issue(self, order: TokenOrder, *, message_id: str) -> Issued:
        self._made.append(message_id)
        return await self._module.issue(order, message_id=message_id)

    async def change_key(self, order: KeyChangeOrder, *, message_id: str) -> Issued:
        self._made.append(message_id)
        return await self._module.change_key(order, message_id=message_id)


async def test_a_management_token_that_a_person_typed_is_confirmed_by_the_person(world):
    world.meters[Drn(DRN)].faults.silent = True
    clear = ManagementOrder(ManagementKind.CLEAR_TAMPER)
    async with world.process().running() as process:
        await process.keys.order_management(TENANT, Drn(DRN), clear, ident="m1", ordered_by="key")
        async with world.store.begin() as tx:
            ordered = await tx.deliveries.find(TENANT, "m1")
            assert ordered is not None
            shown = ordered.after(Fact.REVEALED, now=world.clock.now())
            await tx.deliveries.save(shown, was=ordered.state)
        confirmed = await process.keys.confirm(TENANT, "m1", by="fitter")
    assert (confirmed.state, confirmed.confirmed_by) == (DeliveryState.DONE, Confirmation.PERSON)


@pytest.mark.parametrize(
    ("old", "new", "start"),
    [
        (1993, 2014, datetime(2024, 11, 24, 8, tzinfo=UTC)),  # the last day of base 1993
        (1993, 2014, datetime(2026, 11, 24, 8, tzinfo=UTC)),  # too late to sell under it
        (2014, 2035, datetime(2045, 6, 1, 8, tzinfo=UTC)),
    ],
)
async def test_base_dates_roll_over_and_credit_goes_on(old, new, start):
    world = World(MemoryStore(), start=start)
    await world.set_up(DRN, base_date=old)
    await add_key(world, krn=2, base_date=new)
    meter = world.meters[Drn(DRN)]
    async with world.process().running() as process:
        if start.year == 2026:
            with pytest.raises(KeyExpired):
                await process.desk.recharge(order("r0", DRN))
        else:
            await process.desk.recharge(order("r0", DRN))
            await settled(world, "r0", RechargeState.LIT, within_s=10)
        await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident="k1", ordered_by="key")
        await process.desk.recharge(order("r1", DRN, "20"))
        await done(world, "k1", within_s=60)
        await settled(world, "r1", RechargeState.LIT, within_s=120)
    assert meter.decoder.base_date.value == new
    assert world.credited(DRN) == (20 if start.year == 2026 else 30)


@pytest.mark.parametrize("fault", ["healthy", "loses an answer"])
async def test_killed_at_any_step_a_key_change_ends_whole(fault):
    for steps in range(0, 200, 3):
        world = World(MemoryStore(), seed=steps)
        await world.set_up(DRN)
        await add_key(world, krn=2)
        meter = world.meters[Drn(DRN)]
        if fault != "healthy":
            meter.faults.lose(1)
        fuse = Fuse(left=steps)
        process = world.process(fuse)
        async with process.running():
            try:
                await process.keys.order_change(
                    TENANT, Drn(DRN), NEXT, ident="k1", ordered_by="key"
                )
                await done(world, "k1", within_s=30)
            except (Killed, AssertionError):
                pass
        meter.faults.clear()
        async with world.process().running() as process:
            await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident="k1", ordered_by="key")
            await done(world, "k1", within_s=3000)
        assert (meter.decoder.krn, await record_of(world)) == (2, NEXT), f"killed at {steps}"
        if not fuse.burnt:
            break


# --- half sets, and sets that people have -------------------------------------------------------


def entries_of(world: World) -> list[float]:
    """The moments at which tokens are entered by remote, as they come."""
    meter = world.meters[Drn(DRN)]
    moments: list[float] = []
    submit = meter.submit

    def noting(*arguments: object, **named: object) -> None:
        moments.append(asyncio.get_running_loop().time())
        submit(*arguments, **named)  # type: ignore[arg-type] # passed on as they came

    meter.submit = noting  # type: ignore[method-assign] # a look over its shoulder
    return moments


async def half_a_set(world: World, process: Process, ident: str) -> None:
    """A change that is in doubt with a part of its set in the meter."""
    meter = world.meters[Drn(DRN)]
    entered = entries_of(world)
    await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident=ident, ordered_by="key")
    await until(lambda: len(entered) == 2, within_s=10)
    meter.faults.silent = True
    await until(lambda: stopped(world, ident, DeliveryState.UNCERTAIN), within_s=20)


@pytest.mark.parametrize("readable", [True, False])
async def test_a_new_change_waits_for_the_half_set_of_another_to_be_forgotten(world, readable):
    process = world.process()
    if not readable:
        process.bus._driver.can = ALL & ~ALL.STS_CONFIGURATION
    async with process.running():
        await half_a_set(world, process, "k1")
        withdrawn = await process.keys.withdraw(TENANT, "k1", by="operator")
        assert (withdrawn.state, withdrawn.stopped_by) == (
            DeliveryState.UNRESOLVED,
            Fact.WITHDRAWN,
        )
        since = asyncio.get_running_loop().time()
        world.meters[Drn(DRN)].faults.silent = False
        entered = entries_of(world)
        other = replace(NEXT, tariff_index=8)
        await process.keys.order_change(TENANT, Drn(DRN), other, ident="k2", ordered_by="key")
        await done(world, "k2", within_s=2000)
    assert entered[0] - since >= HALF_SET_FORGOTTEN.total_seconds()
    assert world.meters[Drn(DRN)].decoder.tariff_index == 8


async def test_a_set_that_a_person_types_while_remote_enters_it_makes_the_change_done(world):
    meter = world.meters[Drn(DRN)]
    submit = meter.submit

    def typed_first(request_id: object, digits: str, *arguments: object, **named: object) -> None:
        meter.submit = submit
        for token in typed:
            assert meter.customer_types(token.digits, world.clock.now()).result.taken
        submit(request_id, digits, *arguments, **named)

    meter.faults.silent = True
    async with world.process().running() as process:
        await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident="k1", ordered_by="key")
        async with world.store.look() as tx:
            typed = await tx.tokens.of("k1", TENANT)
        meter.submit = typed_first
        meter.faults.silent = False
        changed = await done(world, "k1", within_s=120)
    assert changed.confirmed_by is Confirmation.READ_BACK
    assert await record_of(world) == NEXT
    assert meter.tokens.newest_first()[0].result is TokenResult.CRC_ERROR


async def test_a_refusal_after_which_the_key_cannot_be_read_is_a_doubt(world):
    meter = world.meters[Drn(DRN)]
    submit = meter.submit

    def spoiled(request_id: object, digits: str, *arguments: object, **named: object) -> None:
        meter.submit = submit
        submit(request_id, "0" * 20, *arguments, **named)
        asyncio.get_running_loop().call_later(
            meter.settings.processing_s + 0.08, setattr, meter.faults, "silent", True
        )

    meter.submit = spoiled
    async with world.process().running() as process:
        await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident="k1", ordered_by="key")
        await until(lambda: stopped(world, "k1", DeliveryState.UNCERTAIN), within_s=20)
        meter.faults.silent = False
        await done(world, "k1", within_s=2000)
    assert meter.decoder.krn == 2


# --- changes that nobody confirms ---------------------------------------------------------------


async def cut_off(world: World) -> Process:
    """A head-end whose meter no wire reaches."""
    async with world.store.begin() as tx:
        meter = await tx.meters.find(TENANT, Drn(DRN))
        assert meter is not None
        by_hand = replace(meter, route=None, version=meter.version + 1)
        await tx.meters.save(by_hand, was=meter.version)
    process = world.process()
    process.capabilities = lambda meter: ALL.NONE  # type: ignore[method-assign] # cut off
    return process


async def set_and_credit_given(world: World, process: Process) -> None:
    await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident="k1", ordered_by="key")
    await process.desk.recharge(order("r1", DRN))
    await until(lambda: world.postman.given, within_s=10)
    assert len(world.postman.given[0].digits) == 5


async def expires(world: World, ident: str) -> None:
    """Its week is over; in a state that is not being sent."""
    now = world.clock.now()
    async with world.store.begin() as tx:
        found = await tx.deliveries.find(TENANT, ident)
        assert found is not None
        over = Outcome(fact=Fact.EXPIRED, detail="the deadline has passed")
        await write_outcome(tx, found, over, now=now, spread=0.0)


async def test_a_change_by_hand_that_nobody_confirms_stops_sales_by_name(world):
    process = await cut_off(world)
    async with process.running():
        await set_and_credit_given(world, process)
        with pytest.raises(KeyChangeUnconfirmed, match=r"k1 .*confirm the change or withdraw it"):
            await process.desk.recharge(order("r2", DRN))
        again, created = await process.desk.recharge(order("r1", DRN))
        assert (again.id, created) == ("r1", False)
        await expires(world, "k1")
        assert (await delivery(world, "k1")).state is DeliveryState.UNRESOLVED
        clear = ManagementOrder(ManagementKind.CLEAR_TAMPER)
        with pytest.raises(KeyChangeUnconfirmed):
            await process.desk.recharge(order("r2", DRN))
        with pytest.raises(KeyChangeUnconfirmed):
            await process.keys.order_management(
                TENANT, Drn(DRN), clear, ident="m1", ordered_by="key"
            )
        with pytest.raises(KeyChangeUnconfirmed):
            await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident="k2", ordered_by="key")
        krn = ManagementOrder(ManagementKind.METER_TEST, value=4)
        await process.keys.order_management(TENANT, Drn(DRN), krn, ident="m2", ordered_by="key")
    async with world.store.begin() as tx:
        assert await tx.recharges.find(TENANT, "r2") is None


async def test_once_confirmed_sales_go_on_under_the_new_key(world):
    process = await cut_off(world)
    async with process.running():
        await set_and_credit_given(world, process)
        await process.keys.confirm(TENANT, "k1", by="operator")
        sold, _ = await process.desk.recharge(order("r2", DRN))
    assert sold.sts == NEXT


async def test_once_withdrawn_sales_go_on_under_the_old_key_and_the_set_is_dead(world):
    process = await cut_off(world)
    async with process.running():
        await set_and_credit_given(world, process)
        for _ in range(2):
            gone = await process.keys.withdraw(TENANT, "k1", by="operator")
            assert (gone.state, gone.stopped_by) == (DeliveryState.UNRESOLVED, Fact.WITHDRAWN)
        assert await process.keys.reveal(TENANT, "k1") == ()
        with pytest.raises(NothingToAsk):
            await process.keys.ask_again(TENANT, "k1")
        sold, _ = await process.desk.recharge(order("r2", DRN))
    assert sold.sts == PRESENT
    async with world.store.look() as tx:
        tokens = await tx.tokens.of("k1", TENANT)
        attempts = await tx.attempts.of("k1", TENANT)
    assert {token.state for token in tokens} == {TokenState.DEAD}
    assert attempts[-1].detail == "withdrawn by operator"


async def test_a_change_whose_set_was_never_out_is_cancelled_by_withdrawing_it(world):
    process = await cut_off(world)
    await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident="k1", ordered_by="key")
    gone = await process.keys.withdraw(TENANT, "k1", by="operator")
    assert gone.state is DeliveryState.CANCELLED
    sold, _ = await process.desk.recharge(order("r1", DRN))
    assert sold.sts == PRESENT


async def test_what_is_done_or_no_key_change_is_not_withdrawn(world):
    async with world.process().running() as process:
        await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident="k1", ordered_by="key")
        await done(world, "k1", within_s=20)
        recharge, _ = await process.desk.recharge(order("r1", DRN))
        sold = await world.delivery_of(recharge.id)
        assert sold is not None
        for ident in ("k1", sold.id):
            with pytest.raises(NothingToWithdraw):
                await process.keys.withdraw(TENANT, ident, by="operator")


async def test_a_record_that_a_person_corrected_settles_the_matter(world):
    process = await cut_off(world)
    async with process.running():
        await set_and_credit_given(world, process)
        await expires(world, "k1")
        await wrong_record(world)
        sold, _ = await process.desk.recharge(order("r2", DRN))
    assert sold.sts.krn == 2


async def test_credit_that_waited_for_a_change_that_came_to_nothing_waits_for_a_person(world):
    meter = world.meters[Drn(DRN)]
    async with world.process().running() as process:
        await half_a_set(world, process, "k1")
        await process.desk.recharge(order("r1", DRN, fallback_to=()))
        await expires(world, "k1")
        assert (await delivery(world, "k1")).state is DeliveryState.UNRESOLVED
        waiting = await world.recharge_of("r1")
        assert waiting is not None
        assert waiting.state is RechargeState.OPEN
        story = await recharge_story(world.store, TENANT, "r1")
        prospect = what_next(waiting, None, world.clock.now(), change=story.change)
        assert prospect.kind is NextStep.PERSON_DECIDES
        assert "k1" in prospect.text
        await process.keys.withdraw(TENANT, "k1", by="operator")
        meter.faults.silent = False
        await settled(world, "r1", RechargeState.LIT, within_s=200)
    assert world.credited(DRN) == 10


async def test_a_till_shows_the_set_before_the_credit_and_both_count_as_out(world):
    await world.put_group(reveal=Reveal.AT_ONCE)
    process = await cut_off(world)
    await process.keys.order_change(TENANT, Drn(DRN), NEXT, ident="k1", ordered_by="key")
    await process.desk.recharge(order("r1", DRN, fallback_to=()), may_reveal=True)
    assert await process.desk.reveal(TENANT, "r1")
    story = await recharge_story(world.store, TENANT, "r1")
    assert (await delivery(world, "k1")).revealed
    meter = world.meters[Drn(DRN)]
    for token in [*story.change_tokens, *story.tokens]:
        assert meter.customer_types(token.digits, world.clock.now()).result.taken
    assert (meter.decoder.krn, world.credited(DRN)) == (2, 10)


@pytest.mark.parametrize("way", [Way.ASK_AGAIN, Way.CONFIRM_CHANGE, Way.WITHDRAW_CHANGE])
async def test_an_unresolved_change_leaves_the_work_list_by_each_way_that_is_shown(world, way):
    process = world.process()
    ordered, _ = await process.keys.order_change(
        TENANT, Drn(DRN), NEXT, ident="k1", ordered_by="key"
    )
    now = world.clock.now()
    doubted = ordered.after(Fact.LEASED, now=now).after(Fact.NO_ANSWER, now=now)
    async with world.store.begin() as tx:
        lost = doubted.after(Fact.EXPIRED, now=now)
        await tx.deliveries.save(lost, was=DeliveryState.WAITING)
    desk = WorkListDesk(world.store, clock=world.clock, chance=world.chance, wake=process.wake)
    (work,) = (await desk.page(TENANT, Cursor())).items
    assert way in work.ways(now)
    match way:
        case Way.ASK_AGAIN:
            await process.keys.ask_again(TENANT, "k1")
        case Way.CONFIRM_CHANGE:
            await process.keys.confirm(TENANT, "k1", by="K. Otieno")
        case _:
            await process.keys.withdraw(TENANT, "k1", by="K. Otieno")
    assert (await desk.page(TENANT, Cursor())).items == []
