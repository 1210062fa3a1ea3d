"""Desks on every store: callers who choose one id, at the same moment or in two tenants."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from adapters.vault.key_import import KeyToImport, import_keys
from adapters.vault.master_key import MasterKey, MasterKeys
from adapters.vault.software import SoftwareVault
from headend.command_desk import CommandDesk
from headend.dangers import SAFE, Danger
from headend.deliveries import DeliveryState
from headend.key_desk import KeyDesk
from headend.meters import BusName, Capability, Meter
from headend.quantities import Unit, Units
from headend.recharge_desk import RechargeDesk
from headend.recharges import RechargeOrder, RechargeState
from headend.refusals import CapReached, OrderDiffers
from headend.supply import SupplyAction, SupplyReason
from headend.tokens import ManagementKind, ManagementOrder
from tests.builders import DRN, OTHER_TENANT, STS, TENANT, a_drn, a_meter, a_supply_group
from tests.builders import NOW as SUNDAY
from tests.fakes import FakeClock, SeededChance

# Supply is opened on working days.
NOW = SUNDAY + timedelta(days=1)
CALLERS = 8
TEST_KEY = "abababababababab949494949494949401234567"
CLEAR = ManagementOrder(ManagementKind.CLEAR_TAMPER)
KEYED = a_drn(20)
PRESENT = replace(STS, ea=11)
NEXT = replace(PRESENT, krn=STS.krn + 1)


class EveryRoute:
    """Wires that can do everything."""

    def capabilities(self, meter: Meter) -> Capability:
        return ~Capability.NONE

    def wake(self, bus: BusName) -> None:
        pass


@pytest.fixture
def commands(store) -> CommandDesk:
    return CommandDesk(store, EveryRoute(), clock=FakeClock(NOW), chance=SeededChance())


@pytest.fixture
async def keys(store) -> KeyDesk:
    """With the public test key at two key revisions, and a meter, for both tenants."""
    clock = FakeClock(NOW)
    masters = MasterKeys(MasterKey(bytes(range(32))))
    plain = [
        KeyToImport(sgc=STS.sgc, krn=krn, base_date=2014, ken=255, mark="test", key=TEST_KEY)
        for krn in (STS.krn, NEXT.krn)
    ]
    for tenant in (TENANT, OTHER_TENANT):
        await import_keys(store, masters, plain, tenant=tenant, now=NOW)
        async with store.begin() as tx:
            await tx.meters.add(a_meter(tenant=tenant, drn=KEYED, sts=PRESENT))
    vault = SoftwareVault(store, masters, clock=clock)
    return KeyDesk(store, vault, EveryRoute(), clock=clock, chance=SeededChance())


def open_supply(commands, *, tenant=TENANT, drn=DRN):
    return commands.order_supply(
        tenant,
        drn,
        ident="s1",
        action=SupplyAction.OPEN,
        reason=SupplyReason.SAFETY,
        expires_at=NOW + timedelta(hours=1),
        ordered_by=f"key of {tenant}",
    )


def clear_tamper(keys, *, tenant=TENANT):
    return keys.order_management(tenant, KEYED, CLEAR, ident="m1", ordered_by="key")


def change_key(keys, *, tenant=TENANT):
    return keys.order_change(tenant, KEYED, NEXT, ident="k1", ordered_by="key")


async def kept(store, tenant, drn):
    async with store.look() as tx:
        return await tx.deliveries.of_meter(tenant, drn, states=frozenset(DeliveryState))


async def tokens_of(store, tenant, ident):
    async with store.look() as tx:
        return await tx.tokens.of(ident, tenant)


def assert_one_is_new(answers):
    assert len({delivery.id for delivery, _ in answers}) == 1
    assert sorted(new for _, new in answers) == [False] * (CALLERS - 1) + [True]


async def test_many_callers_order_one_supply_at_once(store, commands):
    answers = await asyncio.gather(*(open_supply(commands) for _ in range(CALLERS)))
    assert_one_is_new(answers)
    assert len(await kept(store, TENANT, DRN)) == 1


async def test_many_callers_order_one_management_token_at_once(store, keys):
    answers = await asyncio.gather(*(clear_tamper(keys) for _ in range(CALLERS)))
    assert_one_is_new(answers)
    assert len(await tokens_of(store, TENANT, "m1")) == 1


async def test_many_callers_order_one_key_change_at_once(store, keys):
    answers = await asyncio.gather(*(change_key(keys) for _ in range(CALLERS)))
    assert_one_is_new(answers)
    assert [token.sequence for token in await tokens_of(store, TENANT, "k1")] == [1, 2, 3, 4]


async def test_one_id_for_two_meters_at_once_is_one_order_and_one_contradiction(store, commands):
    other = a_drn(2)
    answers = await asyncio.gather(
        open_supply(commands), open_supply(commands, drn=other), return_exceptions=True
    )
    assert [type(one) for one in answers if isinstance(one, Exception)] == [OrderDiffers]
    assert len([*await kept(store, TENANT, DRN), *await kept(store, TENANT, other)]) == 1


async def test_two_tenants_order_by_the_same_ids(store, commands, keys):
    for tenant in (TENANT, OTHER_TENANT):
        _, new = await open_supply(commands, tenant=tenant)
        assert new
        _, new = await commands.order_clock(tenant, DRN, ident="c1", ordered_by="key")
        assert new
        _, new = await clear_tamper(keys, tenant=tenant)
        assert new
        _, new = await change_key(keys, tenant=tenant)
        assert new
    for tenant in (TENANT, OTHER_TENANT):
        assert {one.id for one in await kept(store, tenant, DRN)} == {"s1", "c1"}
        assert {one.id for one in await kept(store, tenant, KEYED)} == {"m1", "k1"}
        for ident, size in (("m1", 1), ("k1", 4)):
            tokens = await tokens_of(store, tenant, ident)
            assert [token.tenant for token in tokens] == [tenant] * size


async def test_callers_at_the_same_moment_cannot_pass_a_cap_together(store, commands, keys):
    most = SAFE[Danger.OPEN_SUPPLY].per_key_hour
    drns = [a_drn(serial) for serial in range(1, 10)]

    def opening(number):
        return commands.order_supply(
            TENANT,
            drns[number % len(drns)],
            ident=f"s{number}",
            action=SupplyAction.OPEN,
            reason=SupplyReason.SAFETY,
            expires_at=NOW + timedelta(hours=1),
            ordered_by="key",
        )

    def limiting(number):
        order = ManagementOrder(ManagementKind.POWER_LIMIT, value=6000 + number)
        return keys.order_management(TENANT, KEYED, order, ident=f"m{number}", ordered_by="key")

    for order, cap in (
        (opening, most),
        (limiting, SAFE[Danger.POWER_LIMIT].per_key_hour),
    ):
        answers = await asyncio.gather(
            *(order(number) for number in range(cap + 5)), return_exceptions=True
        )
        refused = [one for one in answers if isinstance(one, BaseException)]
        assert [type(one) for one in refused] == [CapReached] * 5
    async with store.look() as tx:
        tally = await tx.dangers.tally(TENANT, Danger.OPEN_SUPPLY, key="key", sgc=STS.sgc, now=NOW)
        assert tally.key_hour == most


class Together(SoftwareVault):
    """Everybody who issues waits for the others first: they all write at the same moment."""

    def gather(self, callers: int) -> None:
        self.barrier = asyncio.Barrier(callers)

    async def issue(self, order, *, message_id):
        issued = await super().issue(order, message_id=message_id)
        with suppress(TimeoutError):  # some find it issued, and do not come
            async with asyncio.timeout(0.3):
                await self.barrier.wait()
        return issued


async def test_many_callers_sell_one_recharge_at_once_and_all_have_it(store, keys):
    clock = FakeClock(NOW)
    async with store.begin() as tx:
        await tx.supply_groups.put(a_supply_group(), was=None)
    vault = Together(store, MasterKeys(MasterKey(bytes(range(32)))), clock=clock)
    vault.gather(CALLERS)
    desk = RechargeDesk(store, vault, EveryRoute(), clock=clock, chance=SeededChance())
    sale = RechargeOrder(tenant=TENANT, id="r1", drn=KEYED, amount=Units(Decimal(10), Unit.KWH))
    answers = await asyncio.gather(*(desk.recharge(sale) for _ in range(CALLERS)))
    assert {(one.id, one.state) for one, _ in answers} == {("r1", RechargeState.ISSUED)}
    assert sorted(new for _, new in answers) == [False] * (CALLERS - 1) + [True]
    (delivery,) = await kept(store, TENANT, KEYED)
    assert len(await tokens_of(store, TENANT, delivery.id)) == 1
