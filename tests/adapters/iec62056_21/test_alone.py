"""The one meter of a line that is read out is asked who it is."""

import pytest

from adapters.iec62056_21.alone import AloneByReadOut
from adapters.iec62056_21.profile import load_profiles
from adapters.simulators.read_out_unit import ReadOutUnit
from adapters.simulators.sdm_registers import EnergyMeter
from adapters.simulators.stations import Habits, Manners, ReadOutStation
from adapters.transport.line import Line
from headend.discovery import Found, LineLost, Presence
from headend.meters import ProfileName
from protocols.iec62056_21.characters import BlockCheck
from tests.adapters.transport.hearers import Hearers, a_line
from tests.builders import NOW
from tests.fakes import FakeClock, SeededChance

pytestmark = pytest.mark.virtual_time


def alone(line: Line) -> AloneByReadOut:
    return AloneByReadOut(line, list(load_profiles().values()))


def a_unit(**more) -> ReadOutUnit:
    return ReadOutUnit(EnergyMeter(NOW, load=417), "12345678", **more)


async def found(unit: ReadOutUnit) -> Found | None:
    habits = Habits(Manners(), clock=FakeClock(NOW), chance=SeededChance())
    return await alone(a_line(Hearers([ReadOutStation(unit, habits)]))).who()


@pytest.mark.parametrize("speed_character", ["5", ":"])
async def test_it_tells_its_address_and_is_named(speed_character: str):
    unit = a_unit(speed_character=speed_character)
    one = await found(unit)
    assert one is not None
    assert (one.address, one.presence) == ("12345678", Presence.NAMED)
    assert one.models == (ProfileName("iec62056-21"),)
    assert "SIM SIMULATED" in one.told
    # Read once by nobody's name and once by its own.
    assert unit.read_outs == 2


async def test_an_address_to_which_it_does_not_answer_is_not_believed():
    unit = a_unit()
    unit.lines["0.0.0"] = "99"
    one = await found(unit)
    assert one is not None
    assert (one.address, one.presence) == ("", Presence.NAMED)


async def test_nobody_is_nobody_and_what_is_damaged_is_told_as_such():
    unit = a_unit()
    unit.faults.silent = True
    assert await found(unit) is None
    one = await found(a_unit(check=BlockCheck.SUM7))  # no profile at hand has such a check
    assert one is not None
    assert one.presence is Presence.DUPLICATE


async def test_mode_b_is_named():
    one = await found(a_unit(speed_character="E"))
    assert one is not None
    assert (one.presence, "mode B" in one.told) == (Presence.UNKNOWN, True)


async def test_a_line_that_cannot_be_used_is_told():
    line = a_line(Hearers([]))
    await line.aclose()
    with pytest.raises(LineLost):
        await alone(line).who()
