"""An RS485 line of simulated meters of any dialect, with the physics of its wires; in virtual time,
or in real time on a pseudo-terminal, a serial port, or as a transparent serial server.

Each station has a delay of its own and may be late, or dead; two of one address both answer.
"""

import asyncio
import os
import termios
import tty
from collections.abc import Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from adapters.simulators.fleet_description import PhysicsDescription
from adapters.simulators.medium import Medium, MediumEnd
from adapters.simulators.real_port import serve_port
from adapters.simulators.stations import Dlt645Station, Manners, ModbusStation, ReadOutStation
from adapters.transport.address import Address, SerialAddress
from adapters.transport.base import Transport
from headend.ports import Chance

CHUNK_BYTES = 1024
LOOPBACK = "127.0.0.1"
# What a serial server lets in; all of them hear the same wires.
MAX_CONNECTIONS = 8
# Who does not read what he hears loses it.
UNREAD_MAX_BYTES = 64 * 1024
# Of a line without physics: meters think for so long, and characters take no time.
PLAIN_DELAY_S = 0.005

_SPEEDS = {
    getattr(termios, f"B{baud}"): baud
    for baud in (300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
}

AnyStation = ModbusStation | Dlt645Station | ReadOutStation


def manners_of(physics: PhysicsDescription | None) -> Manners:
    """How the meters of a described line behave; without physics they are quick and never late."""
    if physics is None:
        return Manners(delay_s=PLAIN_DELAY_S)
    return Manners(
        delay_s=physics.delay_ms / 1000,
        jitter_s=physics.jitter_ms / 1000,
        late_share=physics.late_percent / 100,
        late_s=physics.late_ms / 1000,
        flip_share=physics.flips / 1e6,
        echo=physics.echo,
    )


def rs485_line(
    physics: PhysicsDescription | None,
    stations: Sequence[AnyStation],
    *,
    chance: Chance,
) -> "Rs485Line":
    """The line of a description, the last of its stations dead if it says so."""
    manners = manners_of(physics)
    if physics is None:
        plain = SerialAddress(path="-")
        return Rs485Line(plain, stations, chance=chance, manners=manners, timed=False)
    for station in stations[len(stations) - physics.silent :]:
        station.faults.silent = True
    address = SerialAddress(path="-", baud=physics.baud, stop=physics.stop)
    return Rs485Line(address, stations, chance=chance, manners=manners)


class Rs485Line:
    """Meters on a pair of wires. Use as a context manager; leaving it closes every way in.

    Not `timed`: characters take no time, as in tests of what is said and not of when.
    """

    def __init__(
        self,
        address: SerialAddress,
        stations: Iterable[AnyStation],
        *,
        chance: Chance,
        manners: Manners | None = None,
        timed: bool = True,
    ) -> None:
        manners = manners or Manners()
        self._address = address
        self.medium = Medium(
            address, chance, flip_share=manners.flip_share, echo=manners.echo, timed=timed
        )
        self.stations = list(stations)
        self.medium.stations += self.stations
        self._timed = timed
        self._terminals: list[tuple[int, int]] = []
        self._servers: list[asyncio.Server] = []
        self._ways: set[WayIn] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def open(self, address: Address) -> Transport:
        """The master's end, for a line that is given this as its opener."""
        return MediumEnd(self.medium, address.baud if isinstance(address, SerialAddress) else None)

    def serve_terminal(self) -> str:
        """Open a pseudo-terminal in real time; returns the path for the head-end's end."""
        master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        self._terminals.append((master, slave))
        self.medium.hear = lambda data: _write(master, data)
        if self._address.baud in _SPEEDS.values():
            self.medium.master_speed = lambda: _speed(slave)
        loop = asyncio.get_running_loop()
        loop.add_reader(master, lambda: self._read(master))
        return os.ttyname(slave)

    def serve_terminal_url(self) -> str:
        """As `serve_terminal`, as an address with the settings of the line."""
        port, path = self._address, self.serve_terminal()
        speed = f"?baud={port.baud}&stop={port.stop}" if self._timed else ""
        return f"serial://{path}{speed}"

    async def serve_tcp(self, *, host: str = LOOPBACK, port: int = 0) -> int:
        """Be a transparent serial server; returns the port (0 takes a free one). Raises OSError."""
        loop = asyncio.get_running_loop()
        self.medium.hear = self._all_hear
        server = await loop.create_server(lambda: WayIn(self.medium, self._ways), host, port)
        self._servers.append(server)
        bound: int = server.sockets[0].getsockname()[1]
        return bound

    async def serve_serial(self, address: SerialAddress) -> None:
        """Be the meters on a real serial port. Raises OSError."""
        self.medium.hear = self._all_hear
        await serve_port(address, lambda: WayIn(self.medium, self._ways))

    async def close(self) -> None:
        """Close every way in and drop what is on the wires."""
        self.medium.close()
        loop = asyncio.get_running_loop()
        for master, slave in self._terminals:
            loop.remove_reader(master)
            os.close(master)
            os.close(slave)
        self._terminals.clear()
        for server in self._servers:
            server.close()
        for way in list(self._ways):
            way.abort()
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()

    def _all_hear(self, data: bytes) -> None:
        for way in tuple(self._ways):
            way.hear(data)

    def _read(self, master: int) -> None:
        with suppress(BlockingIOError):
            self.medium.send(os.read(master, CHUNK_BYTES))


class WayIn(asyncio.Protocol):
    """A connection to the wires, or a port on them; beyond MAX_CONNECTIONS it is cut."""

    def __init__(self, medium: Medium, ways: "set[WayIn]") -> None:
        self._medium = medium
        self._ways = ways
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ways.add(self)
        if len(self._ways) > MAX_CONNECTIONS:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._ways.discard(self)

    def data_received(self, data: bytes) -> None:
        self._medium.send(data)

    def hear(self, data: bytes) -> None:
        transport = self._transport
        if transport is not None and transport.get_write_buffer_size() < UNREAD_MAX_BYTES:
            transport.write(data)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _speed(terminal: int) -> int:
    """What whoever opened it has set it to; a speed that has no name here is none of the line's."""
    return _SPEEDS.get(termios.tcgetattr(terminal)[5], 1)


def _write(master: int, data: bytes) -> None:
    # Nobody reads the other end and its buffer is full: a real line loses bytes too.
    with suppress(BlockingIOError):
        os.write(master, data)
