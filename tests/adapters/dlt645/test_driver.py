"""DL/T 645 meters on a line: read, supply, clock, refusals, silence, and neighbours."""

from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from adapters.dlt645.access import PlainPassword, load_password
from adapters.dlt645.driver import Dlt645Driver
from adapters.dlt645.profile import load_profiles
from adapters.dlt645.station import Station
from adapters.simulators.dlt645_logs import bcd
from adapters.simulators.dlt645_unit import Dlt645Unit
from headend.commands import SetSupply
from headend.deliveries import Confirmation
from headend.errors import Misconfigured, NoAnswer, NotSent, Refused, Unsupported
from headend.meters import BusName, Capability, ProfileName, Route
from headend.readings import ReadingType
from headend.supply import Contacts, ControlState, SupplyAction, SupplyReason, SupplyState
from protocols.dlt645.orders import Access
from tests.adapters.dlt645.meters import a_station, a_unit
from tests.adapters.transport.hearers import Hearers, a_line
from tests.builders import NOW, a_meter
from tests.fakes import FakeClock

pytestmark = pytest.mark.virtual_time
PROFILES = load_profiles()
PROFILE = ProfileName("dlt645-2007")
ADDRESS = "000000000161"
PASSWORD = PlainPassword(Access(2, "000000"))
VALUES = {
    "00010000": bcd(1_234_567, 4),
    "00020000": None,
    "02010100": bcd(2301, 2),
    "02020100": bytes.fromhex("50 12 80"),
    "02030000": bcd(12_345, 3),
    "02800002": bcd(4998, 2),
    "00900100": bcd(2560, 4),
}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def simulated(clock) -> Dlt645Unit:
    unit = a_unit(ADDRESS, clock)
    unit.values |= VALUES
    return unit


@pytest.fixture
def hearers(simulated, clock) -> Hearers:
    return Hearers([a_station(simulated, clock)])


def driver(hearers: Hearers, clock: FakeClock, **more) -> Dlt645Driver:
    settings = {"zone": ZoneInfo("UTC"), "authority": PASSWORD, **more}
    return Dlt645Driver(a_line(hearers), PROFILES, clock, **settings)


def routed(address: str = "161"):
    return a_meter(profile=PROFILE, route=Route(BusName("line"), address))


def order(action: SupplyAction) -> SetSupply:
    return SetSupply(action, SupplyReason.NON_PAYMENT, NOW + timedelta(hours=1))


async def test_what_the_meter_has_is_read_and_the_rest_left_out(hearers, clock):
    async with driver(hearers, clock).open(routed()) as session:
        readings = {one.type: one.value for one in await session.read()}
    assert readings == {
        ReadingType.ENERGY_IMPORT_WH: 12_345_670,
        ReadingType.VOLTAGE_L1_MV: 230_100,
        ReadingType.CURRENT_L1_MA: -1_250,
        ReadingType.POWER_W: 1_234,
        ReadingType.FREQUENCY_MHZ: 49_980,
        ReadingType.CREDIT_LEFT_MILLI: 25_600,
    }


async def test_a_value_in_parts_is_put_together(hearers, clock, simulated):
    simulated.part_bytes = 3
    async with driver(hearers, clock).open(routed()) as session:
        readings = {one.type: one.value for one in await session.read()}
    assert readings[ReadingType.ENERGY_IMPORT_WH] == 12_345_670


async def test_supply_is_opened_and_closed_by_the_customer_after_a_permit(
    hearers, clock, simulated
):
    async with driver(hearers, clock).open(routed()) as session:
        await session.set_supply(order(SupplyAction.OPEN), order_id="o1")
        assert not simulated.meter.lit
        seen = await session.supply()
        assert (seen.contacts, seen.control) == (Contacts.OPEN, ControlState.DISCONNECTED)
        simulated.meter.press_button(clock.now())
        assert not simulated.meter.lit
        await session.set_supply(order(SupplyAction.PERMIT_CLOSE), order_id="o2")
        assert (await session.supply()).state is SupplyState.BUTTON
        simulated.meter.press_button(clock.now())
        assert (await session.supply()).state is SupplyState.ON
    assert simulated.meter.lit


async def test_the_clock_is_set_in_the_zone_of_the_meter(hearers, clock, simulated):
    simulated.meter.set_clock(clock.now() + timedelta(days=2, minutes=7), clock.now())
    async with driver(hearers, clock).open(routed()) as session:
        by = await session.set_clock(clock.now())
    assert by is Confirmation.READ_BACK
    assert abs(simulated.meter.clock.at(clock.now()) - clock.now()) < timedelta(seconds=1)


@pytest.mark.parametrize(
    ("error", "ends"),
    [(Unsupported("no such data"), Confirmation.ECHO), (NotSent("the line is gone"), None)],
)
async def test_a_clock_that_cannot_be_read_back_is_only_answered_or_in_doubt(
    hearers, clock, monkeypatch, error, ends
):
    async def refused(station, identifier):
        raise error

    monkeypatch.setattr(Station, "read", refused)
    async with driver(hearers, clock).open(routed()) as session:
        if ends is None:
            with pytest.raises(NoAnswer, match="not read back"):
                await session.set_clock(clock.now())
        else:
            assert await session.set_clock(clock.now()) is ends


