"""What is recorded of a DL/T 645 meter: it replays, and its password is not in it."""

from datetime import UTC, timedelta
from pathlib import Path

import pytest

from adapters.dlt645.access import Authority, PlainPassword
from adapters.dlt645.driver import Dlt645Driver
from adapters.dlt645.profile import load_profiles
from adapters.transport.line import Line
from headend.commands import SetSupply
from headend.errors import Misconfigured
from headend.meters import BusName, ProfileName, Route
from headend.supply import SupplyAction, SupplyReason
from protocols.dlt645.frame import Frame, Function
from protocols.dlt645.orders import Access, Control
from tests.adapters.dlt645.meters import a_station, a_unit
from tests.adapters.frames.replay import Replay
from tests.adapters.transport.hearers import URL, Hearers
from tests.builders import NOW, a_meter
from tests.fakes import FakeClock

pytestmark = pytest.mark.virtual_time
ADDRESS = "000000000161"
ORDER = SetSupply(SupplyAction.OPEN, SupplyReason.NON_PAYMENT, NOW + timedelta(hours=1))
# As they travel: low byte first, 33h added to each.
PASSWORD = "917356"
ON_THE_WIRE = "89 a6 c4"


def a_driver(line: Line, authority: Authority) -> Dlt645Driver:
    return Dlt645Driver(line, load_profiles(), FakeClock(NOW), zone=UTC, authority=authority)


async def ordered(driver: Dlt645Driver) -> object:
    """Read, set the clock, open supply; what was read."""
    meter = a_meter(profile=ProfileName("dlt645-2007"), route=Route(BusName("line"), ADDRESS))
    async with driver.open(meter) as session:
        readings = await session.read()
        await session.set_clock(NOW)
        await session.set_supply(ORDER, order_id="1")
    return [(one.type, one.value) for one in readings]


def a_meter_on(*stations: object) -> Hearers:
    clock = FakeClock(NOW)
    unit = a_unit(ADDRESS, clock)
    unit.passwords = {2: PASSWORD}
    return Hearers([a_station(unit, clock), *stations])  # type: ignore[list-item]  # as they come


async def test_a_recording_of_orders_replays_without_their_password(tmp_path: Path):
    hearers = a_meter_on()
    line = Line(URL, opener=hearers.open)
    read = await ordered(a_driver(line, PlainPassword(Access(2, PASSWORD))))
    assert any(ON_THE_WIRE in frame.hex(" ") for frame in hearers.sent)
    text = line.frames(now=NOW)
    assert ON_THE_WIRE not in text
    assert text.count("function 14, secret digits replaced by zeros") == 2
    assert text.count("function 1c, secret digits replaced by zeros") == 1
    (tmp_path / "orders.frames").write_text(text)
    replay = Replay(str(tmp_path / "orders"))
    again = await ordered(
        a_driver(Line(URL, opener=replay.open), PlainPassword(Access(2, "000000")))
    )
    assert again == read
    assert replay.finished


class Echo:
    """An adapter that hears itself, and noise with it."""

    def hear(self, frame: bytes) -> tuple[float, bytes] | None:
        return 0.0, frame[:-2] + bytes((frame[-2] ^ 1,)) + frame[-1:]


async def test_an_echo_that_noise_has_changed_is_not_recorded():
    line = Line(URL, opener=a_meter_on(Echo()).open)
    await ordered(a_driver(line, PlainPassword(Access(2, PASSWORD))))
    text = line.frames(now=NOW)
    assert ON_THE_WIRE not in text
    # The replies are.
    assert text.count("< 68 61 01 00 00 00 00 68 94 00") == 2
    assert text.count("< 68 61 01 00 00 00 00 68 9c 00") == 1


class Signer:
    """Makes what no meter here understands."""

    async def control(self, address: str, order: Control, *, until: object) -> Frame:
        data = bytes([0x98]) + b"ciphertext and mac"
        return Frame(address=address, function=Function.CONTROL, data=data)

    async def write(self, address: str, identifier: str, value: bytes) -> Frame:
        raise NotImplementedError


async def test_nothing_that_a_security_module_made_is_recorded():
    hearers = a_meter_on()
    line = Line(URL, opener=hearers.open)
    driver = a_driver(line, Signer())
    meter = a_meter(profile=ProfileName("dlt645-2007"), route=Route(BusName("line"), ADDRESS))
    async with driver.open(meter) as session:
        with pytest.raises(Misconfigured):
            await session.set_supply(ORDER, order_id="1")
    (recorded,) = (row for row in line.frames(now=NOW).splitlines() if row.startswith(">"))
    assert len(bytes.fromhex(recorded[2:].split("   ")[0])) == len(hearers.sent[0])
    assert recorded.count("33") == len(b"ciphertext and mac")
