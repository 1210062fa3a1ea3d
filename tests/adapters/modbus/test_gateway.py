"""A Modbus TCP gateway: several units behind it, several questions at once only when proved."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from adapters.modbus.frames import Table
from adapters.modbus.line import ModbusLine
from adapters.transport.address import Address
from headend.agenda import TURNS_IN_A_ROW, Urgency
from headend.errors import NoAnswer, NotSent, Resting
from headend.pipelining import PROOF
from protocols.modbus.blocks import Span
from tests.adapters.modbus.slaves import register_at, right_answer

pytestmark = pytest.mark.virtual_time


def time() -> float:
    return asyncio.get_running_loop().time()


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
    sent: list[tuple[float, int, int]] = field(default_factory=list)
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
        self.sent.append((time(), data[6], len(self.queued)))
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


async def read(
    line: ModbusLine, unit: int, start: int, count: int, urgency: Urgency = Urgency.READING
) -> bool:
    """Read once; whether it was right."""
    words = await line.read(unit, Table.HOLDING, Span(start, count), urgency=urgency)
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


# --- who was silent is asked alone ---------------------------------------------------------------

SICK, TILL = 9, 20
DEPTH = 4


async def read_for_ever(line: ModbusLine, unit: int, urgency: Urgency = Urgency.READING) -> None:
    """Every question of another length than its neighbours', so that the depth is proved."""
    for at in range(1 << 20):
        assert await read(line, unit, at % 1000, unit + 1, urgency)


@asynccontextmanager
async def saturated(gateway: SimulatedGateway) -> AsyncIterator[ModbusLine]:
    """Six readers keep as many questions in flight as may ever be; one unit has a miss."""
    line = a_line(gateway, in_flight=DEPTH)
    readers = [asyncio.create_task(read_for_ever(line, unit)) for unit in range(1, 7)]
    while line.way.status().in_flight < DEPTH:
        await asyncio.sleep(1)
    gateway.dead.add(SICK)
    with pytest.raises(NoAnswer):
        await read(line, SICK, 0, 1)
    gateway.sent.clear()
    async with asyncio.timeout(600):
        yield line
    for reader in readers:
        reader.cancel()
    for ended in await asyncio.gather(*readers, return_exceptions=True):
        assert isinstance(ended, asyncio.CancelledError)
    assert gateway.deepest == DEPTH


async def test_a_slave_that_was_silent_is_asked_alone_and_soon():
    gateway = SimulatedGateway()
    async with saturated(gateway) as line:
        gateway.dead.clear()
        asked_at = time()
        assert await read(line, SICK, 0, 1)
        ((sent_at, _, beside),) = [one for one in gateway.sent if one[1] == SICK]
        assert beside == 0
        # Six others asked before it, one after the other, and then it waited for those under way.
        assert sent_at - asked_at <= (6 + DEPTH) * gateway.delay_s
        # Once it has answered it is one of many again.
        for _ in range(20):
            assert await read(line, SICK, 0, 1)
        assert max(beside for _, unit, beside in gateway.sent if unit == SICK) == DEPTH - 1


async def test_a_slave_that_was_silent_has_its_turn_though_tokens_crowd_the_gateway():
    gateway = SimulatedGateway()
    async with saturated(gateway) as line, asyncio.TaskGroup() as group:
        crowd = [
            group.create_task(read_for_ever(line, unit, Urgency.TOKEN))
            for unit in range(TILL, TILL + DEPTH)
        ]
        await asyncio.sleep(1)
        gateway.dead.clear()
        asked_at = time()
        assert await read(line, SICK, 0, 1)
        # Each of the six before it, and itself, after as many tokens as may go in a row.
        assert time() - asked_at <= 7 * (TURNS_IN_A_ROW + DEPTH) * gateway.delay_s
        for token in crowd:
            token.cancel()


async def test_a_token_waits_for_what_is_under_way_and_for_nothing_else():
    gateway = SimulatedGateway(serial_timeout_s=0.3)
    # A full queue before it is the longest transaction, or a slave that is silent.
    longest_s = max(DEPTH * gateway.delay_s, gateway.serial_timeout_s)
    async with saturated(gateway) as line, asyncio.TaskGroup() as group:

        async def ask_the_sick() -> None:
            while True:
                with suppress(NoAnswer, Resting):
                    await read(line, SICK, 0, 1)
                await asyncio.sleep(0.01)

        sick = group.create_task(ask_the_sick())
        for number in range(300):
            await asyncio.sleep(0.0137 * number % 0.4)
            gateway.sent.clear()
            asked_at = time()
            assert await read(line, TILL, number, 1, Urgency.TOKEN)
            (sent_at,) = [at for at, unit, _ in gateway.sent if unit == TILL]
            assert sent_at - asked_at <= longest_s + 1e-6
        sick.cancel()


async def test_a_token_waits_for_one_transaction_where_nothing_is_proved_yet():
    gateway = SimulatedGateway()
    line = a_line(gateway, in_flight=DEPTH)

    async def read_alike(unit: int) -> None:
        while True:
            assert await read(line, unit, 7, 2)

    async with asyncio.TaskGroup() as group:
        readers = [group.create_task(read_alike(unit)) for unit in range(1, 7)]
        for number in range(100):
            await asyncio.sleep(0.0137 * number % 0.1)
            gateway.sent.clear()
            asked_at = time()
            assert await read(line, TILL, number, 2, Urgency.TOKEN)
            (sent_at,) = [at for at, unit, _ in gateway.sent if unit == TILL]
            assert sent_at - asked_at <= gateway.delay_s + 1e-6
        for reader in readers:
            reader.cancel()
    assert gateway.deepest == 1
