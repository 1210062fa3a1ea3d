"""A Modbus TCP gateway: several units behind it, several questions at once only when proved."""

import asyncio
from dataclasses import dataclass, field

import pytest

from adapters.modbus.frames import Table
from adapters.modbus.line import ModbusLine
from adapters.transport.address import Address
from headend.errors import NoAnswer, NotSent, Resting
from headend.pipelining import PROOF
from protocols.modbus.blocks import Span
from tests.adapters.modbus.slaves import register_at, right_answer

pytestmark = pytest.mark.virtual_time


@dataclass
class SimulatedGateway:
    """Asks its serial line one question after the other, each for `delay_s`.

    `dead` units are told as exception 0B after `serial_timeout_s`; `mixes_up`: of two questions in
    its queue each gets the other's answer. `most` is what its queue holds.
    """

    delay_s: float = 0.03
    serial_timeout_s: float = 0.3
    dead: set[int] = field(default_factory=set)
    mixes_up: bool = False
    most: int = 32
    swallows: set[int] = field(default_factory=set)
    queued: list[bytes] = field(default_factory=list)
    deepest: int = 0
    requests: int = 0
    connections: int = 0
    _input: bytearray = field(default_factory=bytearray)
    _came: asyncio.Event = field(default_factory=asyncio.Event)
    _works: bool = False

    async def open(self, address: Address) -> "SimulatedGateway":
        self.connections += 1
        return self

    async def read(self, max_bytes: int, *, timeout: float) -> bytes:
        if not self._input:
            self._came.clear()
            async with asyncio.timeout(timeout):
                await self._came.wait()
        data = bytes(self._input)
        self._input.clear()
        return data

    async def write(self, data: bytes, *, timeout: float) -> None:
        self.requests += 1
        if data[6] in self.swallows:
            return
        if len(self.queued) >= self.most:
            self._say(data[:4] + b"\0\3" + bytes((data[6], data[7] | 0x80, 6)))
            return
        self.queued.append(data)
        self.deepest = max(self.deepest, len(self.queued))
        if not self._works:
            self._works = True
            self._next()

    async def drop_input(self) -> int:
        return 0

    async def aclose(self) -> None:
        self._input.clear()

    def _next(self) -> None:
        if not self.queued:
            self._works = False
            return
        dead = self.queued[0][6] in self.dead
        wait_s = self.serial_timeout_s if dead else self.delay_s
        asyncio.get_running_loop().call_later(wait_s, self._answer)

    def _answer(self) -> None:
        if self.mixes_up and len(self.queued) > 1:
            first, second = self.queued[0], self.queued[1]
            self._say_for(second, number=first[:2])
            self.queued[1] = second[:2] + first[2:]
            del self.queued[0]
        else:
            request = self.queued.pop(0)
            self._say_for(request, number=request[:2])
        self._next()

    def _say_for(self, request: bytes, *, number: bytes) -> None:
        if request[6] in self.dead:
            reply = bytes((request[6], request[7] | 0x80, 11))
        else:
            reply = right_answer(request[6:])[:-2]
        self._say(number + b"\0\0" + len(reply).to_bytes(2) + reply)

    def _say(self, frame: bytes) -> None:
        self._input += frame
        self._came.set()


def a_line(gateway: SimulatedGateway, *, in_flight: int = 4) -> ModbusLine:
    return ModbusLine(
        "tcp://gateway:502",
        framing="tcp",
        timeout_s=1.0,
        in_flight=in_flight,
        opener=gateway.open,
    )


async def read(line: ModbusLine, unit: int, start: int, count: int) -> bool:
    """Read once; whether it was right."""
    words = await line.read(unit, Table.HOLDING, Span(start, count))
    return words == tuple(register_at(unit, start + at) for at in range(count))


async def read_unlike(line: ModbusLine, count: int) -> list[bool]:
    """Two who ask for answers of different lengths, over and over."""

    async def work(unit: int, words: int) -> list[bool]:
        return [await read(line, unit, at, words) for at in range(count)]

    return [right for each in await asyncio.gather(work(1, 2), work(2, 5)) for right in each]


