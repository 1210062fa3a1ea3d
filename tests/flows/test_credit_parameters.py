"""Credit parameters from an order to the registers of a meter: lost answers, and death at any time.

The bus, the driver, the line and the simulated meter are the real ones, on wires with physics in
virtual time.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal

import pytest

from adapters.modbus.driver import ModbusDriver
from adapters.modbus.line import ModbusLine
from adapters.modbus.profile_files import load_profiles
from adapters.simulators.modbus_units import ModbusUnit
from adapters.simulators.rs485 import Rs485Line
from adapters.simulators.stations import Habits, Manners, ModbusStation
from adapters.simulators.stsm_registers import StsmRegisters
from adapters.transport.address import SerialAddress
from headend.bus import Bus
from headend.bus_ports import BusPorts
from headend.command_desk import CommandDesk
from headend.credit_parameters import CreditParameters
from headend.deliveries import Confirmation, Delivery, DeliveryState
from headend.intake import Intake
from headend.meters import BusName, Capability, Meter, ProfileName, Route
from headend.refusals import CommandUnsupported, MalformedOrder, WrongUnit
from tests.adapters.simulators.benches import Bench
from tests.builders import BUS, TENANT, a_drn, a_meter
from tests.fakes import MemoryStore, SeededChance
from tests.flows.world import Fuse, Killed, LoopClock, MortalStore

pytestmark = pytest.mark.virtual_time
DRN = a_drn(1)
CHANGE = CreditParameters(unit="kWh", low_credit_1=Decimal(30), reconnect_credit=Decimal(10))
OTHER = CreditParameters(unit="kWh", low_credit_1=Decimal(40), overdraft=Decimal(7))


@dataclass
class Site:
    """One keypad meter on a line; processes of the head-end come and go."""

    store: MemoryStore
    bench: Bench
    wires: Rs485Line
    clock: LoopClock = field(default_factory=LoopClock)
    can: Capability = load_profiles()[ProfileName("stsm")].can

    def capabilities(self, meter: Meter) -> Capability:
        return self.can

    def wake(self, bus: BusName) -> None:
        pass

    async def order(self, ident: str, change: CreditParameters) -> Delivery:
        desk = CommandDesk(self.store, self, clock=self.clock, chance=SeededChance())
        delivery, _ = await desk.order_parameters(
            TENANT, DRN, change, ident=ident, ordered_by="key-1"
        )
        return delivery

    @asynccontextmanager
    async def process(self) -> AsyncIterator[None]:
        """One life of the head-end, killed at the end: nothing that it still wants is done."""
        fuse = Fuse()
        store, chance = MortalStore(self.store, fuse), SeededChance()
        line = ModbusLine("serial:///dev/wires?baud=9600", opener=self.wires.open)
        driver = ModbusDriver(line, load_profiles(), self.clock)
        intake = Intake(store, self.clock, chance)
        ports = BusPorts(store=store, clock=self.clock, chance=chance, intake=intake)
        serving = asyncio.create_task(Bus(BUS, slots=1, driver=driver, ports=ports).serve())
        yield
        fuse.burnt = True
        serving.cancel()
        with suppress(asyncio.CancelledError, BaseExceptionGroup, Killed):
            await serving
        await line.aclose()

    async def ended(self, ident: str, *, within_s: float = 60.0) -> Delivery:
        for _ in range(int(within_s / 0.1)):
            async with self.store.look() as tx:
                found = await tx.deliveries.find(TENANT, ident)
            assert found is not None
            if found.state not in (
                DeliveryState.WAITING,
                DeliveryState.SENDING,
                DeliveryState.UNCERTAIN,
            ):
                return found
            await asyncio.sleep(0.1)
        raise AssertionError(f"{ident} never ended")

    @property
    def held(self) -> tuple[int, int]:
        """First warning and reconnect credit of the meter, in thousandths."""
        circuit = self.bench.meter.circuit
        return circuit.low_credit_milli, circuit.reconnect_milli


@asynccontextmanager
async def a_site(**settings: int) -> AsyncIterator[Site]:
    clock, chance = LoopClock(), SeededChance()
    bench = Bench(now=clock.now(), drn=DRN, processing_s=0.1, **settings)
    unit = ModbusUnit(StsmRegisters(bench.meter, exponent=-2), bench.meter, bench.meter.faults)
    manners = Manners(delay_s=0.02)
    station = ModbusStation(17, unit, Habits(manners, clock=clock, chance=chance))
    address = SerialAddress(path="-", baud=9600)
    async with Rs485Line(address, [station], chance=chance, manners=manners) as wires:
        site = Site(MemoryStore(), bench, wires)
        route = Route(BUS, "17")
        async with site.store.begin() as tx:
            await tx.meters.add(a_meter(drn=DRN, profile=ProfileName("stsm"), route=route))
        yield site


async def test_they_are_written_and_read_back():
    async with a_site() as site, site.process():
        await site.order("o1", CHANGE)
        done = await site.ended("o1")
        assert (done.state, done.confirmed_by) == (DeliveryState.DONE, Confirmation.READ_BACK)
        assert site.held == (30_000, 10_000)


async def test_a_lost_answer_is_looked_at_before_anything_is_written_again():
    async with a_site() as site, site.process():
        site.bench.meter.faults.lose_commands(1)
        await site.order("o1", CHANGE)
        done = await site.ended("o1")
        assert (done.state, done.maybe_taken) == (DeliveryState.DONE, True)
        assert site.held == (30_000, 10_000)


@pytest.mark.parametrize("tenths", range(1, 12))
async def test_killed_at_any_time_it_is_done_in_the_next_life(tenths: int):
    async with a_site() as site:
        await site.order("o1", CHANGE)
        async with site.process():
            await asyncio.sleep(tenths * 0.05)
        async with site.process():
            assert (await site.ended("o1")).state is DeliveryState.DONE
        assert site.held == (30_000, 10_000)


async def test_a_newer_order_replaces_one_that_waits_only_where_it_says_as_much():
    async with a_site() as site:
        await site.order("o1", CHANGE)
        await site.order("o2", OTHER)
        await site.order("o3", CreditParameters(unit="kWh", low_credit_1=Decimal(50)))
        await site.order("o4", CreditParameters(unit="kWh", low_credit_1=Decimal(60)))
        async with site.process():
            states = [(await site.ended(f"o{number}")).state for number in (1, 2, 3, 4)]
        done, cancelled = DeliveryState.DONE, DeliveryState.CANCELLED
        assert states == [done, done, cancelled, done]
        assert site.held == (60_000, 10_000)


async def test_what_falls_between_two_steps_of_the_meter_fails_and_changes_nothing():
    async with a_site() as site, site.process():
        before = site.held
        await site.order("o1", CreditParameters(unit="kWh", low_credit_1=Decimal("0.001")))
        assert (await site.ended("o1")).state is DeliveryState.FAILED
        assert site.held == before


@pytest.mark.parametrize(
    ("change", "refusal", "told"),
    [
        (CreditParameters(), MalformedOrder, "name at least one"),
        (CreditParameters(low_credit_1=Decimal(1)), WrongUnit, "not in no unit"),
        (CreditParameters(unit="ZAR", overdraft=Decimal(1)), WrongUnit, "counts in kWh"),
        (
            CreditParameters(unit="kWh", overdraft=Decimal(1), power_limit_w=1),
            MalformedOrder,
            "apart",
        ),
    ],
)
async def test_what_makes_no_sense_is_refused(change, refusal, told):
    async with a_site() as site:
        with pytest.raises(refusal, match=told):
            await site.order("o1", change)


async def test_what_a_model_has_not_is_refused_by_its_name():
    async with a_site() as site:
        site.can ^= Capability.POWER_LIMIT
        with pytest.raises(CommandUnsupported, match="stsm on its route has no power_limit_w"):
            await site.order("o1", CreditParameters(power_limit_w=6000))
        await site.order("o2", CHANGE)
        site.can ^= Capability.CREDIT_PARAMETERS
        with pytest.raises(CommandUnsupported, match="has no low_credit_1, overdraft"):
            await site.order("o3", OTHER)
