"""Simulated RS485 lines: what wires do to bytes, in virtual time and on a pseudo-terminal."""

import asyncio
from datetime import UTC, datetime

import pytest

from adapters.modbus.frames import Table
from adapters.modbus.line import ModbusLine
from adapters.simulators.fleet import Fleet
from adapters.simulators.fleet_description import DescriptionRefused, parse_description
from adapters.simulators.medium import Medium, MediumEnd
from adapters.simulators.modbus_units import ModbusUnit
from adapters.simulators.rs485 import Rs485Line
from adapters.simulators.sdm_registers import EnergyMeter, SdmRegisters
from adapters.simulators.stations import Habits, Manners, ModbusStation
from adapters.transport.address import SerialAddress
from adapters.transport.line import Line
from headend.errors import NoAnswer
from protocols.modbus.blocks import Span
from tests.adapters.transport.wires import CHARACTER_S, PAUSE_S, T0, SeededChance, Toy, summed

ADDRESS = SerialAddress(path="-", baud=9600)
ASK = summed(b"?A\x07")
HERTZ = Span(0x46, 2)


class WallClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


def a_medium(*toys: Toy, echo: bool = False, flip_share: float = 0.0, seed: int = 1) -> Medium:
    medium = Medium(ADDRESS, SeededChance(seed), echo=echo, flip_share=flip_share)
    medium.stations += toys
    return medium


async def heard_within(end: MediumEnd, seconds: float) -> list[tuple[float, bytes]]:
    """Pieces, and when each was in."""
    loop = asyncio.get_running_loop()
    until, pieces = loop.time() + seconds, []
    while (left_s := until - loop.time()) > 0:
        try:
            piece = await end.read(512, timeout=left_s)
        except TimeoutError:
            break
        pieces.append((loop.time(), piece))
    return pieces


@pytest.mark.virtual_time
async def test_characters_and_slaves_take_their_time():
    end = MediumEnd(a_medium(Toy("A", delay_s=0.03)))
    began = asyncio.get_running_loop().time()
    await end.write(ASK, timeout=1)
    pieces = await heard_within(end, 1)
    assert b"".join(piece for _, piece in pieces) == summed(b"!A\x07\x07")
    answered_at = pieces[-1][0] - began
    assert answered_at == pytest.approx(4 * CHARACTER_S + 0.03 + 5 * CHARACTER_S)


@pytest.mark.virtual_time
async def test_nobody_answers_before_he_knows_that_the_question_is_over():
    end = MediumEnd(a_medium(Toy("A", delay_s=0.0)))
    began = asyncio.get_running_loop().time()
    await end.write(ASK, timeout=1)
    pieces = await heard_within(end, 1)
    assert pieces[-1][0] - began == pytest.approx(9 * CHARACTER_S + PAUSE_S)


@pytest.mark.virtual_time
async def test_two_at_once_garble_each_other():
    medium = a_medium(Toy("A", delay_s=0.02), Toy("A", delay_s=0.022))
    end = MediumEnd(medium)
    await end.write(ASK, timeout=1)
    heard = b"".join(piece for _, piece in await heard_within(end, 1))
    assert summed(b"!A\x07\x07") not in heard
    assert medium.heard.collisions > 0


@pytest.mark.virtual_time
async def test_a_frame_that_follows_too_closely_is_understood_by_nobody():
    toy = Toy("A")
    medium = a_medium(toy)
    end = MediumEnd(medium)
    for _ in range(2):
        await end.write(ASK, timeout=1)
        await asyncio.sleep(4 * CHARACTER_S + 0.5 * PAUSE_S)
    await heard_within(end, 1)
    assert (len(toy.asked), medium.heard.blurred) == (1, 1)


@pytest.mark.virtual_time
async def test_an_adapter_may_hear_itself():
    end = MediumEnd(a_medium(Toy("A"), echo=True))
    await end.write(ASK, timeout=1)
    heard = b"".join(piece for _, piece in await heard_within(end, 1))
    assert heard == ASK + summed(b"!A\x07\x07")


@pytest.mark.virtual_time
async def test_bits_flip_at_the_set_rate_and_alike_for_one_seed():
    async def flipped(seed: int) -> tuple[int, bytes]:
        medium = a_medium(echo=True, flip_share=1e-3, seed=seed)
        end = MediumEnd(medium)
        for _ in range(100):
            await end.write(bytes(100), timeout=1)
            await asyncio.sleep(0.2)
        heard = b"".join(piece for _, piece in await heard_within(end, 1))
        return medium.heard.flips, heard

    flips, heard = await flipped(1)
    # 80,000 bits are heard twice: by the stations, and by the master who hears itself.
    assert 110 <= flips <= 210
    assert 50 <= sum(byte.bit_count() for byte in heard) <= 110
    assert await flipped(1) == (flips, heard)
    assert (await flipped(2))[1] != heard


def a_unit() -> ModbusUnit:
    meter = EnergyMeter(T0, load=400)
    return ModbusUnit(SdmRegisters(meter), meter, meter.faults)


@pytest.mark.virtual_time
async def test_two_meters_of_one_address_are_no_answer():
    chance = SeededChance()
    habits = Habits(Manners(), clock=WallClock(), chance=chance)
    stations = [ModbusStation(number, a_unit(), habits) for number in (5, 5, 6)]
    async with Rs485Line(ADDRESS, stations, chance=chance) as wires:
        line = ModbusLine.on(Line("serial:///dev/wires?baud=9600", opener=wires.open))
        with pytest.raises(NoAnswer, match="bytes came"):
            await line.read(5, Table.INPUT, HERTZ)
        assert await line.read(6, Table.INPUT, HERTZ) == (0x4248, 0)


LINE = {
    "name": "rs485",
    "way": "terminal",
    "meters": 0,
    "energy_meters": 3,
    "physics": {"baud": 115200, "stop": 2, "silent": 1, "echo": True, "jitter_ms": 0},
}


async def test_a_described_line_runs_in_real_time_on_a_pseudo_terminal():
    description = parse_description({"lines": [LINE]})
    async with Fleet(description, clock=WallClock(), chance=SeededChance()) as fleet:
        url = fleet.buses["rs485"]
        assert url.endswith("?baud=115200&stop=2")
        line = ModbusLine(url, timeout_s=2)
        for unit in (1, 2):
            assert await line.read(unit, Table.INPUT, HERTZ) == (0x4248, 0)
        await line.aclose()
        quick = ModbusLine(url, timeout_s=0.2)
        with pytest.raises(NoAnswer):
            await quick.read(3, Table.INPUT, HERTZ)
        await quick.aclose()


def test_physics_belongs_to_a_terminal():
    with pytest.raises(DescriptionRefused, match="way terminal"):
        parse_description({"lines": [LINE | {"way": "tcp"}]})
