"""Strangers: a unit is read without any record of it, and no model is believed untested."""

from collections.abc import Iterable
from datetime import datetime

import pytest

from adapters.modbus.line import ModbusLine
from adapters.modbus.profile import Profile
from adapters.modbus.profile_files import load_profiles
from adapters.modbus.strangers import models_of, narrowed, read_stranger, stranger
from adapters.simulators.modbus_units import ModbusUnit
from adapters.simulators.rs485 import Rs485Line
from adapters.simulators.sdm_registers import EnergyMeter, SdmRegisters
from adapters.simulators.sheet_registers import SheetRegisters
from adapters.simulators.stations import Habits, Manners, ModbusStation
from adapters.simulators.stsm_registers import StsmRegisters
from adapters.transport.address import SerialAddress
from api.model_sheets import sheet_of
from headend.errors import HeadendError, Misconfigured, NotSent
from headend.meters import ProfileName
from headend.readings import Quality, ReadingType
from tests.adapters.modbus.clocks import NOON, StillClock
from tests.adapters.simulators.benches import DRN, a_meter
from tests.bench.rs485_lines import SeededChance

pytestmark = pytest.mark.virtual_time

PROFILES = load_profiles()
SDM630 = PROFILES[ProfileName("eastron-sdm630")]
STSM = PROFILES[ProfileName("stsm")]
ADDRESS = SerialAddress(path="-", baud=9600)


def an_sdm630(load: int = 690) -> ModbusUnit:
    meter = EnergyMeter(NOON, load=load)
    meter._account.import_milli = 1_234_500
    return ModbusUnit(SdmRegisters(meter), meter, meter.faults)


class Nines:
    """A device that is no meter: every register says the same, and no mains is like it."""

    def read(self, function: int, start: int, count: int, now: datetime) -> bytes:
        return b"\x99" * (2 * count)

    def write(self, start: int, data: bytes, now: datetime) -> None:
        raise AssertionError("nothing may be written")


def a_modelled(name: str) -> ModbusUnit:
    meter = EnergyMeter(NOON, load=460)
    sheet = sheet_of(PROFILES[ProfileName(name)])
    return ModbusUnit(SheetRegisters(meter, sheet), meter, meter.faults)


def an_stsm(**more) -> ModbusUnit:
    meter = a_meter(now=NOON, **more)
    return ModbusUnit(StsmRegisters(meter), meter, meter.faults)


def wires(*units: tuple[int, ModbusUnit]) -> Rs485Line:
    habits = Habits(Manners(), clock=StillClock(), chance=SeededChance(1))
    stations = [ModbusStation(number, unit, habits) for number, unit in units]
    return Rs485Line(ADDRESS, stations, chance=SeededChance(1))


def a_line(simulated: Rs485Line) -> ModbusLine:
    return ModbusLine("serial:///dev/wires?baud=9600", opener=simulated.open)


def names(profiles: Iterable[Profile]) -> set[str]:
    return {profile.name for profile in profiles}


async def test_every_reading_of_an_sdm630_is_the_meters():
    unit = stranger(a_line(wires((17, an_sdm630()))), 17)
    told = await read_stranger(unit, SDM630, StillClock())
    values = {reading.type: reading.value for reading in told.readings}
    assert values.keys() == SDM630.readings.keys()
    assert (told.refused, told.untold, told.drn) == ([], [], None)
    for phase in ("L1", "L2", "L3"):
        assert values[ReadingType[f"VOLTAGE_{phase}_MV"]] == 230_000
        assert values[ReadingType[f"CURRENT_{phase}_MA"]] == 1_000
        assert values[ReadingType[f"POWER_{phase}_W"]] == 230
        assert values[ReadingType[f"ENERGY_IMPORT_{phase}_WH"]] == 411_500
    assert values[ReadingType.POWER_W] == 690
    assert values[ReadingType.ENERGY_IMPORT_WH] == 1_234_500
    assert values[ReadingType.FREQUENCY_MHZ] == 50_000
    assert {reading.quality for reading in told.readings} == {Quality.GOOD}


@pytest.mark.parametrize("currency", [None, "KES"])
async def test_every_reading_of_an_stsm_is_the_meters(currency):
    unit = an_stsm(load=460, credit_milli=77_000, currency=currency)
    told = await read_stranger(stranger(a_line(wires((3, unit))), 3), STSM, StillClock())
    values = {reading.type: reading.value for reading in told.readings}
    assert told.drn == DRN
    assert values == {
        ReadingType.CREDIT_LEFT_MILLI: 77_000,
        ReadingType.ENERGY_IMPORT_WH: 0,
        ReadingType.POWER_W: 460,
    }


@pytest.mark.parametrize("name", sorted(n for n, p in PROFILES.items() if p.blocks is None))
async def test_a_model_is_among_those_that_its_probes_allow(name: str):
    line = a_line(wires((5, a_modelled(name))))
    assert name in names(await models_of(stranger(line, 5), PROFILES.values()))
    found = await narrowed(
        stranger(line, 5), await models_of(stranger(line, 5), PROFILES.values()), StillClock()
    )
    assert name in names(found)


async def test_an_stsm_is_nothing_else():
    line = a_line(wires((5, an_stsm())))
    assert names(await models_of(stranger(line, 5), PROFILES.values())) == {"stsm"}


async def test_who_fits_no_probe_is_unknown():
    meter = EnergyMeter(NOON)
    line = a_line(wires((5, ModbusUnit(Nines(), meter, meter.faults))))
    assert await models_of(stranger(line, 5), PROFILES.values()) == []


@pytest.mark.parametrize("model", ["abb-b23", "chint-dtsu666", "stsm"])
async def test_a_wrong_model_is_noticed(model: str):
    line = a_line(wires((17, an_sdm630())))
    with pytest.raises(Misconfigured, match="17"):
        await read_stranger(stranger(line, 17), PROFILES[ProfileName(model)], StillClock())


async def test_nobody_there_is_told_as_such():
    line = a_line(wires((17, an_sdm630())))
    with pytest.raises(NotSent, match="no reply"):
        await read_stranger(stranger(line, 18), SDM630, StillClock())
    with pytest.raises(HeadendError):
        await models_of(stranger(line, 18), PROFILES.values())
