"""Every shipped model, simulated from its own profile and read by the real driver over TCP."""

import asyncio
from datetime import UTC, datetime

import pytest

from adapters.modbus.driver import ModbusDriver
from adapters.modbus.line import ModbusLine
from adapters.modbus.profile_files import load_profiles
from adapters.simulators.modbus_server import SimulatedLine
from adapters.simulators.modbus_units import ModbusUnit
from adapters.simulators.sdm_registers import EnergyMeter
from adapters.simulators.sheet_registers import Sheet, SheetRegisters
from api.model_sheets import sheet_of
from headend.errors import Misconfigured
from headend.meters import BusName, Drn, Meter, ProfileName, Route
from headend.readings import Quality, ReadingType
from tests.builders import a_meter

START = datetime(2026, 3, 1, tzinfo=UTC)
PROFILES = load_profiles()
READ_ONLY = sorted(name for name, profile in PROFILES.items() if profile.blocks is None)
LOAD_W = 2300


class StillClock:
    def now(self) -> datetime:
        return START


class Served:
    """A model behind Modbus TCP, and a driver that reads it as a model."""

    def __init__(self, sheet: Sheet) -> None:
        self.meter = EnergyMeter(START, load=LOAD_W)
        self.registers = SheetRegisters(self.meter, sheet)
        units = {1: ModbusUnit(self.registers, self.meter, self.meter.faults)}
        self._line = SimulatedLine(units, clock=StillClock(), turnaround_s=0)

    async def read(self, profile: str) -> dict[ReadingType, int]:
        async with self._line as line:
            port = await line.serve_tcp()
            wire = ModbusLine(f"tcp://127.0.0.1:{port}", framing="tcp")
            driver = ModbusDriver(wire, PROFILES, StillClock())
            try:
                async with driver.open(at_unit_1(profile)) as session:
                    readings = await session.read()
            finally:
                await wire.aclose()
                await asyncio.sleep(0)
        assert {reading.quality for reading in readings} == {Quality.GOOD}
        return {reading.type: reading.value for reading in readings}


def at_unit_1(profile: str) -> Meter:
    route = Route(BusName("line"), "1")
    return a_meter(drn=Drn("12345678903"), profile=ProfileName(profile), route=route)


@pytest.mark.parametrize("name", READ_ONLY)
async def test_a_simulated_model_is_read_as_itself(name: str):
    profile = PROFILES[ProfileName(name)]
    served = Served(sheet_of(profile))
    readings = await served.read(name)
    assert readings.keys() == profile.readings.keys()
    assert readings[ReadingType.POWER_W] == LOAD_W
    told = {kind: served.registers.value(kind) for kind in readings}
    assert readings == pytest.approx(told, abs=100)  # a register may count in tenths of a kWh


async def test_both_scales_of_a_dtsu666_are_told_apart():
    profile = PROFILES[ProfileName("chint-dtsu666")]
    plain = await Served(sheet_of(profile, "plain")).read("chint-dtsu666")
    scaled = await Served(sheet_of(profile, "scaled")).read("chint-dtsu666")
    assert plain == scaled
    assert plain[ReadingType.VOLTAGE_L1_MV] == 230_000


@pytest.mark.parametrize(
    ("there", "believed"),
    [
        ("carlo-gavazzi-em24", "carlo-gavazzi-em340"),
        ("carlo-gavazzi-em340", "carlo-gavazzi-em24"),
        ("carlo-gavazzi-em24", "carlo-gavazzi-em24-e1"),
        ("abb-b21", "abb-b23"),
        ("abb-b23", "abb-b21"),
        ("eastron-sdm120", "schneider-iem3155"),
        ("chint-dtsu666", "inepro-pro380"),
        ("acrel-adl400", "acrel-ddsy1352"),
        ("eastron-sdm630", "stsm"),
    ],
)
async def test_another_model_at_the_address_is_not_believed(there: str, believed: str):
    with pytest.raises(Misconfigured, match="check the wiring, address and profile"):
        await Served(sheet_of(PROFILES[ProfileName(there)])).read(believed)


async def test_a_variant_that_a_model_has_not_is_told():
    with pytest.raises(KeyError):
        sheet_of(PROFILES[ProfileName("chint-dtsu666")], "third")
