"""The one DL/T 645 meter of a line is asked who it is."""

import pytest

from adapters.dlt645.alone import AloneByDlt645
from adapters.dlt645.profile import load_profiles
from adapters.transport.line import Line
from headend.discovery import Found, LineLost, Presence
from headend.meters import ProfileName
from tests.adapters.dlt645.meters import a_station, a_unit
from tests.adapters.transport.hearers import Hearers, a_line
from tests.builders import NOW
from tests.fakes import FakeClock

pytestmark = pytest.mark.virtual_time
ADDRESS = "000000000161"


def alone(line: Line) -> AloneByDlt645:
    return AloneByDlt645(line, list(load_profiles().values()))


async def found(
    *addresses: str, silent: bool = False, values: dict[str, None] | None = None
) -> Found | None:
    clock = FakeClock(NOW)
    units = [a_unit(address, clock) for address in addresses]
    for unit in units:
        unit.faults.silent = silent
        unit.values |= values or {}
    return await alone(a_line(Hearers([a_station(unit, clock) for unit in units]))).who()


async def test_it_tells_its_address_and_is_named():
    one = await found(ADDRESS)
    assert one is not None
    assert (one.address, one.presence) == (ADDRESS, Presence.NAMED)
    assert one.models == (ProfileName("dlt645-2007"),)


async def test_nobody_is_nobody():
    assert await found() is None
    assert await found(ADDRESS, silent=True) is None


async def test_who_has_nothing_that_is_known_is_unknown():
    every: dict[str, None] = {
        name: None for one in load_profiles().values() for name in one.readings.values()
    }
    one = await found(ADDRESS, values=every)
    assert one is not None
    assert (one.address, one.presence) == (ADDRESS, Presence.UNKNOWN)


class Garbler:
    """Two who answer at once."""

    def hear(self, frame: bytes) -> tuple[float, bytes] | None:
        return 0.02, frame[::-1]


async def test_what_is_garbled_is_told_as_such():
    one = await alone(a_line(Hearers([Garbler()]))).who()
    assert one is not None
    assert (one.address, one.presence) == ("", Presence.DUPLICATE)


async def test_a_line_that_cannot_be_used_is_told():
    line = a_line(Hearers([]))
    await line.aclose()
    with pytest.raises(LineLost):
        await alone(line).who()
