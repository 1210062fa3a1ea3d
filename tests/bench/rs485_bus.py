"""A bus of one slot on a saturated RS485 line, in virtual time: readings, past days, orders of a
job, supply and clock are all waiting while a customer at a till buys.

What is measured is the whole way: from the commit of the recharge's delivery, over the bus and its
store, the driver and the turns of the line, to the first byte for that meter on the wires.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from adapters.modbus.driver import ModbusDriver
from adapters.modbus.line import ModbusLine
from adapters.modbus.profile_files import load_profiles
from adapters.simulators.medium import MediumEnd, Station
from adapters.simulators.modbus_units import ModbusUnit
from adapters.simulators.stations import Habits, Manners, ModbusStation
from adapters.simulators.stsm_registers import StsmRegisters
from adapters.transport.address import Address, SerialAddress
from adapters.transport.wire import Wire
from headend.agenda import Urgency
from headend.bus import Bus
from headend.bus_ports import BusPorts
from headend.commands import Command, EnterToken, SetClock, SetSupply
from headend.deliveries import Delivery, DeliveryMethod, DeliveryState
from headend.intake import Intake
from headend.meters import BusName, Meter, ProfileName, Route
from headend.polling import Poll
from headend.supply import SupplyAction, SupplyReason
from tests.adapters.simulators.benches import Bench
from tests.bench.rs485_lines import DELAY_S, JITTER_S, T0, SeededChance, a_line, the_meter
from tests.builders import TENANT, a_delivery, a_drn, a_meter, a_token
from tests.fakes import MemoryStore

BUS = BusName("line")
READ = range(1, 28)
# Keypad meters: one is recharged, the others are given what can wait.
ORDERED = (28, 29, 30, 31)
RECHARGED = 32
WARM_S = 20.0
# An order of each kind every so many of the longest transactions leaves time for readings.
ORDER_EVERY = 12
# SDM630 and STSM give so many registers at once at most.
LONGEST_READ, REQUEST_BYTES, REPLY_BYTES = 80, 8, 5


class LoopClock:
    """Wall time that follows the loop's."""

    def now(self) -> datetime:
        return T0 + timedelta(seconds=asyncio.get_running_loop().time())


@dataclass
class Till:
    """How long recharges waited for their first byte; questions by unit, orders done."""

    waits_s: list[float] = field(default_factory=list)
    took_s: float = 0.0
    asked: dict[int, int] = field(default_factory=dict)
    done: dict[Urgency, int] = field(default_factory=dict)


async def sell(
    address: SerialAddress, count: int, *, slots: int = 1, dead: Iterable[int] = ()
) -> Till:
    """Sell so many times on a line that is never idle, some units of which are silent."""
    till, first_byte = Till(), asyncio.Event()

    class Watched(MediumEnd):
        async def write(self, data: bytes, *, timeout: float) -> None:
            till.asked[data[0]] = till.asked.get(data[0], 0) + 1
            if data[0] == RECHARGED:
                first_byte.set()
            await super().write(data, timeout=timeout)

    async def opener(_: Address) -> MediumEnd:
        return Watched(wires.medium)

    clock, chance, store = LoopClock(), SeededChance(2), MemoryStore()
    async with a_line(address, dead=dead) as wires:
        bench = _furnish(wires.medium.stations, clock, chance)
        line = ModbusLine(f"serial:///dev/wires?baud={address.baud}", opener=opener)
        driver = ModbusDriver(line, load_profiles(), clock)
        intake = Intake(store, clock, chance)
        ports = BusPorts(store=store, clock=clock, chance=chance, intake=intake)
        bus = Bus(BUS, slots=slots, driver=driver, ports=ports)
        await _plan_polls(store)
        serving = asyncio.create_task(bus.serve())
        keeping = asyncio.create_task(
            _keep_ordering(store, bus, clock, every_s=ORDER_EVERY * longest_s(address))
        )
        await asyncio.sleep(WARM_S)
        for number in range(count):
            await asyncio.sleep(1.0 + number * 0.0137 % 1.0)
            first_byte.clear()
            ready_at = asyncio.get_running_loop().time()
            sale = await _order(store, RECHARGED, EnterToken(), clock, digits=bench.credit(10))
            bus.wake()
            await first_byte.wait()
            till.waits_s.append(asyncio.get_running_loop().time() - ready_at)
            await _until_done(store, sale)
        till.took_s = asyncio.get_running_loop().time() - WARM_S
        till.done = await _counted(store)
        for task in (serving, keeping):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await line.aclose()
    return till


