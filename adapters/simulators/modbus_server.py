"""Simulated lines: meters by unit id behind Modbus TCP, RTU over TCP, or a serial port.

A server loop of our own, because answers here may be late, lost or garbled. All timing is the
event loop's; there are no tasks, so nothing that is received can end one.
"""

import asyncio
import os
import tty
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

from adapters.simulators.modbus_framing import Framing, MbapFraming, Request, RtuFraming
from adapters.simulators.modbus_units import WRITE_MULTIPLE, ModbusUnit
from adapters.simulators.real_port import serve_port
from adapters.transport.address import SerialAddress
from headend.ports import Clock

LOOPBACK = "127.0.0.1"
# Far above 3.5 characters at 2400 baud, far below any master's time-out.
PAUSE_S = 0.1
# How long a meter thinks before it answers; real ones take 5 to 45 ms.
TURNAROUND_S = 0.005
MAX_CONNECTIONS = 32
MAX_WAITING = 64
CHUNK_BYTES = 1024

Write = Callable[[bytes], None]


class SimulatedLine:
    """Meters that share a line. Use as a context manager; leaving it closes every way in.

    `units` may be changed while it runs. An unknown unit id is silence, as on a real line.
    """

    def __init__(
        self,
        units: Mapping[int, ModbusUnit],
        *,
        clock: Clock,
        turnaround_s: float = TURNAROUND_S,
    ) -> None:
        self.units = units
        self._clock = clock
        self._turnaround_s = turnaround_s
        self._waiting: set[asyncio.TimerHandle] = set()
        self._servers: list[asyncio.Server] = []
        self._conversations: set[Conversation] = set()
        self._terminals: list[tuple[int, int]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def serve_tcp(self, *, host: str = LOOPBACK, port: int = 0) -> int:
        """Speak Modbus TCP; returns the port (0 takes a free one). Raises OSError."""
        return await self._listen(MbapFraming, host, port)

    async def serve_rtu_over_tcp(self, *, host: str = LOOPBACK, port: int = 0) -> int:
        """Speak RTU inside TCP, as serial device servers do; returns the port. Raises OSError."""
        return await self._listen(RtuFraming, host, port)

    def serve_terminal(self) -> str:
        """Open a pseudo-terminal and speak RTU on it; returns the path for the head-end's end."""
        master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        self._terminals.append((master, slave))
        conversation = Conversation(self, RtuFraming())
        conversation.write = _terminal_writer(master)
        loop = asyncio.get_running_loop()
        loop.add_reader(master, lambda: conversation.data_received(_read_terminal(master)))
        return os.ttyname(slave)

    async def serve_serial(self, address: SerialAddress) -> None:
        """Speak RTU on a real serial port. Raises OSError."""
        await serve_port(address, lambda: Conversation(self, RtuFraming()))

    async def close(self) -> None:
        """Close every way in and drop the answers that are still waiting."""
        for handle in self._waiting:
            handle.cancel()
        self._waiting.clear()
        loop = asyncio.get_running_loop()
        for master, slave in self._terminals:
            loop.remove_reader(master)
            os.close(master)
            os.close(slave)
        self._terminals.clear()
        for server in self._servers:
            server.close()
        for conversation in list(self._conversations):
            conversation.abort()
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()

    async def _listen(self, framing: Callable[[], Framing], host: str, port: int) -> int:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Conversation(self, framing()), host, port)
        self._servers.append(server)
        bound: int = server.sockets[0].getsockname()[1]
        return bound

    # --- for its conversations -------------------------------------------------------------------

    def joined(self, conversation: "Conversation") -> bool:
        """Count a connection in; False when there are too many."""
        self._conversations.add(conversation)
        return len(self._conversations) <= MAX_CONNECTIONS

    def left(self, conversation: "Conversation") -> None:
        self._conversations.discard(conversation)

    def ask(self, request: Request, framing: Framing, write: Write) -> None:
        """Let a unit act on a request now; its answer is written in its own time, or never."""
        unit = self.units.get(request.unit)
        pdu = unit.answer(request.pdu, self._clock.now()) if unit else None
        if unit is None or pdu is None or len(self._waiting) >= MAX_WAITING:
            return
        command = request.pdu[0] == WRITE_MULTIPLE
        fate = unit.faults.next_command_fate() if command else unit.faults.next_fate()
        if fate.lost:
            return
        frame = framing.frame(request, pdu)
        if fate.garbled:
            frame = framing.garble(frame)
        self._write_later(self._turnaround_s + fate.delay_s, write, frame)

    def _write_later(self, delay_s: float, write: Write, frame: bytes) -> None:
        def due() -> None:
            self._waiting.discard(handle)
            write(frame)

        handle = asyncio.get_running_loop().call_later(delay_s, due)
        self._waiting.add(handle)


class Conversation(asyncio.Protocol):
    """One way in: a connection, or a port."""

    def __init__(self, line: SimulatedLine, framing: Framing) -> None:
        self._line = line
        self._framing = framing
        self._transport: asyncio.Transport | None = None
        self._heard_at = 0.0
        self.write: Write = self._write

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not self._line.joined(self):
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._line.left(self)

    def data_received(self, data: bytes) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._heard_at > PAUSE_S:
            self._framing.forget()
        self._heard_at = now_s
        for request in self._framing.feed(data):
            self._line.ask(request, self._framing, self.write)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _write(self, frame: bytes) -> None:
        if self._transport is not None:
            self._transport.write(frame)


def _read_terminal(master: int) -> bytes:
    with suppress(BlockingIOError):
        return os.read(master, CHUNK_BYTES)
    return b""


def _terminal_writer(master: int) -> Write:
    def write(frame: bytes) -> None:
        # Nobody reads the other end and its buffer is full: a real line loses bytes too.
        with suppress(BlockingIOError):
            os.write(master, frame)

    return write
