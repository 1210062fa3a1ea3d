"""Wrong values taken for answers on a line whose replies are late: our line, and bare pymodbus.

A slave behind a serial server answers every fifth question after the time-out. Whoever takes such
a reply for the answer to the next question reads another register, and cannot know it.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.framer import FramerType

from adapters.modbus.frames import Table
from adapters.modbus.line import ModbusLine
from headend.errors import NoAnswer, Resting
from protocols.modbus.blocks import Span
from tests.adapters.modbus.slaves import Pieces, Script, register_at, right_answer, tcp_slave

READS, SHORT_READS = 400, 20
LATE_SHARE, LATE_S = 0.2, (0.05, 0.1)
TIMEOUT_S, QUIET_S = 0.04, 0.12
UNIT = 17

Words = tuple[int, ...] | None
Read = Callable[[int], Awaitable[Words]]


@dataclass(frozen=True, slots=True)
class LateFigure:
    """Of so many reads, those whose value was another register's, and those told as lost."""

    what: str
    per_second: float
    reads: int
    wrong: int
    lost: int

    def __str__(self) -> str:
        return (
            f"{self.what:<48}{self.per_second:>8,.1f}/s   {self.wrong} wrong values accepted,"
            f" {self.lost} told as lost, of {self.reads}"
        )


def measure(seconds: float) -> Iterator[LateFigure]:
    """The same course of late replies for each master."""
    # It complains of each stray reply, at length, and that would be measured too.
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    reads = SHORT_READS if seconds < 1 else READS
    yield asyncio.run(_ours(reads))
    for retries in (0, 3):
        yield asyncio.run(_pymodbus(reads, retries))


def _sometimes_late() -> Script:
    chance = random.Random(1)

    def script(request: bytes) -> Pieces:
        late = chance.random() < LATE_SHARE
        yield chance.uniform(*LATE_S) if late else 0.0, right_answer(request)

    return script


async def _read_on(what: str, reads: int, read: Read) -> LateFigure:
    loop = asyncio.get_running_loop()
    chance, began = random.Random(7), loop.time()
    wrong = lost = 0
    for _ in range(reads):
        start = chance.randrange(0x1000)
        words = await read(start)
        lost += words is None
        right = (register_at(UNIT, start), register_at(UNIT, start + 1))
        wrong += words is not None and words != right
    per_second = round(reads / (loop.time() - began), 1)
    return LateFigure(what, per_second=per_second, reads=reads, wrong=wrong, lost=lost)


async def _ours(reads: int) -> LateFigure:
    async with tcp_slave(_sometimes_late()) as slave:
        line = ModbusLine(slave.url, timeout_s=TIMEOUT_S, quiet_s=QUIET_S)

        async def read(start: int) -> Words:
            try:
                return await line.read(UNIT, Table.HOLDING, Span(start, 2))
            except Resting as resting:
                await asyncio.sleep(resting.again_s)
            except NoAnswer:
                pass
            return None

        try:
            return await _read_on("20 % late, our line", reads, read)
        finally:
            await line.aclose()


async def _pymodbus(reads: int, retries: int) -> LateFigure:
    async with tcp_slave(_sometimes_late()) as slave:
        host, port = slave.url.removeprefix("tcp://").split(":")
        client = AsyncModbusTcpClient(
            host, port=int(port), framer=FramerType.RTU, timeout=TIMEOUT_S, retries=retries
        )

        async def read(start: int) -> Words:
            if not client.connected:
                await client.connect()
            try:
                found = await client.read_holding_registers(start, count=2, device_id=UNIT)
            except ModbusException:
                return None
            return None if found.isError() else tuple(found.registers)

        try:
            return await _read_on(f"20 % late, bare pymodbus, {retries} retries", reads, read)
        finally:
            client.close()