async def test_several_units_are_asked_one_after_the_other_at_first():
    gateway = SimulatedGateway()
    line = a_line(gateway, in_flight=1)
    found = await asyncio.gather(*(read(line, unit, 7, 2) for unit in range(1, 20)))
    assert all(found)
    assert gateway.deepest == 1


async def test_a_gateway_that_keeps_questions_apart_is_asked_more_at_once():
    gateway = SimulatedGateway()
    line = a_line(gateway)
    assert line.way.status().in_flight == 1
    assert all(await read_unlike(line, PROOF + 2))
    assert line.way.status().in_flight == 2
    # Now questions of one shape too.
    gateway.deepest = 0
    assert all(await asyncio.gather(*(read(line, unit, 7, 2) for unit in range(1, 20))))
    assert gateway.deepest == 2


async def test_questions_of_one_shape_prove_nothing():
    gateway = SimulatedGateway()
    line = a_line(gateway)
    for _ in range(2 * PROOF):
        assert all(await asyncio.gather(*(read(line, unit, 7, 2) for unit in (1, 2, 3))))
    assert gateway.deepest == 1
    assert line.way.status().in_flight == 1


async def test_a_gateway_that_mixes_answers_up_is_found_out_before_it_is_believed():
    gateway = SimulatedGateway(mixes_up=True)
    line = a_line(gateway)
    wrong = lost = 0

    async def work(unit: int, words: int) -> None:
        nonlocal wrong, lost
        for at in range(60):
            try:
                wrong += not await read(line, unit, at, words)
            except (NoAnswer, Resting):
                lost += 1
                await asyncio.sleep(0.5)

    await asyncio.gather(work(1, 2), work(2, 5), work(3, 2))
    assert wrong == 0
    assert lost > 0
    assert line.way.status().in_flight == 1


async def test_a_full_queue_is_a_doubt():
    gateway = SimulatedGateway(most=1)
    line = a_line(gateway)
    busy = 0

    async def work(unit: int, words: int) -> None:
        nonlocal busy
        for at in range(40):
            try:
                assert await read(line, unit, at, words)
            except NotSent:
                busy += 1

    await asyncio.gather(work(1, 2), work(2, 5))
    assert busy > 0
    assert line.way.status().in_flight == 1


async def test_a_unit_that_its_gateway_calls_silent_rests_and_the_others_go_on():
    gateway = SimulatedGateway(dead={9})
    line = a_line(gateway)
    for _ in range(2):
        with pytest.raises(NoAnswer, match="exception 11"):
            await read(line, 9, 0, 1)
    with pytest.raises(Resting):
        await read(line, 9, 0, 1)
    assert await read(line, 1, 0, 1)
    gateway.dead.clear()
    await asyncio.sleep(30)
    assert await read(line, 9, 0, 1)


async def test_a_silent_gateway_is_no_answer_and_recorded():
    gateway = SimulatedGateway(swallows={3})
    line = a_line(gateway)
    with pytest.raises(NoAnswer, match="no reply within 1 s"):
        await read(line, 3, 0, 1)
    assert await read(line, 1, 0, 1)
    (silent, well) = line.way.status().stations
    assert (silent.silences, well.replies) == (1, 1)


async def test_a_connection_lost_under_several_questions_answers_none_of_them():
    gateway = SimulatedGateway()
    line = a_line(gateway)
    await read_unlike(line, PROOF + 2)
    asking = [asyncio.create_task(read(line, unit, 0, unit)) for unit in (1, 2)]
    await asyncio.sleep(0.01)
    gateway._say(b"HTTP/1.1 400 Bad Request")
    for one in asking:
        with pytest.raises(NoAnswer, match="header"):
            await one
    gateway.queued.clear()
    assert await read(line, 1, 0, 1)
    assert gateway.connections == 2
