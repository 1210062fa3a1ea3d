"""The line against pymodbus's own server, on each framing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pymodbus.framer import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.server.base import ModbusBaseServer
from pymodbus.simulator import DataType, SimData, SimDevice

from adapters.modbus.frames import Table
from adapters.modbus.line import ModbusLine
from headend.errors import Unsupported
from protocols.modbus.blocks import Span
from tests.servers.serial_line import SerialLine

UNIT = 9
WORDS = tuple(range(0x1000, 0x1000 + 125))


def a_device() -> SimDevice:
    values = SimData(0x200, values=list(WORDS), datatype=DataType.REGISTERS)
    return SimDevice(UNIT, simdata=[values])


@asynccontextmanager
async def serving(server: ModbusBaseServer, line: ModbusLine) -> AsyncIterator[ModbusLine]:
    await server.serve_forever(background=True)
    try:
        yield line
    finally:
        await line.aclose()
        await server.shutdown()


@asynccontextmanager
async def over_tcp(framer: FramerType, port: int) -> AsyncIterator[ModbusLine]:
    server = ModbusTcpServer(a_device(), framer=framer, address=("127.0.0.1", port))
    framing = "tcp" if framer is FramerType.SOCKET else "rtu"
    line = ModbusLine(f"tcp://127.0.0.1:{port}", framing=framing, timeout_s=5)
    async with serving(server, line):
        yield line


async def converse(line: ModbusLine) -> None:
    assert await line.read(UNIT, Table.HOLDING, Span(0x200, 125)) == WORDS
    assert await line.read(UNIT, Table.INPUT, Span(0x210, 1)) == WORDS[0x10:0x11]
    await line.write(UNIT, 0x200, (7, 0xFFFF))
    assert await line.read(UNIT, Table.HOLDING, Span(0x200, 3)) == (7, 0xFFFF, WORDS[2])
    with pytest.raises(Unsupported):
        await line.read(UNIT, Table.HOLDING, Span(0x9000, 1))


@pytest.mark.parametrize("framer", [FramerType.SOCKET, FramerType.RTU])
async def test_over_tcp(framer: FramerType, free_port: int):
    async with over_tcp(framer, free_port) as line:
        await converse(line)


async def test_on_a_serial_line(pty_pair: SerialLine):
    server = ModbusSerialServer(
        a_device(), framer=FramerType.RTU, port=pty_pair.right, baudrate=19200
    )
    line = ModbusLine(f"serial://{pty_pair.left}?baud=19200", timeout_s=5)
    async with serving(server, line):
        await converse(line)