def _furnish(stations: list[Station], clock: LoopClock, chance: SeededChance) -> Bench:
    """Keypad meters in the places of the last energy meters; returns that of the recharged one."""
    manners = Manners(delay_s=DELAY_S, jitter_s=JITTER_S)
    habits = Habits(manners, clock=clock, chance=chance)
    for number in (*ORDERED, RECHARGED):
        bench = Bench(now=T0, drn=a_drn(number), processing_s=0.1)
        faults = bench.meter.faults
        unit = ModbusUnit(StsmRegisters(bench.meter, exponent=-2), bench.meter, faults)
        stations[number - 1] = ModbusStation(number, unit, habits)
    return bench


async def _plan_polls(store: MemoryStore) -> None:
    """Every meter but the recharged one is due as soon as it was read."""
    async with store.begin() as tx:
        for unit in range(1, RECHARGED + 1):
            await tx.meters.add(_record(unit))
        for unit in (*READ, *ORDERED):
            poll = Poll(tenant=TENANT, drn=_record(unit).drn, bus=BUS, due_at=T0, interval_s=1)
            await tx.polls.put(poll)


async def _keep_ordering(store: MemoryStore, bus: Bus, clock: LoopClock, *, every_s: float) -> None:
    """One of each kind that is less urgent than a token, again and again."""
    while True:
        now = clock.now()
        permit = SetSupply(
            SupplyAction.PERMIT_CLOSE, SupplyReason.OTHER, now + timedelta(minutes=30)
        )
        orders: tuple[tuple[Command, Urgency], ...] = (
            (permit, Urgency.SUPPLY),
            (permit, Urgency.BULK),
            (SetClock(), Urgency.READING),
        )
        for place, (command, urgency) in enumerate(orders):
            await _order(store, ORDERED[place], command, clock, urgency=urgency)
        bus.wake()
        await asyncio.sleep(every_s)


async def _order(
    store: MemoryStore,
    unit: int,
    command: Command,
    clock: LoopClock,
    *,
    urgency: Urgency = Urgency.TOKEN,
    digits: str | None = None,
) -> Delivery:
    now = clock.now()
    delivery = a_delivery(
        drn=_record(unit).drn,
        bus=BUS,
        command=command,
        priority=urgency,
        rank=int(now.timestamp() * 1000),
        methods=frozenset({DeliveryMethod.REMOTE}),
        not_before=now,
        fallback_at=None,
        deadline=now + timedelta(hours=1),
        created_at=now,
        changed_at=now,
    )
    async with store.begin() as tx:
        await tx.deliveries.add(delivery)
        if digits is not None:
            token = a_token(drn=delivery.drn, delivery_id=delivery.id, digits=digits)
            await tx.tokens.add(token)
    return delivery


async def _until_done(store: MemoryStore, sale: Delivery) -> None:
    while True:
        async with store.look() as tx:
            found = await tx.deliveries.find(sale.tenant, sale.id)
        assert found is not None
        if found.state is DeliveryState.DONE:
            return
        assert found.state in (DeliveryState.WAITING, DeliveryState.SENDING), found
        await asyncio.sleep(0.05)


async def _counted(store: MemoryStore) -> dict[Urgency, int]:
    """How many deliveries of each urgency are done."""
    done = dict.fromkeys(Urgency, 0)
    states = frozenset({DeliveryState.DONE})
    async with store.look() as tx:
        for unit in (*ORDERED, RECHARGED):
            for one in await tx.deliveries.of_meter(TENANT, _record(unit).drn, states=states):
                done[Urgency(one.priority)] += 1
    return done


def _record(unit: int) -> Meter:
    if unit in READ:
        return replace(the_meter(unit), tenant=TENANT)
    route = Route(BUS, str(unit))
    return a_meter(drn=a_drn(unit), profile=ProfileName("stsm"), route=route)


def longest_s(address: SerialAddress) -> float:
    """The longest transaction on this line: the largest block of its meters, the slowest delay."""
    wire = Wire(address)
    wire.used(REQUEST_BYTES + REPLY_BYTES + 2 * LONGEST_READ, delay_s=DELAY_S + JITTER_S)
    return wire.ideal_s
