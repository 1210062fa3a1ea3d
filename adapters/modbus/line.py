"""ModbusLine: the one owner of a line, and the one who decides its time.

One transaction at a time. Over a serial line a reply carries no number, so one that comes late
would look like the answer to the next question; after every question without an answer (silence,
misfit, cancelled) the line therefore keeps quiet until the late reply has come and is dropped, or
the slowest reply ever seen would have come. Modbus TCP numbers its replies and needs no quiet.

Retries are not the line's business: a lost answer is told at once, and whoever asked decides.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum, unique

from adapters.modbus.exceptions import error_of
from adapters.modbus.frames import (
    RTU_MAX_BYTES,
    Framing,
    Garbled,
    Reply,
    Request,
    RtuFraming,
    Table,
    TcpFraming,
)
from adapters.transport.address import Address, SerialAddress, parse_address
from adapters.transport.base import Transport, TransportLost
from adapters.transport.opening import open_transport
from headend.errors import NoAnswer, NotSent
from protocols.modbus.blocks import Span

# The slowest reply published takes 220 ms and patient masters give 500; gateways add their own.
TIMEOUT_S = 1.0
QUIET_S = 1.0
# Nobody waits longer than this for one late reply, however late the last one was.
QUIET_MAX_S = 30.0
WRITE_TIMEOUT_S = 5.0
RECONNECT_FIRST_S = 0.5
RECONNECT_MAX_S = 30.0
# Serial line guide V1.02, 2.5.1.1: 3.5 characters of 11 bits, a fixed time above 19200 baud.
SILENCE_BITS = 38.5
SILENCE_FAST_S = 0.00175
FAST_BAUD = 19200
# Noise before, an echo, the reply, noise after: what is longer is a line that babbles.
BABBLE_BYTES = 4 * RTU_MAX_BYTES
READ_BYTES = 512

Opener = Callable[[Address], Awaitable[Transport]]


@unique
class LineFraming(StrEnum):
    """How frames travel: serial framing (also inside TCP), or Modbus TCP."""

    RTU = "rtu"
    TCP = "tcp"


_FRAMINGS: Mapping[LineFraming, Callable[[], Framing]] = {
    LineFraming.RTU: RtuFraming,
    LineFraming.TCP: TcpFraming,
}


@dataclass(slots=True)
class LineCounters:
    """What happened on a line since it was made."""

    requests: int = 0
    replies: int = 0
    exceptions: int = 0
    silences: int = 0
    misfits: int = 0
    late_replies: int = 0
    connections: int = 0


@dataclass(frozen=True, slots=True)
class _Unanswered:
    """A request whose reply may still come."""

    request: Request
    number: int
    sent_at: float


class ModbusLine:
    """One RS485 line or one Modbus TCP connection, shared by up to 247 units.

    `url` is an address of `adapters.transport`; `timeout_s` how long a meter may take to begin its
    reply (the time on the wire is added), `quiet_s` how much longer a late reply may take. Every
    method raises the errors of `headend.errors` and no others.
    """

    def __init__(
        self,
        url: str,
        *,
        framing: LineFraming | str = LineFraming.RTU,
        timeout_s: float = TIMEOUT_S,
        quiet_s: float = QUIET_S,
        opener: Opener = open_transport,
    ) -> None:
        self._address = parse_address(url)
        self._framing = _FRAMINGS[LineFraming(framing)]()
        self._timeout_s = timeout_s
        self._quiet_s = quiet_s
        self._open = opener
        self._turn = asyncio.Lock()
        self._transport: Transport | None = None
        self._received = bytearray()
        self._number = 0
        self._unanswered: _Unanswered | None = None
        self._slowest_s = 0.0
        self._busy_until = 0.0
        self._misses = 0
        self._open_after = 0.0
        self._closed = False
        self.counters = LineCounters()

    @property
    def quiet_s(self) -> float:
        """How long after its time-out a reply is waited for: never less than the slowest seen."""
        return min(max(self._quiet_s, self._slowest_s), QUIET_MAX_S)

    async def read(self, unit: int, table: Table, span: Span) -> tuple[int, ...]:
        """Read registers, as many as asked for."""
        return (await self._transact(Request(unit, table, span))).words

    async def write(self, unit: int, start: int, words: tuple[int, ...]) -> None:
        """Write holding registers with one FC16. Returns when the unit has received them."""
        span = Span(start, len(words))
        await self._transact(Request(unit, Table.HOLDING, span, words))

    async def aclose(self) -> None:
        """Close for good; a transaction under way ends with NoAnswer."""
        self._closed = True
        await self._disconnect()

    # --- one transaction ---

    async def _transact(self, request: Request) -> Reply:
        async with self._turn:
            transport = await self._ready(request)
            reply = await self._exchange(transport, request)
        if reply.exception:
            self.counters.exceptions += 1
            raise error_of(reply.exception, request)
        return reply

    async def _exchange(self, transport: Transport, request: Request) -> Reply:
        loop = asyncio.get_running_loop()
        self._number = self._number % 0xFFFF + 1
        frame = self._framing.encode(request, self._number)
        sent_at = loop.time() + self._wire_s(len(frame))
        # Until the reply is here it may come at any time, whatever becomes of us meanwhile.
        self._unanswered = _Unanswered(request, self._number, sent_at)
        self._busy_until = sent_at
        self.counters.requests += 1
        try:
            await transport.write(frame, timeout=WRITE_TIMEOUT_S)
            reply = await self._reply(transport, self._unanswered)
        except (TransportLost, TimeoutError) as exc:
            await self._disconnect()
            raise NoAnswer(f"{request}: the connection was lost: {exc}") from exc
        except Garbled as exc:
            self.counters.misfits += 1
            await self._disconnect()
            raise NoAnswer(f"{request}: {exc}") from exc
        self._unanswered = None
        self._misses = 0
        self.counters.replies += 1
        return reply

    async def _reply(self, transport: Transport, asked: _Unanswered) -> Reply:
        reply_s = self._wire_s(self._framing.reply_frame_bytes(asked.request))
        until = asked.sent_at + self._timeout_s + reply_s
        came = 0
        while piece := await self._more(transport, until):
            came += piece
            reply = self._framing.take(self._received, asked.request, asked.number)
            if reply is not None:
                return reply
            if came > BABBLE_BYTES:
                self.counters.misfits += 1
                raise NoAnswer(f"{asked.request}: the line babbles")
        if came:
            self.counters.misfits += 1
            raise NoAnswer(f"{asked.request}: {came} bytes came, but no reply to it")
        self.counters.silences += 1
        raise NoAnswer(f"{asked.request}: no reply within {self._timeout_s:g} s")

    # --- before a transaction ---

    async def _ready(self, request: Request) -> Transport:
        """A transport with nothing left in it and nothing to be expected on it."""
        if self._closed:
            raise NotSent(f"{request}: the line is closed")
        try:
            return await self._prepared(self._transport or await self._connect(request))
        except TransportLost:
            # It went away while nobody used it: gateways close idle connections.
            await self._disconnect()
        try:
            return await self._prepared(await self._connect(request))
        except TransportLost as exc:
            await self._disconnect()
            raise NotSent(f"{request}: {exc}") from exc

    async def _prepared(self, transport: Transport) -> Transport:
        loop = asyncio.get_running_loop()
        if self._framing.numbered:
            while await self._more(transport, loop.time()):
                if len(self._received) > BABBLE_BYTES:
                    raise TransportLost("the other end talks unasked and does not stop")
            return transport
        await self._keep_quiet(transport)
        await asyncio.sleep(max(0.0, self._busy_until + self._silence_s - loop.time()))
        self._received.clear()
        await transport.drop_input()
        return transport

    async def _keep_quiet(self, transport: Transport) -> None:
        late = self._unanswered
        if late is None:
            return
        reply_s = self._wire_s(self._framing.reply_frame_bytes(late.request))
        until = late.sent_at + self._timeout_s + reply_s + self.quiet_s
        loop = asyncio.get_running_loop()
        while loop.time() < until and await self._more(transport, until):
            if self._framing.take(self._received, late.request, late.number) is not None:
                self.counters.late_replies += 1
                took_s = loop.time() - late.sent_at
                self._slowest_s = max(self._slowest_s, took_s)
                break
            del self._received[:-BABBLE_BYTES]
        self._unanswered = None

    async def _connect(self, request: Request) -> Transport:
        now = asyncio.get_running_loop().time()
        if now < self._open_after:
            wait_s = self._open_after - now
            raise NotSent(f"{request}: {self._address} is down, next try in {wait_s:.1f} s")
        self._misses += 1
        wait_s = min(RECONNECT_FIRST_S * 2.0 ** min(self._misses - 1, 16), RECONNECT_MAX_S)
        try:
            transport = await self._open(self._address)
        except OSError as exc:
            self._open_after = asyncio.get_running_loop().time() + wait_s
            reason = str(exc) or "no answer in time"
            raise NotSent(f"{request}: {self._address} cannot be opened: {reason}") from exc
        if self._closed:
            await transport.aclose()
            raise NotSent(f"{request}: the line is closed")
        self.counters.connections += 1
        self._received.clear()
        self._transport = transport
        return transport

    async def _disconnect(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()

    # --- leaves ---

    async def _more(self, transport: Transport, until: float) -> int:
        """Add the next piece that comes before then to what was received; its length, or 0."""
        loop = asyncio.get_running_loop()
        try:
            piece = await transport.read(READ_BYTES, timeout=max(0.0, until - loop.time()))
        except TimeoutError:
            return 0
        self._busy_until = loop.time()
        self._received += piece
        return len(piece)

    def _wire_s(self, count: int) -> float:
        match self._address:
            case SerialAddress() as port:
                return count * port.character_s
            case _:
                return 0.0

    @property
    def _silence_s(self) -> float:
        match self._address:
            case SerialAddress(baud=baud):
                return SILENCE_FAST_S if baud > FAST_BAUD else SILENCE_BITS / baud
            case _:
                return 0.0
