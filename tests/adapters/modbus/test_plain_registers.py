"""Supply, clock and doubt of meters that a file alone describes: plain registers, no protocol."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from adapters.modbus.driver import ModbusDriver
from adapters.modbus.line import ModbusLine
from adapters.modbus.profile_files import load_profiles
from adapters.modbus.register_clock import clock_off, clock_words
from adapters.simulators.modbus_server import SimulatedLine
from adapters.simulators.modbus_units import ModbusUnit, Refusal, RefusalCode
from adapters.simulators.sdm_registers import EnergyMeter
from headend.commands import SetSupply
from headend.errors import Misconfigured, NoAnswer, Refused, Unsupported
from headend.meters import BusName, Drn, Meter, ProfileName, Route
from headend.ports import Session
from headend.readings import Quality, ReadingType
from headend.supply import Contacts, SupplyAction, SupplyReason, SupplyState
from tests.adapters.modbus.clocks import NOON, StillClock
from tests.builders import a_meter

RELAY, ORDER, CLOCK, VOLTS, HERTZ, AMPS = 0x30, 0x31, 0x40, 0x50, 0x51, 0x52
MODEL = """
format = 1
title = "Acme M1"
source = "Acme M1 register list"
verified = "guess"
[probe]
holding = 0
decode = "u16"
equals = 42
[readings.VOLTAGE_L1_MV]
holding = 0x50
decode = "u16"
scale = 0.1
unit = "V"
plausible = [100, 300]
[readings.FREQUENCY_MHZ]
holding = 0x51
decode = "u16"
scale = 0.01
unit = "Hz"
[readings.CURRENT_L1_MA]
holding = 0x52
decode = "u16"
unit = "mA"
[supply.contacts]
holding = 0x30
decode = "u16"
open = [0]
closed = [1]
[supply.order]
holding = 0x31
open = 0x00AA
permit_close = 0x0055
[clock]
holding = 0x40
decode = "ymdhms"
zone = "Africa/Lagos"
"""


class Words:
    """Holding registers that can be written; `written` tells what was, `on_write` acts on it."""

    def __init__(self) -> None:
        self.held = {0: 42, RELAY: 1, VOLTS: 2300, HERTZ: 5000, AMPS: 700}
        self.written: list[tuple[int, bytes]] = []
        self.on_write: Callable[[int, bytes], None] = self._keep

    def read(self, function: int, start: int, count: int, now: datetime) -> bytes:
        if function != 3:
            raise Refusal(RefusalCode.FUNCTION)
        words = (self.held.get(at, 0) for at in range(start, start + count))
        return b"".join(word.to_bytes(2) for word in words)

    def write(self, start: int, data: bytes, now: datetime) -> None:
        self.written.append((start, data))
        self.on_write(start, data)

    def _keep(self, start: int, data: bytes) -> None:
        for at in range(len(data) // 2):
            self.held[start + at] = int.from_bytes(data[2 * at : 2 * at + 2])
        if start == ORDER and data == b"\x00\xaa":
            self.held[RELAY] = 0


class Site:
    """The meter on a line, and our driver."""

    def __init__(self, served: SimulatedLine, line: ModbusLine, unit: ModbusUnit, words: Words):
        self.words = words
        self.unit = unit
        self._served = served
        self._line = line

    def know(self, folder: Path) -> None:
        self._driver = ModbusDriver(self._line, load_profiles(folder), StillClock())

    async def hang_up(self) -> None:
        """The other end closes what is open, and can be called again."""
        for conversation in list(self._served._conversations):
            conversation.abort()
        await asyncio.sleep(0.05)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Session]:
        async with self._driver.open(the_meter()) as session:
            yield session


def the_meter() -> Meter:
    route = Route(BusName("line"), "1")
    return a_meter(drn=Drn("12345678903"), profile=ProfileName("acme-m1"), route=route)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    (tmp_path / "acme-m1.toml").write_text(MODEL)
    words, meter = Words(), EnergyMeter(NOON)
    unit = ModbusUnit(words, meter, meter.faults)
    async with SimulatedLine({1: unit}, clock=StillClock(), turnaround_s=0) as served:
        url = f"tcp://127.0.0.1:{await served.serve_tcp()}"
        line = ModbusLine(url, framing="tcp", timeout_s=0.2)
        site = Site(served, line, unit, words)
        site.know(tmp_path)
        yield site
        await line.aclose()


# --- supply -------------------------------------------------------------------------------------


def an_order(action: SupplyAction = SupplyAction.OPEN, *, expires_in_s: int = 60) -> SetSupply:
    return SetSupply(
        action=action,
        reason=SupplyReason.SAFETY,
        expires_at=NOON + timedelta(seconds=expires_in_s),
    )


@pytest.mark.parametrize(
    ("word", "contacts", "state"),
    [
        (0, Contacts.OPEN, SupplyState.DARK),
        (1, Contacts.CLOSED, SupplyState.ON),
        (7, Contacts.UNKNOWN, SupplyState.UNKNOWN),
    ],
)
async def test_contacts_are_told(site: Site, word: int, contacts: Contacts, state: SupplyState):
    site.words.held[RELAY] = word
    async with site.open() as session:
        supply = await session.supply()
    assert (supply.contacts, supply.state) == (contacts, state)


async def test_supply_is_opened_and_looked_at(site: Site):
    async with site.open() as session:
        await session.set_supply(an_order(), order_id="order-1")
    assert site.words.written == [(ORDER, b"\x00\xaa")]


async def test_closing_is_permitted_by_its_own_word(site: Site):
    async with site.open() as session:
        await session.set_supply(an_order(SupplyAction.PERMIT_CLOSE), order_id="order-1")
    assert site.words.written == [(ORDER, b"\x00\x55")]


async def test_contacts_that_do_not_follow_in_time_are_a_doubt(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("adapters.modbus.register_supply.FOLLOW_S", 0.05)
    monkeypatch.setattr("adapters.modbus.register_supply.LOOK_AGAIN_S", 0.01)
    site.words.on_write = lambda start, data: None
    async with site.open() as session:
        with pytest.raises(NoAnswer, match="did not follow yet"):
            await session.set_supply(an_order(), order_id="order-1")


async def test_silence_after_the_order_is_a_doubt(site: Site):
    def fall_silent(start: int, data: bytes) -> None:
        site.unit.faults.silent = True

    async with site.open() as session:
        site.words.on_write = fall_silent
        with pytest.raises(NoAnswer):
            await session.set_supply(an_order(), order_id="order-1")


async def test_an_expired_order_and_one_without_a_word_do_not_leave_us(site: Site, tmp_path: Path):
    async with site.open() as session:
        with pytest.raises(Refused, match="expired"):
            await session.set_supply(an_order(expires_in_s=0), order_id="order-1")
    (tmp_path / "acme-m1.toml").write_text(MODEL.replace("permit_close = 0x0055\n", ""))
    site.know(tmp_path)
    async with site.open() as session:
        with pytest.raises(Unsupported):
            await session.set_supply(an_order(SupplyAction.PERMIT_CLOSE), order_id="order-2")
    assert site.words.written == []


# --- clock --------------------------------------------------------------------------------------


async def test_the_clock_is_set_in_the_time_of_its_zone_and_read_back(site: Site):
    async with site.open() as session:
        await session.set_clock(NOON)
    # 2026-03-01 12:00 UTC is 13:00 in Lagos.
    assert site.words.written == [(CLOCK, bytes((26, 3, 1, 13, 0, 0)))]


async def test_a_clock_that_keeps_its_own_time_is_a_refusal(site: Site):
    site.words.on_write = lambda start, data: None
    async with site.open() as session:
        with pytest.raises(Refused, match="no time at all"):
            await session.set_clock(NOON)
        site.words.held |= {CLOCK: 26 << 8 | 3, CLOCK + 1: 1 << 8 | 12, CLOCK + 2: 0}
        with pytest.raises(Refused, match="3600 s off"):
            await session.set_clock(NOON)


@pytest.mark.parametrize("zone", ["UTC", "Africa/Lagos"])
@pytest.mark.parametrize("form", ["epoch", "ymdhms"])
def test_what_a_clock_is_set_to_it_shows(tmp_path: Path, zone: str, form: str):
    text = MODEL.replace("ymdhms", form).replace("Africa/Lagos", zone)
    (tmp_path / "acme-m1.toml").write_text(text)
    clock = load_profiles(tmp_path)[ProfileName("acme-m1")].clock
    assert clock is not None
    moment = datetime(2026, 12, 31, 23, 59, 58, tzinfo=UTC)
    assert clock_off(clock, clock_words(clock, moment), moment) == timedelta(0)


# --- doubt --------------------------------------------------------------------------------------


async def test_one_impossible_reading_is_kept_as_suspect(site: Site):
    site.words.held[VOLTS] = 9000
    async with site.open() as session:
        readings = {reading.type: reading for reading in await session.read()}
    assert readings[ReadingType.VOLTAGE_L1_MV].quality is Quality.SUSPECT
    assert readings[ReadingType.FREQUENCY_MHZ].quality is Quality.GOOD


async def test_a_model_whose_readings_are_impossible_is_not_believed_and_asked_anew(site: Site):
    site.words.held |= {VOLTS: 9000, HERTZ: 9}
    async with site.open() as session:
        with pytest.raises(Misconfigured, match="2 of 3 readings are impossible for Acme M1"):
            await session.read()
    site.words.held[0] = 43  # and now it does not even say that it is one
    with pytest.raises(Misconfigured, match="no Acme M1"):
        async with site.open():
            pass


async def test_after_an_idle_line_was_closed_the_meter_is_asked_who_it_is(site: Site):
    async with site.open() as session:
        await session.read()
    await site.hang_up()
    async with site.open() as session:
        assert len(await session.read()) == 3  # the same meter: nothing is lost
    site.words.held[0] = 43
    async with site.open() as session:  # known, so nobody asks
        await session.read()
    await site.hang_up()
    async with site.open() as session:
        with pytest.raises(Misconfigured, match="no Acme M1"):
            await session.read()