@pytest.mark.parametrize("error", [Refused("no"), NotSent("the line is gone"), NoAnswer("silence")])
async def test_a_clock_whose_date_was_taken_and_not_its_time_is_in_doubt(
    hearers, clock, monkeypatch, error
):
    asked = []
    ask = Station.ask

    async def only_the_first(station, request):
        asked.append(request)
        if len(asked) > 1:
            raise error
        return await ask(station, request)

    monkeypatch.setattr(Station, "ask", only_the_first)
    async with driver(hearers, clock).open(routed()) as session:
        with pytest.raises(NoAnswer, match=str(error)):
            await session.set_clock(clock.now())
    assert len(asked) == 2


async def test_a_wrong_password_is_for_a_person(hearers, clock, simulated):
    wrong = driver(hearers, clock, authority=PlainPassword(Access(2, "999999")))
    async with wrong.open(routed()) as session:
        with pytest.raises(Misconfigured, match="password"):
            await session.set_supply(order(SupplyAction.OPEN), order_id="o1")
    assert simulated.meter.lit


async def test_without_a_way_to_be_obeyed_nothing_is_sent(hearers, clock):
    async with driver(hearers, clock, authority=None).open(routed()) as session:
        with pytest.raises(Misconfigured, match="neither a password nor a signer"):
            await session.set_supply(order(SupplyAction.OPEN), order_id="o1")
    assert hearers.sent == []


async def test_an_order_that_came_too_late_is_refused_by_the_meter(hearers, clock, simulated):
    simulated.meter.set_clock(clock.now() + timedelta(hours=2), clock.now())
    async with driver(hearers, clock).open(routed()) as session:
        with pytest.raises(Refused):
            await session.set_supply(order(SupplyAction.OPEN), order_id="o1")
    assert simulated.meter.lit


async def test_silence_is_no_answer(hearers, clock, simulated):
    simulated.faults.silent = True
    async with driver(hearers, clock).open(routed()) as session:
        with pytest.raises(NoAnswer):
            await session.supply()


async def test_a_neighbour_does_not_answer_for_us(hearers, clock, simulated):
    neighbour = a_unit("000000000162", clock)
    neighbour.values |= dict.fromkeys(VALUES) | {"00010000": bcd(7, 4)}
    hearers.stations = [a_station(unit, clock) for unit in (simulated, neighbour)]
    lines = driver(hearers, clock)
    async with lines.open(routed("162")) as session:
        readings = {one.type: one.value for one in await session.read()}
    assert readings == {ReadingType.ENERGY_IMPORT_WH: 70}


async def test_tokens_do_not_travel_by_this_dialect(hearers, clock):
    async with driver(hearers, clock).open(routed()) as session:
        for refused in (session.sts_configuration(),):
            with pytest.raises(Unsupported):
                await refused


@pytest.mark.parametrize("address", ["", "A1", "1234567890123", "-1"])
async def test_other_addresses_are_misconfigured(hearers, clock, address):
    with pytest.raises(Misconfigured, match="no DL/T 645 address"):
        async with driver(hearers, clock).open(routed(address)):
            pass


async def test_a_profile_of_another_dialect_is_not_ours(hearers, clock):
    lines = driver(hearers, clock)
    assert lines.capabilities(ProfileName("stsm")) is Capability.NONE
    assert Capability.SUPPLY_ORDER in lines.capabilities(PROFILE)
    with pytest.raises(Misconfigured, match="no DL/T 645 profile"):
        async with lines.open(a_meter(profile=ProfileName("stsm"))):
            pass


def test_a_password_file_is_read_and_never_shown(tmp_path: Path):
    file = tmp_path / "dlt645.txt"
    file.write_text("02 123456 00000007\n")
    found = load_password(file)
    assert found.access == Access(2, "123456", 7)
    assert "123456" not in repr(found)
    for wrong in ("02 123456", "98 123456 0", "02 12 0", ""):
        file.write_text(wrong)
        with pytest.raises(Misconfigured, match="write it as in"):
            load_password(file)
    with pytest.raises(Misconfigured, match="No such file"):
        load_password(tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('format = 2\ntitle = ""\nsource = ""\ncan = []', "format 2"),
        ('format = 1\ntitle = ""\nsource = ""\ncan = ["ENTER_TOKEN"]', "cannot ENTER_TOKEN"),
        ('format = 1\ntitle = ""\nsource = ""\ncan = []\n[readings]\nX = "00010000"', "X is no"),
        (
            'format = 1\ntitle = ""\nsource = ""\ncan = []\n[readings]\nPOWER_W = "1"',
            "'1' is not known",
        ),
        ("format = ", "profile"),
    ],
)
def test_a_wrong_profile_says_what_is_wrong(tmp_path: Path, text: str, why: str):
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(Misconfigured, match=why):
        load_profiles(tmp_path)
