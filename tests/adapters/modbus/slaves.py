"""Scripted slaves: what a meter, a gateway or a bad wire may send, byte by byte.

Written without pymodbus and without the code under test, so that a mistake there shows.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

# What to send for one request: pieces, each after so many seconds; None cuts the connection.
Pieces = Iterable[tuple[float, bytes | None]]
Script = Callable[[bytes], Pieces]
HOST = "127.0.0.1"


def crc(frame: bytes) -> bytes:
    """The two bytes that end a serial frame (serial line guide, 6.2.2)."""
    value = 0xFFFF
    for byte in frame:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value.to_bytes(2, "little")


def rtu(text: str) -> bytes:
    """A frame from hex digits, its CRC added."""
    frame = bytes.fromhex(text)
    return frame + crc(frame)


def register_at(unit: int, address: int) -> int:
    """What every scripted meter holds: another word at each address."""
    return (address * 31 + unit * 1009) & 0xFFFF


def right_answer(request: bytes) -> bytes:
    """The true reply to a serial request."""
    unit, function, address = request[0], request[1], int.from_bytes(request[2:4])
    if function == 16:
        return crc_added(request[:6])
    count = int.from_bytes(request[4:6])
    words = b"".join(register_at(unit, address + i).to_bytes(2) for i in range(count))
    return crc_added(bytes((unit, function, len(words))) + words)


def crc_added(frame: bytes) -> bytes:
    return frame + crc(frame)


def promptly(request: bytes) -> Pieces:
    yield 0.0, right_answer(request)


def silently(request: bytes) -> Pieces:
    return ()


def always(reply: bytes) -> Script:
    return lambda request: ((0.0, reply),)


def one_after_another(*scripts: Script) -> Script:
    """Each request meets the next script; the last one stays."""
    waiting = list(scripts)

    def script(request: bytes) -> Pieces:
        return (waiting.pop(0) if len(waiting) > 1 else waiting[0])(request)

    return script


@dataclass
class Slave:
    """A slave that was started: where it is, and the requests it got."""

    url: str
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0


def request_bytes(received: bytes) -> int:
    """How long the serial request at the start is; 0 if that is not known yet."""
    if len(received) < 8:
        return 0
    return 9 + received[6] if received[1] == 16 else 8


def mbap_bytes(received: bytes) -> int:
    return 6 + int.from_bytes(received[4:6]) if len(received) >= 6 else 0


class _Feed:
    """Cuts the stream into requests and plays the script."""

    def __init__(self, slave: Slave, script: Script, length: Callable[[bytes], int]) -> None:
        self.slave, self.script, self.length = slave, script, length
        self.received = b""

    def take(self, data: bytes, write: Callable[[bytes | None], None]) -> None:
        self.received += data
        while (end := self.length(self.received)) and len(self.received) >= end:
            request, self.received = self.received[:end], self.received[end:]
            self.slave.requests.append(request)
            for delay_s, piece in self.script(request):
                if delay_s:
                    asyncio.get_running_loop().call_later(delay_s, write, piece)
                else:
                    write(piece)


@asynccontextmanager
async def tcp_slave(
    script: Script = promptly, *, length: Callable[[bytes], int] = request_bytes, port: int = 0
) -> AsyncIterator[Slave]:
    """A slave behind a TCP port; serial framing unless `length` says otherwise."""
    slave = Slave("")
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        slave.connections += 1
        writers.add(writer)
        feed = _Feed(slave, script, length)

        def write(piece: bytes | None) -> None:
            if piece is None:
                writer.transport.abort()
            elif not writer.transport.is_closing():
                writer.write(piece)

        try:
            while data := await reader.read(4096):
                feed.take(data, write)
        except ConnectionError:
            pass
        finally:
            writers.discard(writer)
            writer.close()

    server = await asyncio.start_server(serve, HOST, port)
    slave.url = f"tcp://{HOST}:{server.sockets[0].getsockname()[1]}"
    try:
        yield slave
    finally:
        server.close()
        for writer in tuple(writers):
            writer.transport.abort()
        await server.wait_closed()
        await asyncio.sleep(0)


@asynccontextmanager
async def serial_slave(
    port: str,
    master: str,
    script: Script = promptly,
    *,
    settings: str = "baud=115200",
    length: Callable[[bytes], int] = request_bytes,
) -> AsyncIterator[Slave]:
    """A slave at one end of a serial line; `url` is that of the other end."""
    slave = Slave(f"serial://{master}?{settings}")
    descriptor = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    feed = _Feed(slave, script, length)
    loop = asyncio.get_running_loop()
    is_open = True

    def write(piece: bytes | None) -> None:
        if piece is not None and is_open:
            os.write(descriptor, piece)

    loop.add_reader(descriptor, lambda: feed.take(os.read(descriptor, 4096), write))
    try:
        yield slave
    finally:
        is_open = False
        loop.remove_reader(descriptor)
        os.close(descriptor)
