"""Late replies are never taken for answers, on no kind of line and after no kind of loss."""

import asyncio
import random

import pytest

from adapters.modbus.frames import Table
from adapters.modbus.line import ModbusLine
from headend.errors import NoAnswer
from protocols.modbus.blocks import Span
from tests.adapters.modbus.slaves import (
    Pieces,
    Script,
    mbap_bytes,
    one_after_another,
    promptly,
    register_at,
    right_answer,
    serial_slave,
    tcp_slave,
)
from tests.servers.serial_line import SerialLine

READS = 400
LATE_SHARE = 0.2
TIMEOUT_S = 0.04
QUIET_S = 0.12
UNIT = 17


def sometimes_late(seed: int) -> Script:
    """Every fifth reply comes after the time-out, but within the quiet time."""
    chance = random.Random(seed)

    def script(request: bytes) -> Pieces:
        late = chance.random() < LATE_SHARE
        yield chance.uniform(0.05, 0.1) if late else 0.0, right_answer(request)

    return script


def late_by(delay_s: float) -> Script:
    return lambda request: ((delay_s, right_answer(request)),)


async def read_on(line: ModbusLine) -> tuple[int, int]:
    """Read over and over the same count of registers; how many were wrong, and how many lost."""
    chance = random.Random(7)
    wrong = lost = 0
    for _ in range(READS):
        start = chance.randrange(0x1000)
        try:
            words = await line.read(UNIT, Table.HOLDING, Span(start, 2))
        except NoAnswer:
            lost += 1
        else:
            wrong += words != (register_at(UNIT, start), register_at(UNIT, start + 1))
    return wrong, lost


async def test_no_late_reply_is_an_answer_over_tcp():
    async with tcp_slave(sometimes_late(1)) as slave:
        line = ModbusLine(slave.url, timeout_s=TIMEOUT_S, quiet_s=QUIET_S)
        wrong, lost = await read_on(line)
        await line.aclose()
    assert wrong == 0
    assert 40 <= lost <= 160
    (unit,) = line.way.status().stations
    assert unit.silences == lost == READS - unit.replies
    assert unit.late_replies > lost / 2


async def test_no_late_reply_is_an_answer_on_a_serial_line(pty_pair: SerialLine):
    async with serial_slave(pty_pair.right, pty_pair.left, sometimes_late(2)) as slave:
        line = ModbusLine(slave.url, timeout_s=TIMEOUT_S, quiet_s=QUIET_S)
        wrong, lost = await read_on(line)
        await line.aclose()
    assert wrong == 0
    assert 40 <= lost <= 160
    assert line.way.status().count(lambda unit: unit.silences) == lost


async def test_no_late_reply_is_an_answer_after_a_cancellation():
    chance = random.Random(3)
    wrong = cancelled = 0
    async with tcp_slave(late_by(0.02)) as slave:
        line = ModbusLine(slave.url, timeout_s=0.2, quiet_s=QUIET_S)
        for start in range(60):
            patience_s = 0.01 if chance.random() < 0.5 else None
            try:
                async with asyncio.timeout(patience_s):
                    words = await line.read(UNIT, Table.HOLDING, Span(start, 1))
            except TimeoutError:
                cancelled += 1
            else:
                wrong += words != (register_at(UNIT, start),)
        await line.aclose()
    assert (wrong, cancelled > 10) == (0, True)


async def test_a_quiet_line_goes_on_as_soon_as_the_late_reply_is_in():
    loop = asyncio.get_running_loop()
    async with tcp_slave(one_after_another(late_by(0.06), promptly)) as slave:
        line = ModbusLine(slave.url, timeout_s=0.03, quiet_s=30)
        with pytest.raises(NoAnswer):
            await line.read(UNIT, Table.HOLDING, Span(0, 2))
        started = loop.time()
        assert await line.read(UNIT, Table.HOLDING, Span(5, 1)) == (register_at(UNIT, 5),)
        await line.aclose()
    assert loop.time() - started < 5
    assert line.way.status().count(lambda unit: unit.late_replies) == 1


async def test_the_delay_of_a_late_reply_is_learned():
    async with tcp_slave(one_after_another(late_by(0.15), promptly)) as slave:
        line = ModbusLine(slave.url, timeout_s=0.02, quiet_s=1.0)
        with pytest.raises(NoAnswer):
            await line.read(UNIT, Table.HOLDING, Span(0, 2))
        await line.read(UNIT, Table.HOLDING, Span(0, 2))
        await line.aclose()
    (unit,) = line.way.status().stations
    assert unit.p99_s is not None
    assert unit.p99_s > 0.145


async def test_a_numbered_reply_that_is_late_is_dropped_without_waiting():
    """Modbus TCP: the transaction identifier tells."""

    def answer(request: bytes) -> bytes:
        words = right_answer(request[6:])[:-2]
        return request[:4] + len(words).to_bytes(2) + words

    script = one_after_another(
        lambda request: ((0.3, answer(request)),),
        lambda request: ((0.15, answer(request)),),
    )
    async with tcp_slave(script, length=mbap_bytes) as slave:
        line = ModbusLine(slave.url, framing="tcp", timeout_s=0.2, quiet_s=30)
        with pytest.raises(NoAnswer):
            await line.read(UNIT, Table.INPUT, Span(1, 1))
        assert await line.read(UNIT, Table.INPUT, Span(9, 1)) == (register_at(UNIT, 9),)
        await line.aclose()
