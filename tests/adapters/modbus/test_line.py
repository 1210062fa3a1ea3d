"""A line with every fault that wires, meters and gateways have."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from adapters.modbus.exceptions import RegistersRefused
from adapters.modbus.frames import Table
from adapters.modbus.line import ModbusLine
from headend.errors import NoAnswer, NotSent, Unsupported, WireError
from protocols.modbus.blocks import Span
from tests.adapters.modbus.slaves import (
    Pieces,
    Script,
    always,
    mbap_bytes,
    one_after_another,
    promptly,
    register_at,
    right_answer,
    rtu,
    serial_slave,
    silently,
    tcp_slave,
)
from tests.servers.serial_line import SerialLine

UNIT = 5
SPAN = Span(0x100, 2)
RIGHT = (register_at(UNIT, 0x100), register_at(UNIT, 0x101))


@asynccontextmanager
async def line_to(script: Script, *, timeout_s: float = 0.15) -> AsyncIterator[ModbusLine]:
    async with tcp_slave(script) as slave:
        line = ModbusLine(slave.url, timeout_s=timeout_s, quiet_s=0.1)
        yield line
        await line.aclose()


async def read(line: ModbusLine) -> tuple[int, ...]:
    return await line.read(UNIT, Table.HOLDING, SPAN)


async def test_registers_are_read_and_written():
    async with tcp_slave() as slave:
        line = ModbusLine(slave.url)
        assert await read(line) == RIGHT
        await line.write(UNIT, 0xD200, (1, 2, 0xA5C0))
        await line.aclose()
    assert slave.requests[1] == rtu("05 10 D2 00 00 03 06 00 01 00 02 A5 C0")


async def test_a_serial_line_is_read(pty_pair: SerialLine):
    async with serial_slave(pty_pair.right, pty_pair.left, settings="baud=9600") as slave:
        line = ModbusLine(slave.url)
        assert [await read(line) for _ in range(3)] == [RIGHT] * 3
        await line.aclose()


async def test_one_transaction_at_a_time():
    busy = 0

    def script(request: bytes) -> Pieces:
        nonlocal busy
        assert not busy
        busy += 1
        asyncio.get_running_loop().call_later(0.005, finish)
        yield 0.006, right_answer(request)

    def finish() -> None:
        nonlocal busy
        busy -= 1

    async with line_to(script, timeout_s=5) as line:
        assert await asyncio.gather(*(read(line) for _ in range(20))) == [RIGHT] * 20


def in_pieces(request: bytes) -> Pieces:
    answer = right_answer(request)
    for at in range(len(answer)):
        yield 0.004 * at, answer[at : at + 1]


def with_noise(request: bytes) -> Pieces:
    yield 0.0, b"\x00\xff" + bytes((UNIT,)) + right_answer(request) + b"\x00"


def echoing(request: bytes) -> Pieces:
    yield 0.0, request[:3]
    yield 0.005, request[3:]
    yield 0.01, right_answer(request)


def with_a_foreign_reply_before(request: bytes) -> Pieces:
    yield 0.0, rtu("07 03 04 00 00 00 00")
    yield 0.01, right_answer(request)


@pytest.mark.parametrize("script", [in_pieces, with_noise, echoing, with_a_foreign_reply_before])
async def test_a_reply_is_found_in_what_the_wire_adds(script: Script):
    async with line_to(script, timeout_s=5) as line:
        assert await read(line) == RIGHT
        assert await read(line) == RIGHT


def corrupt(request: bytes) -> Pieces:
    answer = bytearray(right_answer(request))
    answer[4] ^= 0x10
    yield 0.0, bytes(answer)


def short(request: bytes) -> Pieces:
    yield 0.0, right_answer(request)[:-3]


@pytest.mark.parametrize(
    "script",
    [
        silently,
        corrupt,
        short,
        always(rtu("06 03 04 00 01 00 02")),  # another unit
        always(rtu("05 04 04 00 01 00 02")),  # another function
        always(rtu("05 03 02 00 01")),  # another count
        always(b"\x00" * 40),
    ],
)
async def test_without_the_right_reply_there_is_no_answer_and_the_next_one_is_right(script: Script):
    async with line_to(one_after_another(script, promptly)) as line:
        with pytest.raises(NoAnswer):
            await read(line)
        assert await read(line) == RIGHT


async def test_a_babbling_line_is_left_and_the_noise_dropped():
    def flood(request: bytes) -> Pieces:
        for at in range(200):
            yield at * 0.001, b"\x55" * 512

    async with line_to(one_after_another(flood, promptly), timeout_s=1) as line:
        async with asyncio.timeout(5):
            with pytest.raises(NoAnswer, match="babbles"):
                await read(line)
        assert await read(line) == RIGHT


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (1, Unsupported),
        (2, RegistersRefused),
        (3, RegistersRefused),
        (4, NoAnswer),
        (5, NoAnswer),
        (6, NotSent),
        (10, NotSent),
        (11, NoAnswer),
        (77, NoAnswer),
    ],
)
async def test_an_exception_is_one_of_the_five_errors(code: int, error: type[WireError]):
    refusing = always(rtu(f"05 83 {code:02x}"))
    async with line_to(one_after_another(refusing, promptly)) as line:
        with pytest.raises(error, match=f"exception {code}") as caught:
            await read(line)
        assert type(caught.value) is error
        assert await read(line) == RIGHT
        assert line.way.status().count(lambda unit: unit.requests) == 2


async def test_a_connection_cut_under_a_question_is_no_answer_and_made_anew():
    def cut(request: bytes) -> Pieces:
        yield 0.0, None

    async with tcp_slave(one_after_another(cut, promptly)) as slave:
        line = ModbusLine(slave.url, timeout_s=0.2, quiet_s=0.05)
        with pytest.raises(NoAnswer):
            await read(line)
        assert await read(line) == RIGHT
        await line.aclose()
    assert slave.connections == 2


async def test_a_connection_closed_in_idle_time_is_made_anew_unnoticed():
    def and_close(request: bytes) -> Pieces:
        yield 0.0, right_answer(request)
        yield 0.02, None

    async with tcp_slave(one_after_another(and_close, promptly)) as slave:
        line = ModbusLine(slave.url)
        assert await read(line) == RIGHT
        await asyncio.sleep(0.1)
        assert await read(line) == RIGHT
        await line.aclose()
    assert (slave.connections, line.way.status().connections) == (2, 2)


async def test_nobody_there_is_not_sent_and_not_asked_again_at_once(free_port: int):
    line = ModbusLine(f"tcp://127.0.0.1:{free_port}")
    with pytest.raises(NotSent, match="cannot be opened"):
        await read(line)
    with pytest.raises(NotSent, match="next try in"):
        await read(line)
    await asyncio.sleep(0.55)
    async with tcp_slave(port=free_port):
        assert await read(line) == RIGHT
        await line.aclose()


async def test_a_missing_port_is_not_sent():
    line = ModbusLine("serial:///dev/no-such-port")
    with pytest.raises(NotSent, match="no-such-port"):
        await read(line)


async def test_a_closed_line_sends_nothing():
    async with tcp_slave() as slave:
        line = ModbusLine(slave.url)
        await read(line)
        await line.aclose()
        with pytest.raises(NotSent, match="closed"):
            await read(line)


async def test_closing_ends_a_transaction_under_way():
    async with line_to(silently, timeout_s=30) as line:
        asking = asyncio.create_task(read(line))
        await asyncio.sleep(0.05)
        await line.aclose()
        async with asyncio.timeout(2):
            with pytest.raises(NoAnswer):
                await asking


async def test_who_waits_for_the_line_may_leave():
    async with line_to(one_after_another(silently, promptly)) as line:
        first, second = asyncio.create_task(read(line)), asyncio.create_task(read(line))
        await asyncio.sleep(0.02)
        second.cancel()
        with pytest.raises(NoAnswer):
            await first
        assert await read(line) == RIGHT
        assert line.way.status().count(lambda unit: unit.requests) == 2


async def test_a_request_waits_for_silence_on_a_serial_line(pty_pair: SerialLine):
    loop = asyncio.get_running_loop()
    asked: list[float] = []
    answered: list[float] = []

    def script(request: bytes) -> Pieces:
        asked.append(loop.time())
        answered.append(loop.time())
        yield 0.0, right_answer(request)

    async with serial_slave(pty_pair.right, pty_pair.left, script, settings="baud=300") as slave:
        line = ModbusLine(slave.url)
        for _ in range(3):
            assert await read(line) == RIGHT
        await line.aclose()
    t35_s = 38.5 / 300
    pauses = [later - earlier for earlier, later in zip(answered, asked[1:], strict=False)]
    assert min(pauses) >= t35_s


async def test_modbus_tcp_survives_a_garbled_stream():
    def answer(request: bytes) -> Pieces:
        words = right_answer(request[6:])[:-2]
        yield 0.0, request[:4] + len(words).to_bytes(2) + words

    script = one_after_another(always(b"HTTP/1.1 400 Bad Request"), answer)
    async with tcp_slave(script, length=mbap_bytes) as slave:
        line = ModbusLine(slave.url, framing="tcp", timeout_s=5)
        with pytest.raises(NoAnswer, match="header"):
            await read(line)
        assert await read(line) == RIGHT
        await line.aclose()
    assert slave.connections == 2


async def test_no_token_digit_is_logged(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    async with line_to(echoing, timeout_s=5) as line:
        await line.write(UNIT, 0xD080, (0, 1, 0, 0x5555, 0x6666, 0x7777, 0x8888, 0x9999, 1, 2))
    text = caplog.text.lower().replace("0x", "").replace(" ", "")
    assert "7777" not in text
    assert str(0x7777) not in text
