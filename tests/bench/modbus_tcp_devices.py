"""Modbus TCP devices in a process of their own: `python -m tests.bench.modbus_tcp_devices`.

Every connection is a device whose registers hold their own address. It prints its port and runs
until its standard input ends. Written without pymodbus, to cost little beside what is measured.
"""

import asyncio
import struct
import sys

BACKLOG = 2048


class Device(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= 12:
            frame, self._received = self._received[:12], self._received[12:]
            start, count = struct.unpack(">HH", frame[8:12])
            words = struct.pack(f">{count}H", *((start + at) & 0xFFFF for at in range(count)))
            head = frame[:4] + struct.pack(">HBBB", 3 + len(words), frame[6], frame[7], len(words))
            self._transport.write(head + words)


async def serve() -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    server = await loop.create_server(Device, "127.0.0.1", 0, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(serve())
