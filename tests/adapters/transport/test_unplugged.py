"""A USB adapter is unplugged and plugged in again; other lines notice nothing."""

import asyncio
import os
import tty
from pathlib import Path

import pytest

from adapters.modbus.frames import Table
from adapters.modbus.line import ModbusLine
from headend.errors import NotSent, Resting, WireError
from protocols.modbus.blocks import Span
from tests.adapters.modbus.slaves import register_at, right_answer, serial_slave
from tests.servers.serial_line import SerialLine

UNIT, SPAN = 5, Span(0x100, 1)
RIGHT = (register_at(UNIT, 0x100),)


class Adapter:
    """A serial port that can be pulled out: its path is a link to a pseudo-terminal."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._master = self._slave = -1

    def plug_in(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path.symlink_to(os.ttyname(self._slave))
        asyncio.get_running_loop().add_reader(self._master, self._answer)

    def pull_out(self) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        os.close(self._slave)
        self.path.unlink()

    def _answer(self) -> None:
        os.write(self._master, right_answer(os.read(self._master, 256)))


async def read(line: ModbusLine) -> tuple[int, ...]:
    return await line.read(UNIT, Table.HOLDING, SPAN)


async def test_an_adapter_that_is_back_is_opened_again(tmp_path: Path, pty_pair: SerialLine):
    adapter = Adapter(tmp_path / "ttyUSB0")
    adapter.plug_in()
    line = ModbusLine(f"serial://{adapter.path}?baud=115200", timeout_s=2)
    async with serial_slave(pty_pair.right, pty_pair.left) as neighbour:
        other = ModbusLine(neighbour.url, timeout_s=5)
        assert await read(line) == RIGHT
        adapter.pull_out()
        for _ in range(3):
            with pytest.raises(WireError):
                await read(line)
            assert await read(other) == RIGHT
        with pytest.raises(NotSent, match=r"cannot be opened|next try in"):
            await read(line)
        adapter.plug_in()
        async with asyncio.timeout(20):
            assert await read_in_the_end(line) == RIGHT
        assert line.way.status().connections == 2
        await other.aclose()
    await line.aclose()
    adapter.pull_out()


async def read_in_the_end(line: ModbusLine) -> tuple[int, ...]:
    while True:
        try:
            return await read(line)
        except Resting as resting:
            await asyncio.sleep(resting.again_s)
        except WireError:
            await asyncio.sleep(0.1)
