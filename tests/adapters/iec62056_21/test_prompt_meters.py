"""A meter that answers at once, on a real port; and meters that never end."""

import asyncio
from collections.abc import Iterator

import pytest

from adapters.iec62056_21.readout import READ_OUT_S, read_out
from adapters.transport.line import Line
from headend.agenda import Urgency
from headend.errors import NoAnswer
from protocols.iec62056_21.characters import BlockCheck
from protocols.iec62056_21.messages import MESSAGE_MAX_BYTES
from tests.adapters.modbus.slaves import Pieces, serial_slave
from tests.adapters.transport.hearers import Hearers, a_line
from tests.servers.serial_line import SerialLine

WITHIN_S = 20


def a_message(lines: int) -> bytes:
    body = b"".join(b"1.8.0*%02d(00%04d*kWh)\r\n" % (at % 100, at) for at in range(lines))
    checked = body + b"!\r\n\x03"
    return b"\x02" + checked + bytes([BlockCheck.XOR.of(checked)])


def at_once(request: bytes) -> Pieces:
    """Signs on, and changes over without the pause that a meter should make."""
    if b"?" in bytes(byte & 0x7F for byte in request):
        yield 0.0, b"/ABC6PROMPT\r\n"
    else:
        yield 0.0, a_message(30)


def a_line_long(received: bytes) -> int:
    return received.find(b"\n") + 1


async def test_a_read_out_that_begins_at_once_is_not_thrown_away(pty_pair: SerialLine):
    async with serial_slave(
        pty_pair.right, pty_pair.left, at_once, settings="baud=2400", length=a_line_long
    ) as meter:
        line = Line(meter.url)
        async with asyncio.timeout(WITHIN_S):
            for _ in range(3):
                who, data = await read_out(line, "", BlockCheck.XOR, urgency=Urgency.READING)
                assert (who.ident, len(data)) == ("PROMPT", 30)
        await line.aclose()


class Dripping:
    """Says what it has piece by piece, each `every_s` after the other."""

    def __init__(self, identity: bytes, pieces: Iterator[bytes], *, every_s: float) -> None:
        self.hearers = Hearers([self])
        self._identity = identity
        self._pieces = pieces
        self._every_s = every_s

    def hear(self, frame: bytes) -> tuple[float, bytes] | None:
        if frame.startswith(b"/?") and self._identity:
            if not self._identity[4:5].isdigit():
                self._next()
            return 0.2, self._identity
        self._next()
        return None

    def _next(self) -> None:
        asyncio.get_running_loop().call_later(0.3, self._say)

    def _say(self) -> None:
        if piece := next(self._pieces, b""):
            self.hearers._say(piece)
            asyncio.get_running_loop().call_later(self._every_s, self._say)


@pytest.mark.virtual_time
@pytest.mark.parametrize("identity", [b"/ABC5ENDLESS\r\n", b"/ABC:ENDLESS\r\n", b""])
async def test_a_read_out_without_an_end_gives_the_line_back(identity: bytes):
    meter = Dripping(identity, iter(lambda: b"x", b""), every_s=1.0)
    line = a_line(meter.hearers)
    began_at = asyncio.get_running_loop().time()
    with pytest.raises(NoAnswer, match=f"no end within {READ_OUT_S:g} s"):
        await read_out(line, "1", BlockCheck.XOR, urgency=Urgency.READING)
    assert asyncio.get_running_loop().time() - began_at < READ_OUT_S + 5
    assert meter.hearers.speeds[-1] == 2400


@pytest.mark.virtual_time
async def test_a_read_out_is_bounded_in_bytes():
    meter = Dripping(b"/ABC5ENDLESS\r\n", iter(lambda: b"x" * 500, b""), every_s=0.1)
    line = a_line(meter.hearers)
    with pytest.raises(NoAnswer, match="babbles"):
        await read_out(line, "1", BlockCheck.XOR, urgency=Urgency.READING)
    assert len(line._ear.heard) < MESSAGE_MAX_BYTES + 2048


@pytest.mark.virtual_time
@pytest.mark.parametrize("identity", [b"/ABC5DRIPS\r\n", b"/ABC:DRIPS\r\n"])
@pytest.mark.parametrize("size", [1, 7, 512])
async def test_a_long_read_out_is_taken_however_it_is_cut(identity: bytes, size: int):
    message = a_message(200)
    pieces = (message[at : at + size] for at in range(0, len(message), size))
    meter = Dripping(identity, pieces, every_s=size / 960)
    _, data = await read_out(a_line(meter.hearers), "1", BlockCheck.XOR, urgency=Urgency.READING)
    assert len(data) == 200
