"""Simulated lines against pymodbus's own client, and against frames that no client would send."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.client.base import ModbusBaseClient
from pymodbus.exceptions import ModbusIOException
from pymodbus.framer import FramerType

from adapters.simulators.faults import Dying
from adapters.simulators.logs import Origin, TokenEntry
from adapters.simulators.modbus_framing import MbapFraming, RtuFraming
from adapters.simulators.modbus_server import SimulatedLine
from adapters.simulators.modbus_units import ModbusUnit
from adapters.simulators.sdm_registers import EnergyMeter, SdmRegisters
from adapters.simulators.stsm_log_registers import EPOCH
from adapters.simulators.stsm_registers import (
    StsmRegisters,
    commit_word,
    status_block,
)
from adapters.transport.address import SerialAddress
from headend.supply import ControlState
from headend.tokens import TokenResult
from protocols.modbus import stsm
from protocols.modbus.blocks import Span
from protocols.sts.tables import BaseDate, TokenClass
from tests.adapters.simulators.benches import START, Bench, a_key
from tests.servers.serial_line import SerialLine

FRAMES = {
    frame["id"]: frame
    for frame in json.loads((Path(__file__).parent / "stsm-frames.json").read_text())
}


IDENTITY_WHOLE = Span(0xD000, 48)


class BenchClock:
    def __init__(self, now: datetime = START) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time


def a_unit(bench: Bench, *, exponent: int = -3) -> ModbusUnit:
    registers = StsmRegisters(bench.meter, exponent=exponent)
    return ModbusUnit(registers, bench.meter, bench.meter.faults)


def rtu(ident: str) -> bytes:
    return bytes.fromhex(FRAMES[ident]["hex"])


def ask(unit: ModbusUnit, frame: bytes, now: datetime = START) -> bytes | None:
    """One RTU frame through framing and unit, without a wire."""
    framing = RtuFraming()
    (request,) = framing.feed(frame)
    pdu = unit.answer(request.pdu, now)
    return None if pdu is None else framing.frame(request, pdu)


def pdu(words: tuple[int, ...], start: int) -> bytes:
    data = b"".join(word.to_bytes(2) for word in words)
    return bytes((16,)) + start.to_bytes(2) + len(words).to_bytes(2) + bytes((len(data),)) + data


def written(unit: ModbusUnit, request: bytes, now: datetime) -> bool:
    """The unit took a write in."""
    return unit.answer(request, now) == request[:5]


# --- published frames ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ident", "digits", "request_id"),
    [
        ("stsm-token-write-bcd", "55556666777788889999", 74565),
        ("stsm-token-write-bin66", "55556666777788889999", 74566),
        ("stsm-token-leading-zeros", "00000000000000000001", 1),
    ],
)
def test_published_token_writes_are_taken_in(ident, digits, request_id):
    bench = Bench()
    answer = ask(a_unit(bench), rtu(ident))
    assert answer == rtu("stsm-token-write-ack")
    pending = bench.meter.token_port.pending
    assert pending is not None
    assert (pending.digits, pending.request_id) == (digits, request_id)


def test_a_published_bad_commit_stores_nothing():
    bench = Bench()
    answer = ask(a_unit(bench), rtu("stsm-token-write-badcommit")) or b""
    assert answer[:3] == bytes((1, 0x90, 3))
    assert bench.meter.token_port.pending is None


def an_entry(vector: str, result: TokenResult, at: int, **more) -> TokenEntry:
    attributes = {
        "request_id": FRAMES[vector]["decode"]["request_id"],
        "token_class": TokenClass.CREDIT,
        "tid": 17443644,
        "credit_after_milli": 314_150,
        "krn": 1,
        "tariff_index": 1,
    }
    attributes |= more
    at_time = EPOCH + timedelta(seconds=at)
    return TokenEntry(result=result, at=at_time, origin=Origin.HEADEND, **attributes)


@pytest.mark.parametrize(
    ("vector", "entry"),
    [
        (
            "stsm-result-accept",
            an_entry("stsm-result-accept", TokenResult.ACCEPT, 0x6955B900, amount_milli=250_000),
        ),
        ("stsm-result-used", an_entry("stsm-result-used", TokenResult.USED_ERROR, 0x6955B93C)),
        (
            "stsm-result-lockout",
            an_entry(
                "stsm-result-lockout", TokenResult.LOCK_OUT, 0x6955B964, tid=None, lockout_s=80
            ),
        ),
        (
            "stsm-result-kct1",
            an_entry(
                "stsm-result-kct1",
                TokenResult.FIRST_KCT,
                0x6955B9C8,
                token_class=TokenClass.MANAGEMENT,
                subclass=3,
                tid=None,
                sections_pending=1,
            ),
        ),
    ],
)
def test_results_read_as_published(vector, entry):
    bench = Bench()
    bench.meter.token_port.shown = entry
    assert ask(a_unit(bench, exponent=-2), rtu("stsm-result-req")) == rtu(vector)


def test_the_status_block_is_laid_out_as_published():
    block = status_block(
        sequence=0x11,
        closed=True,
        control=1,
        reason=3,
        conditions=0x20001,
        latched=0x8000,
        balance=31415,
        rate=1,
        step=2,
        price=13500,
        import_wh=123456789,
        power_w=1417,
        credit_status=3,
        accepted=42,
        request_id=74565,
        newest_event=901,
        clock=1767225600,
        clock_state=1,
    )
    assert block == rtu("stsm-status")[3:-2]


# --- the map, read by our decoder, which was written apart from it --------------------------------


def words(unit: ModbusUnit, span, now: datetime = START) -> list[int]:
    request = bytes((3,)) + span.start.to_bytes(2) + span.count.to_bytes(2)
    answer = unit.answer(request, now)
    assert answer is not None
    assert answer[0] == 3, answer.hex()
    return [int.from_bytes(answer[at : at + 2]) for at in range(2, len(answer), 2)]


def test_identity_and_status_tell_the_meter():
    bench = Bench(credit_milli=12_345, load=700)
    unit = a_unit(bench)
    identity = stsm.Identity.of(words(unit, stsm.IDENTITY))
    assert (identity.signature, identity.version) == ("STSM", 0x0101)
    assert (identity.drn, identity.exponent) == (bench.meter.drn, -3)
    status = stsm.Status.of(words(unit, stsm.STATUS))
    assert (status.credit, status.power_w, status.relay) == (12_345, 700, 1)
    assert status.conditions == stsm.Condition.LOW_CREDIT_1
    assert status.clock == int(START.timestamp())


def test_identity_tells_the_key_of_now_and_counts_the_changes():
    bench = Bench()
    unit = a_unit(bench)
    before = words(unit, IDENTITY_WHOLE)
    assert before[22:30] == [201457 >> 16, 201457 & 0xFFFF, 1, 1, 2, 255, 2014, 11]
    *parts, last = bench.key_change(a_key(krn=3, sgc=123456, ken=84))
    for digits in parts:
        bench.types(digits)
    assert words(unit, IDENTITY_WHOLE) == before
    bench.types(last)
    after = words(unit, IDENTITY_WHOLE)
    assert after[22:30] == [123456 >> 16, 123456 & 0xFFFF, 2, 3, 2, 84, 2014, 11]
    assert (before[47], after[47]) == (0, 1)


def test_identity_tells_a_new_base_date():
    now = datetime(2024, 6, 1, tzinfo=UTC)
    old = a_key(base_date=BaseDate.Y1993)
    bench = Bench(key=old, made_at=BaseDate.Y1993.epoch, now=now)
    for digits in bench.key_change(a_key(krn=2)):
        bench.types(digits)
    assert words(a_unit(bench), IDENTITY_WHOLE, now)[28] == 2014


def test_a_currency_meter_tells_its_money():
    bench = Bench(currency="ZAR", credit_milli=12_345)
    identity = stsm.Identity.of(words(a_unit(bench), stsm.IDENTITY))
    assert (identity.unit, identity.currency) == (stsm.AmountUnit.CURRENCY, 710)
    assert stsm.Status.of(words(a_unit(bench), stsm.STATUS)).credit == 12_345


def test_a_token_by_register_is_judged_and_logged():
    bench = Bench(processing_s=0.5)
    unit, token = a_unit(bench), bench.credit(256)
    write = pdu(stsm.token_entry(7, token, origin=stsm.Origin.HEADEND), 0xD080)
    assert written(unit, write, START)
    early = stsm.TokenJudgement.of(words(unit, stsm.TOKEN_RESULT))
    assert (early.request_id, early.progress) == (7, stsm.Progress.IN_PROCESS)
    other = pdu(stsm.token_entry(8, bench.credit(1), origin=stsm.Origin.HEADEND), 0xD080)
    assert unit.answer(other, START) == bytes((0x90, 6))
    later = START + timedelta(seconds=1)
    judged = stsm.TokenJudgement.of(words(unit, stsm.TOKEN_RESULT, later))
    assert (judged.code, judged.amount, judged.credit_after) == (1, 25_600, 125_600)
    (logged,) = stsm.logged_tokens(words(unit, stsm.TOKEN_LOG[0], later))
    assert (logged.tid, logged.code, logged.request_low) == (judged.tid, 1, 7)
    assert written(unit, other, later)


def test_supply_and_clock_by_register():
    bench = Bench()
    unit = a_unit(bench)
    order = stsm.supply_order(
        5, stsm.SupplyCommand.OPEN, valid_until=int(START.timestamp()) + 60, reason=1
    )
    assert written(unit, pdu(order, 0xD200), START)
    outcome = stsm.SupplyOutcome.of(words(unit, stsm.SUPPLY_RESULT))
    assert (outcome.request_id, outcome.progress, outcome.answer, outcome.relay) == (5, 3, 1, 0)
    assert bench.meter.relay.control is ControlState.DISCONNECTED
    setting = stsm.clock_setting(
        int(START.timestamp()) + 90, zone_minutes=-60, mode=stsm.ClockMode.SET
    )
    assert written(unit, pdu(setting, 0xD780), START)
    assert bench.meter.clock.at(START) == START + timedelta(seconds=90)


def test_the_event_window_starts_where_it_is_wanted():
    bench = Bench()
    unit = a_unit(bench)
    for _ in range(3):
        bench.types("00000000000000000001")
    unit.answer(pdu((0, 2), 0xD700), START)
    window = words(unit, Span(0xD700, 8 + 16))
    assert (window[1], window[3], window[5]) == (2, 4, 1)
    assert window[6] == 3
    assert window[8:11] == [0, 2, 0x0602]


@pytest.mark.parametrize(
    ("request_pdu", "code"),
    [
        ("03 CF FF 00 02", 2),
        ("03 DF FF 00 02", 2),
        ("03 D0 00 00 7E", 3),
        ("03 D0 00 00 00", 3),
        ("03 D0 00", 3),
        ("04 D0 00 00 02", 1),
        ("06 D0 80 00 01", 2),
        ("10 D0 81 00 01 02 00 00", 2),
        ("10 D0 80 00 0A 02 00 00", 3),
        ("2B 0E 01 00", 1),
        ("10", 3),
    ],
)
def test_what_makes_no_sense_is_an_exception(request_pdu, code):
    request = bytes.fromhex(request_pdu)
    assert a_unit(Bench()).answer(request, START) == bytes((request[0] | 0x80, code))


def test_reserved_registers_read_zero():
    assert set(words(a_unit(Bench()), Span(0xD300, 120))) == {0}


def test_a_value_is_the_same_whatever_the_block_it_is_read_in():
    unit = a_unit(Bench(load=500))
    whole = words(unit, Span(0xD030, 64))
    assert whole[0x10 + 8 : 0x10 + 12] == words(unit, stsm.CREDIT)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=64), max_size=10))
def test_random_bytes_never_break_the_framings(pieces):
    for framing in (RtuFraming(), MbapFraming()):
        for piece in pieces:
            list(framing.feed(piece))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=10))
def test_random_requests_never_break_a_unit_and_never_credit(requests):
    bench = Bench(credit_milli=1_000)
    units = [
        a_unit(bench),
        ModbusUnit(SdmRegisters(em := EnergyMeter(START)), em, bench.meter.faults),
    ]
    for unit in units:
        for request in requests:
            unit.answer(request, START)
    assert bench.meter.credit_milli == 1_000


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([0xD080, 0xD200, 0xD780, 0xD700]), st.binary(min_size=2, max_size=40))
def test_committed_nonsense_never_breaks_a_unit(start, body):
    body = body[: len(body) // 2 * 2]
    data = body + commit_word(body).to_bytes(2)
    words_ = tuple(int.from_bytes(data[at : at + 2]) for at in range(0, len(data), 2))
    bench = Bench(credit_milli=1_000)
    unit = a_unit(bench)
    unit.answer(pdu(words_, start), START)
    unit.answer(bytes.fromhex("03D040003C"), START + timedelta(days=1))
    assert bench.meter.credit_milli == 1_000


# --- wires, with pymodbus as the master -----------------------------------------------------------


@pytest.fixture
def bench() -> Bench:
    return Bench(credit_milli=50_000, load=900, processing_s=0)


@pytest.fixture
def clock() -> BenchClock:
    return BenchClock()


@pytest.fixture
async def line(bench, clock):
    energy = EnergyMeter(START, load=6900)
    units = {
        1: a_unit(bench),
        2: ModbusUnit(SdmRegisters(energy), energy, Bench().meter.faults),
    }
    async with SimulatedLine(units, clock=clock, turnaround_s=0.001) as line:
        yield line


@pytest.fixture(params=["tcp", "rtu over tcp", "terminal", "serial port"])
async def master(request, line: SimulatedLine, pty_pair: SerialLine):
    client: ModbusBaseClient
    match request.param:
        case "tcp":
            port = await line.serve_tcp()
            client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=0.3, retries=0)
        case "rtu over tcp":
            port = await line.serve_rtu_over_tcp()
            framer = FramerType.RTU
            client = AsyncModbusTcpClient(
                "127.0.0.1", framer=framer, port=port, timeout=0.3, retries=0
            )
        case "terminal":
            path = line.serve_terminal()
            client = AsyncModbusSerialClient(path, timeout=0.3, retries=0)
        case _:
            await line.serve_serial(SerialAddress(path=pty_pair.right))
            client = AsyncModbusSerialClient(pty_pair.left, timeout=0.3, retries=0)
    assert await client.connect()
    yield client
    client.close()


async def test_pymodbus_enters_a_token_and_reads_its_result(master, bench):
    digits = bench.credit(100)
    entry = list(stsm.token_entry(9, digits, origin=stsm.Origin.HEADEND))
    written = await master.write_registers(0xD080, entry, device_id=1)
    assert not written.isError()
    result = await master.read_holding_registers(0xD08A, count=20, device_id=1)
    judged = stsm.TokenJudgement.of(result.registers)
    assert (judged.request_id, judged.progress, judged.code) == (9, 3, 1)
    assert bench.meter.credit_milli == 60_000


async def test_pymodbus_reads_an_energy_meter(master, clock):
    clock.time += timedelta(hours=2)
    volts = await master.read_input_registers(0x00, count=2, device_id=2)
    kwh = await master.read_input_registers(0x48, count=2, device_id=2)
    assert master.convert_from_registers(volts.registers, master.DATATYPE.FLOAT32) == 230.0
    energy = master.convert_from_registers(kwh.registers, master.DATATYPE.FLOAT32)
    assert energy == pytest.approx(13.8)


async def silent(master, unit: int = 1) -> bool:
    try:
        await master.read_holding_registers(0xD040, count=33, device_id=unit)
    except ModbusIOException:
        return True
    return False


async def test_unknown_units_and_silent_meters_say_nothing(master, bench):
    assert await silent(master, unit=99)
    bench.meter.faults.silent = True
    assert await silent(master)
    bench.meter.faults.clear()
    assert not await silent(master)


async def test_only_the_answers_to_commands_can_be_lost(master, bench):
    bench.meter.faults.lose_commands(1)
    assert not await silent(master)
    entry = list(stsm.token_entry(9, bench.credit(100), origin=stsm.Origin.HEADEND))
    with pytest.raises(ModbusIOException):
        await master.write_registers(0xD080, entry, device_id=1)
    result = await master.read_holding_registers(0xD08A, count=20, device_id=1)
    assert stsm.TokenJudgement.of(result.registers).code == 1


async def test_a_lost_answer_was_acted_on(master, bench):
    bench.meter.faults.lose(1)
    entry = list(stsm.token_entry(9, bench.credit(100), origin=stsm.Origin.HEADEND))
    with pytest.raises(ModbusIOException):
        await master.write_registers(0xD080, entry, device_id=1)
    again = await master.write_registers(0xD080, entry, device_id=1)
    assert not again.isError()
    result = await master.read_holding_registers(0xD08A, count=20, device_id=1)
    assert stsm.TokenJudgement.of(result.registers).code == 1
    assert bench.meter.credit_milli == 60_000


async def test_garbled_answers_are_no_answers(master, bench):
    bench.meter.faults.garble(1)
    assert await silent(master)


async def test_a_busy_meter_says_so(master, bench):
    bench.meter.faults.busy = True
    answer = await master.read_holding_registers(0xD040, count=33, device_id=1)
    assert (answer.isError(), answer.exception_code) == (True, 6)


async def test_a_slow_meter_answers_in_its_time(master, bench):
    bench.meter.faults.slow_s = 0.1
    started = asyncio.get_running_loop().time()
    assert not await silent(master)
    assert asyncio.get_running_loop().time() - started >= 0.1


async def test_a_meter_that_dies_after_the_token_has_taken_it(master, bench, clock):
    bench.meter.faults.dying = Dying.AFTER
    bench.meter.faults.down_s = 5
    entry = list(stsm.token_entry(9, bench.credit(100), origin=stsm.Origin.HEADEND))
    await master.write_registers(0xD080, entry, device_id=1)
    assert await silent(master)
    clock.time += timedelta(seconds=6)
    result = await master.read_holding_registers(0xD08A, count=20, device_id=1)
    assert stsm.TokenJudgement.of(result.registers).code == 1
    assert bench.meter.credit_milli == 60_000 - bench.meter.import_milli


async def test_a_late_answer_comes_after_the_master_gave_up(line, bench):
    port = await line.serve_rtu_over_tcp()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    bench.meter.faults.late(1, by_s=0.3)
    writer.write(rtu("stsm-result-req"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(100), 0.1)
    assert len(await asyncio.wait_for(reader.read(100), 2)) == 45
    writer.close()
    await writer.wait_closed()


async def test_noise_and_halves_do_not_stop_a_line(line):
    port = await line.serve_rtu_over_tcp()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    frame = rtu("stsm-result-req")
    writer.write(b"\x00\xff" * 300)
    await asyncio.sleep(0.2)
    writer.write(frame[:3])
    await asyncio.sleep(0.02)
    writer.write(frame[3:])
    assert len(await asyncio.wait_for(reader.readexactly(45), 2)) == 45
    writer.close()
    await writer.wait_closed()


async def test_a_closed_line_leaves_nothing_open(bench, clock):
    line = SimulatedLine({1: a_unit(bench)}, clock=clock)
    port = await line.serve_tcp()
    path = line.serve_terminal()
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    await line.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    assert gone(path)
    writer.close()


def gone(path: str) -> bool:
    return not Path(path).exists()
