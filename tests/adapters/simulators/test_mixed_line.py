"""Meters of three dialects on one pair of wires, with noise, dead slaves and late replies."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import cycle

import pytest

from adapters.dlt645.access import PlainPassword
from adapters.dlt645.driver import Dlt645Driver
from adapters.dlt645.profile import load_profiles as load_dlt645_profiles
from adapters.iec62056_21.driver import Iec62056Driver
from adapters.iec62056_21.profile import load_profiles as load_iec62056_profiles
from adapters.modbus.driver import ModbusDriver
from adapters.modbus.frames import Table
from adapters.modbus.line import ModbusLine
from adapters.modbus.profile_files import load_profiles as load_modbus_profiles
from adapters.simulators.dlt645_unit import Dlt645Unit
from adapters.simulators.modbus_units import ModbusUnit
from adapters.simulators.read_out_unit import ReadOutUnit
from adapters.simulators.rs485 import AnyStation, Rs485Line
from adapters.simulators.sdm_registers import EnergyMeter, SdmRegisters
from adapters.simulators.stations import (
    Dlt645Station,
    Habits,
    Manners,
    ModbusStation,
    ReadOutStation,
)
from adapters.simulators.stsm_registers import StsmRegisters
from adapters.transport.address import SerialAddress
from adapters.transport.line import Line
from api.line_wiring import SharedLine
from headend.agenda import Urgency
from headend.commands import SetSupply
from headend.errors import NoAnswer, Resting, WireError
from headend.meters import BusName, Drn, Meter, ProfileName, Route
from headend.readings import ReadingType
from headend.supply import SupplyAction, SupplyReason
from headend.tokens import TokenResult
from protocols.dlt645.orders import Access
from protocols.modbus.blocks import Span
from tests.adapters.simulators.benches import DRN, Bench
from tests.adapters.simulators.benches import a_meter as a_payment_meter
from tests.adapters.transport.wires import T0, SeededChance
from tests.builders import a_meter, a_token

pytestmark = pytest.mark.virtual_time

ADDRESS = SerialAddress(path="/dev/wires", baud=9600)
URL = "serial:///dev/wires?baud=9600"
PASSWORD = PlainPassword(Access(2, "000000"))
NOISY = Manners(
    delay_s=0.02, jitter_s=0.02, late_share=0.05, late_s=0.7, flip_share=2e-5, echo=True
)
STSM = "1"
DEAD = ("modbus 4", "dlt645 4", "read out 3")
SECONDS = 320


class LoopClock:
    """Goes with the event loop, from T0 on."""

    def __init__(self) -> None:
        self._began = asyncio.get_running_loop().time()

    def now(self) -> datetime:
        return T0 + timedelta(seconds=asyncio.get_running_loop().time() - self._began)


@dataclass(frozen=True)
class Slave:
    """A meter on the wires, its record in the head-end, and the power that it alone draws."""

    station: AnyStation
    record: Meter
    power_w: int


def the_record(number: int, profile: str, address: str) -> Meter:
    return a_meter(
        drn=Drn(f"{number:011d}"),
        profile=ProfileName(profile),
        route=Route(BusName("line"), address),
    )


def slaves(habits: Habits) -> Mapping[str, Slave]:
    """Four meters of Modbus beside the payment meter, four of DL/T 645, three that are read out."""
    found: dict[str, Slave] = {}
    now = habits.clock.now()
    for number in range(1, 5):
        power_w, address = 1000 + number, str(number + 1)
        energy = EnergyMeter(now, load=power_w)
        unit = ModbusUnit(SdmRegisters(energy), energy, energy.faults)
        record = the_record(number, "eastron-sdm630", address)
        station = ModbusStation(number + 1, unit, habits)
        found[f"modbus {number}"] = Slave(station, record, power_w)
    for number in range(1, 5):
        power_w, address = 2000 + number, f"{number:012d}"
        meter = a_payment_meter(now=now, load=power_w, credit_milli=900_000_000)
        dlt645 = Dlt645Station(Dlt645Unit(meter, address, zone=UTC), habits)
        record = the_record(10 + number, "dlt645-2007", address)
        found[f"dlt645 {number}"] = Slave(dlt645, record, power_w)
    for number, speed in ((1, "5"), (2, "4"), (3, "5")):  # the second one changes the speed
        power_w, address = 3000 + number, f"4711{number}"
        read_out = ReadOutUnit(EnergyMeter(now, load=power_w), address, speed_character=speed)
        record = the_record(20 + number, "iec62056-21", address)
        found[f"read out {number}"] = Slave(ReadOutStation(read_out, habits), record, power_w)
    return found


class Pair:
    """The wires, whoever is on them, and our drivers as the head-end wires them."""

    def __init__(self, manners: Manners, seed: int) -> None:
        chance = SeededChance(seed)
        self.clock = LoopClock()
        self.habits = Habits(manners, clock=self.clock, chance=chance)
        self.slaves = slaves(self.habits)
        self.bench = Bench(now=T0, load=0, credit_milli=5_000)
        unit = ModbusUnit(
            StsmRegisters(self.bench.meter), self.bench.meter, self.bench.meter.faults
        )
        stations: list[AnyStation] = [ModbusStation(int(STSM), unit, self.habits)]
        stations += [slave.station for slave in self.slaves.values()]
        self.wires = Rs485Line(ADDRESS, stations, chance=chance, manners=manners)
        self.line = Line(URL, timeout_s=0.5, quiet_s=1.0, opener=self.wires.open)
        self.driver = SharedLine((
            ModbusDriver(ModbusLine.on(self.line), load_modbus_profiles(), self.clock),
            Dlt645Driver(
                self.line, load_dlt645_profiles(), self.clock, zone=UTC, authority=PASSWORD
            ),
            Iec62056Driver(self.line, load_iec62056_profiles(), self.clock),
        ))  # fmt: skip
        self.read: dict[str, int] = dict.fromkeys(self.slaves, 0)
        self.lost = 0
        self.wrong: list[tuple[str, object]] = []

    async def read_on(self, seconds: float) -> None:
        """Read all of them round and round, several at a time."""
        until = asyncio.get_running_loop().time() + seconds
        names = cycle(self.slaves)
        await asyncio.gather(*(self._work(names, until) for _ in range(4)))

    async def _work(self, names: Iterator[str], until: float) -> None:
        while asyncio.get_running_loop().time() < until:
            await self._converse(next(names))

    async def _converse(self, name: str) -> None:
        slave = self.slaves[name]
        try:
            async with self.driver.open(slave.record) as session:
                found = {one.type: one.value for one in await session.read()}
        except Resting:
            await asyncio.sleep(0.05)
            return
        except WireError:
            self.lost += 1
            return
        self.read[name] += 1
        if not self._believed(found, slave):
            self.wrong.append((name, found))

    def _believed(self, found: Mapping[ReadingType, int], slave: Slave) -> bool:
        """All that a meter of this power tells; its energy can only be what it has used."""
        hours = (self.clock.now() - T0) / timedelta(hours=1)
        used_wh = found[ReadingType.ENERGY_IMPORT_WH]
        return (
            found[ReadingType.POWER_W] == slave.power_w
            and 0 <= used_wh <= slave.power_w * hours + 10
            and found[ReadingType.VOLTAGE_L1_MV] == 230_000
            and found[ReadingType.FREQUENCY_MHZ] == 50_000
        )

    async def close(self) -> None:
        await self.line.aclose()
        await self.wires.close()


async def test_no_wrong_value_is_taken_on_a_bad_line_of_three_dialects():
    pair = Pair(NOISY, seed=1)
    for name in DEAD:
        pair.slaves[name].station.faults.silent = True
    await pair.read_on(SECONDS)
    await pair.close()
    assert pair.wrong == []
    assert pair.lost > 10
    assert pair.wires.medium.heard.flips >= 10
    for name, count in pair.read.items():
        assert count == 0 if name in DEAD else count > 5, (name, pair.read)
    assert pair.line.address == ADDRESS
    assert {slave.name.partition(" ")[0] for slave in pair.line.status().stations} == {
        "modbus",
        "dlt645",
        "iec62056-21",
    }


async def test_a_recharge_and_orders_go_through_while_every_dialect_is_read():
    pair = Pair(Manners(delay_s=0.02, jitter_s=0.02), seed=3)
    digits = pair.bench.credit(100)
    record = a_meter(drn=Drn(DRN), profile=ProfileName("stsm"), route=Route(BusName("line"), STSM))
    reading = asyncio.create_task(pair.read_on(30))
    await asyncio.sleep(5)
    async with pair.driver.open(record, urgency=Urgency.TOKEN) as session:
        outcome = await session.enter_token(a_token(digits=digits), attempt=0)
    assert outcome.result is TokenResult.ACCEPT
    assert pair.bench.meter.credit_milli == 15_000
    station = pair.slaves["dlt645 1"].station
    assert isinstance(station, Dlt645Station)
    obeying = station.unit.meter
    for action, lit in ((SupplyAction.OPEN, False), (SupplyAction.PERMIT_CLOSE, True)):
        expires = pair.clock.now() + timedelta(hours=1)
        order = SetSupply(action, SupplyReason.NON_PAYMENT, expires)
        async with pair.driver.open(pair.slaves["dlt645 1"].record) as session:
            await session.set_supply(order, order_id=action.name)
        obeying.press_button(pair.clock.now())
        assert obeying.lit is lit
    await reading
    await pair.close()
    assert pair.wrong == []
    assert min(pair.read.values()) > 2


async def test_a_late_sign_on_is_not_taken_for_that_of_another_meter():
    pair = Pair(Manners(), seed=4)
    late, dead = (pair.slaves[name] for name in ("read out 1", "read out 3"))
    assert isinstance(late.station, ReadOutStation)
    late.station.unit.speed_character = ":"  # tells all at once
    late.station.faults.late(1, by_s=3.5)
    dead.station.faults.silent = True
    for slave in (late, dead):
        with pytest.raises(NoAnswer):
            async with pair.driver.open(slave.record) as session:
                await session.read()
    await pair._converse("read out 1")
    await pair.close()
    assert (pair.read["read out 1"], pair.wrong) == (1, [])


@pytest.mark.parametrize("baud", [300, 2400, 4800, 19200, 115200])
async def test_at_another_speed_nobody_is_understood(baud: int):
    pair = Pair(Manners(), seed=5)
    line = Line(f"serial:///dev/wires?baud={baud}", timeout_s=0.5, opener=pair.wires.open)
    modbus = ModbusLine.on(line)
    for unit in (1, 2, 3):
        with pytest.raises((NoAnswer, Resting)):
            await modbus.read(unit, Table.HOLDING, Span(0, 2))
    # What the meters themselves say is noise to who listens at this speed.
    heard: list[bytes] = []
    pair.wires.medium.hear = heard.append
    pair.wires.medium.say(b"\x02said by a meter\x03")
    await asyncio.sleep(1)
    assert b"said" not in b"".join(heard)
    await line.aclose()
    await pair.close()
