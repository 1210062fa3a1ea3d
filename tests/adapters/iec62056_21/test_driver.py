"""Meters that are read out by IEC 62056-21, on a line that changes its speed for it."""

from pathlib import Path

import pytest

from adapters.iec62056_21.driver import Iec62056Driver
from adapters.iec62056_21.profile import load_profiles
from adapters.simulators.read_out_unit import ReadOutUnit
from adapters.simulators.sdm_registers import EnergyMeter
from adapters.simulators.stations import Habits, Manners, ReadOutStation
from headend.errors import Misconfigured, NoAnswer, Unsupported
from headend.meters import BusName, Capability, ProfileName, Route
from headend.readings import ReadingType
from protocols.iec62056_21.characters import BlockCheck
from tests.adapters.transport.hearers import Hearers, a_line
from tests.builders import NOW, a_meter
from tests.fakes import FakeClock, SeededChance

pytestmark = pytest.mark.virtual_time
PROFILE = ProfileName("iec62056-21")
LINES = {
    "0.0.0": "12345678",
    "1.8.0": "0012345.67*kWh",
    "1-0:2.8.0*255": "0000000.00*kWh",
    "32.7.0": "230.1*V",
}


@pytest.fixture
def simulated() -> ReadOutUnit:
    unit = ReadOutUnit(EnergyMeter(NOW, load=417), "12345678")
    unit.lines |= LINES
    return unit


@pytest.fixture
def hearers(simulated) -> Hearers:
    habits = Habits(Manners(), clock=FakeClock(NOW), chance=SeededChance())
    return Hearers([ReadOutStation(simulated, habits)])


def driver(hearers: Hearers, *folders: Path) -> Iec62056Driver:
    return Iec62056Driver(a_line(hearers), load_profiles(*folders), FakeClock(NOW))


def routed(address: str = "12345678", profile: ProfileName = PROFILE):
    return a_meter(profile=profile, route=Route(BusName("line"), address))


async def values(lines: Iec62056Driver, **more):
    async with lines.open(routed(**more)) as session:
        return {one.type: one.value for one in await session.read()}


async def test_a_read_out_changes_the_speed_and_gives_the_line_back(hearers):
    assert await values(driver(hearers)) == {
        ReadingType.ENERGY_IMPORT_WH: 12_345_670,
        ReadingType.ENERGY_EXPORT_WH: 0,
        ReadingType.VOLTAGE_L1_MV: 230_100,
        ReadingType.POWER_W: 417,
        ReadingType.CURRENT_L1_MA: 1813,
        ReadingType.FREQUENCY_MHZ: 50_000,
    }
    assert hearers.speeds == [2400, 9600, 2400]


async def test_a_meter_of_mode_a_is_read_at_the_speed_it_has(hearers, simulated):
    simulated.speed_character = ":"
    assert (await values(driver(hearers)))[ReadingType.POWER_W] == 417
    assert hearers.speeds == [2400, 2400]


async def test_a_damaged_read_out_is_no_answer_and_the_next_one_counts(hearers, simulated):
    lines = driver(hearers)
    simulated.check = BlockCheck.SUM7  # its block check is wrong for a meter of the standard
    with pytest.raises(NoAnswer):
        await values(lines)
    assert (hearers.speeds[-1], simulated.read_outs) == (2400, 1)
    simulated.check = BlockCheck.XOR
    simulated.faults.garble()
    with pytest.raises(NoAnswer):
        await values(lines)
    assert (await values(lines))[ReadingType.POWER_W] == 417


async def test_silence_is_no_answer_and_the_line_goes_back_to_its_speed(hearers, simulated):
    simulated.faults.silent = True
    with pytest.raises(NoAnswer):
        await values(driver(hearers))
    assert hearers.speeds[-1:] == [2400]


async def test_mode_b_is_named(hearers, simulated):
    simulated.speed_character = "E"
    simulated.identity = "XYZ"
    with pytest.raises(Misconfigured, match="mode B"):
        await values(driver(hearers))


async def test_another_address_is_not_answered_by_this_meter(hearers):
    with pytest.raises(NoAnswer):
        await values(driver(hearers), address="99")


async def test_a_meter_with_a_sum_for_its_check_has_a_profile_of_its_own(
    hearers, simulated, tmp_path: Path
):
    simulated.check = BlockCheck.SUM7
    (tmp_path / "summing.toml").write_text(
        'format = 1\ntitle = "x"\nsource = "y"\ncheck = "sum7"\nmaker = "sim"\n'
        '[readings]\n"1.8.0" = "ENERGY_IMPORT_WH"\n'
    )
    summing = ProfileName("summing")
    assert await values(driver(hearers, tmp_path), profile=summing) == {
        ReadingType.ENERGY_IMPORT_WH: 12_345_670
    }
    simulated.identity = "OTH"
    with pytest.raises(Misconfigured, match="not of sim"):
        await values(driver(hearers, tmp_path), profile=summing)


@pytest.mark.parametrize(
    ("line", "error", "why"),
    [("x*kWh", NoAnswer, "no number"), ("1*furlong", Misconfigured, "furlong")],
)
async def test_lines_that_make_no_sense_are_named(hearers, simulated, line, error, why):
    simulated.lines["1.8.0"] = line
    with pytest.raises(error, match=why):
        await values(driver(hearers))


async def test_it_is_read_and_nothing_else(hearers):
    lines = driver(hearers)
    assert lines.capabilities(PROFILE) is Capability.READ
    assert lines.capabilities(ProfileName("stsm")) is Capability.NONE
    async with lines.open(routed()) as session:
        for refused in (session.supply(), session.sts_configuration(), session.set_clock(NOW)):
            with pytest.raises(Unsupported):
                await refused


async def test_wrong_addresses_and_profiles_are_misconfigured(hearers):
    with pytest.raises(Misconfigured, match="at most 32"):
        await values(driver(hearers), address="a!b")
    with pytest.raises(Misconfigured, match="no IEC 62056-21 profile"):
        await values(driver(hearers), profile=ProfileName("stsm"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('format = 3\ntitle = ""\nsource = ""\n[readings]\n', "format 3"),
        ('format = 1\ntitle = ""\nsource = ""\n[readings]\n"1.8.0" = "X"', "X is no reading"),
        ('format = 1\ntitle = ""\nsource = ""\ncheck = "none"\n[readings]\n', "check"),
    ],
)
def test_a_wrong_profile_says_what_is_wrong(tmp_path: Path, text: str, why: str):
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(Misconfigured, match=why):
        load_profiles(tmp_path)
