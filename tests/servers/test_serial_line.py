"""The pseudo-terminal pair: a serial library sees two ends of one line."""

import asyncio

import serial
import serial_asyncio_fast

from tests.servers.serial_line import SerialLine

FRAME = bytes.fromhex("01 04 00 48 00 02 f1 dd")
EVERY_BYTE = bytes(range(256))


def test_bytes_pass_both_ways_untouched(pty_pair: SerialLine):
    with (
        serial.Serial(pty_pair.left, 9600, parity="E", timeout=2) as master,
        serial.Serial(pty_pair.right, 9600, parity="E", timeout=2) as meter,
    ):
        master.write(EVERY_BYTE)
        assert meter.read(256) == EVERY_BYTE
        meter.write(FRAME)
        assert master.read(len(FRAME)) == FRAME


def test_a_cut_line_loses_bytes_and_a_mended_one_carries_again(pty_pair: SerialLine):
    with (
        serial.Serial(pty_pair.left, timeout=0.2) as master,
        serial.Serial(pty_pair.right, timeout=0.2) as meter,
    ):
        pty_pair.cut()
        master.write(FRAME)
        assert meter.read(len(FRAME)) == b""
        pty_pair.mend()
        master.write(FRAME)
        assert meter.read(len(FRAME)) == FRAME


async def test_asyncio_streams_open_it(pty_pair: SerialLine):
    reader, writer = await serial_asyncio_fast.open_serial_connection(url=pty_pair.left)
    _, answering = await serial_asyncio_fast.open_serial_connection(url=pty_pair.right)
    answering.write(FRAME)
    async with asyncio.timeout(2):
        assert await reader.readexactly(len(FRAME)) == FRAME
    for end in (writer, answering):
        end.close()
        await end.wait_closed()


def test_a_flooded_line_stays_alive(pty_pair: SerialLine):
    with serial.Serial(pty_pair.left, write_timeout=2) as master:
        for _ in range(200):
            master.write(EVERY_BYTE)
