"""Gateway: the one owner of a Modbus TCP connection, behind which one unit or many are asked.

Replies carry the number of their request, so a late one is known and dropped, and several may be
asked at once. That a gateway keeps several apart must be proved first: it has to answer many pairs
of questions whose answers cannot be confused, because their lengths differ. Any doubt (silence, a
misfit, a full queue) while several are asked takes it back to one at a time, and the next proof is
twice as long. Until it is proved, and after it, nothing else of the line's manners changes.

A slave that was silent is asked alone, so that a doubt is never its fault. It waits without holding
a turn: nobody but the more urgent begins before it, and so it waits no longer than the longest
transaction under way then.

A slave behind a gateway is given the whole time-out always: the gateway keeps the time of its own
line, and who is less patient than it fills its queue with questions nobody waits for.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from adapters.modbus.frames import Reply, Request, TcpFraming, serial_frame
from adapters.transport.address import parse_address
from adapters.transport.base import Transport, TransportLost
from adapters.transport.exchange import Garbled
from adapters.transport.link import Link, Opener
from adapters.transport.opening import open_transport
from adapters.transport.recorder import Recorded, Recorder
from adapters.transport.stations import Stations
from adapters.transport.turns import Turns
from headend.agenda import Urgency
from headend.errors import NoAnswer, NotSent
from headend.lines import LineStatus
from headend.pipelining import Pipelining
from protocols.modbus.blocks import DELAY_S, Pace

WRITE_TIMEOUT_S = 5.0
READ_BYTES = 4096
# What is longer without a frame in it is no Modbus TCP.
BABBLE_BYTES = 4096
NUMBERS = 0xFFFF
# Replies given up and still known by their number when they come.
LATE_MAX = 64
# Exceptions by which a gateway speaks for itself: queue full, no path, the slave is silent.
BUSY, ABSENT = 6, frozenset({10, 11})


@dataclass(slots=True, eq=False)
class _Asked:
    """One question on its way, and what came of it."""

    request: Request
    number: int
    station: str
    sent_at: float = 0.0
    sent: bool = False
    nudged: asyncio.Event = field(default_factory=asyncio.Event)
    reply: Reply | None = None
    frame: bytes = b""
    error: Exception | None = None
    misfits: int = 0


class Gateway:
    """Asks the units behind one Modbus TCP address; satisfies `headend.lines.WatchedLine`.

    `timeout_s` is how long an answer may take, `in_flight` how many may ever be asked at once.
    Raises the errors of `headend.errors` and no others.
    """

    def __init__(
        self, url: str, *, timeout_s: float, in_flight: int, opener: Opener = open_transport
    ) -> None:
        self._address = parse_address(url)
        self._framing = TcpFraming()
        self._link = Link(self._address, opener)
        self._opening = asyncio.Lock()
        self._turns = Turns[Request](self._may_join)
        self._pipelining = Pipelining(most=in_flight)
        self._turns.deepen(self._pipelining.trying)
        self._in_flight: dict[int, _Asked] = {}
        self._late: OrderedDict[int, _Asked] = OrderedDict()
        self._reader: _Asked | None = None
        self._received = bytearray()
        self._number = 0
        self._made_at: float | None = None
        self.stations = Stations(ceiling_s=timeout_s, learning=False)
        self.recorder = Recorder(plain=_as_serial)

    @property
    def connections(self) -> int:
        """How often it was opened."""
        return self._link.connections

    def pace(self, station: str) -> Pace:
        """What reading this unit costs: its answer's delay, and registers on the line behind."""
        return Pace.tcp(delay_s=self.stations.delay_s(station) or DELAY_S)

    async def ask(self, request: Request, *, urgency: Urgency = Urgency.READING) -> Reply:
        """Have one question answered, when its turn comes.

        Raises NotSent (nothing left us), Resting (the unit is in quarantine), NoAnswer.
        """
        if self._made_at is None:
            self._made_at = asyncio.get_running_loop().time()
        self._check_rest(request, urgency)
        await self._turns.take(request, urgency)
        try:
            self._check_rest(request, urgency)
            return await self._transact(request)
        finally:
            self._turns.release(request)

    async def let_go(self) -> None:
        """Close while nobody here uses it; the next question opens it again."""
        self._received.clear()
        self._late.clear()
        await self._link.drop()

    async def aclose(self) -> None:
        """Close for good; what is on its way ends with NoAnswer."""
        await self._link.aclose()

    # --- being watched ---

    def status(self) -> LineStatus:
        now = asyncio.get_running_loop().time()
        return LineStatus(
            address=str(self._address),
            connected=self._link.connected,
            elapsed_s=0.0 if self._made_at is None else now - self._made_at,
            wanted_s=self._turns.wanted_s(now=now),
            wire_s=None,
            ideal_s=None,
            probing_s=self.stations.quarantine.probing_s,
            in_flight=self._pipelining.proved,
            connections=self._link.connections,
            stations=self.stations.status(now=now),
        )

    def frames(self, *, now: datetime, station: str | None = None) -> str:
        title = f"{self._address}, Modbus TCP written as serial frames"
        loop_s = asyncio.get_running_loop().time()
        return self.recorder.text(title, at=now, loop_s=loop_s, station=station)

    # --- how many at once ---

    def _may_join(self, request: Request, others: Sequence[Request]) -> bool:
        """With those on their way already; a slave that was silent is asked alone."""
        if any(self.stations[one.station].misses for one in (request, *others)):
            return False
        return len(others) < self._pipelining.proved or self._is_a_proof(request, others)

    def _is_a_proof(self, request: Request, others: Sequence[Request]) -> bool:
        """Only questions, and no two whose answers are of one length."""
        asked = [request, *others]
        lengths = {one.reply_bytes for one in asked}
        reads = all(one.words is None for one in asked)
        return reads and len(lengths) == len(asked) <= self._pipelining.trying

    def _judge(self, asked: _Asked, *, others: bool, proof: bool) -> None:
        """Whether the gateway has shown that it keeps questions apart, or that it does not."""
        busy = asked.reply is not None and asked.reply.exception == BUSY
        if asked.misfits or (others and (asked.reply is None or busy)):
            self._pipelining.doubted()
        elif proof:
            self._pipelining.kept_apart()
        self._turns.deepen(self._pipelining.trying)

    # --- one transaction ---

    def _check_rest(self, request: Request, urgency: Urgency) -> None:
        now = asyncio.get_running_loop().time()
        self.stations.check(request.station, now=now, urgent=urgency is Urgency.TOKEN)

    async def _transact(self, request: Request) -> Reply:
        others = [one.request for one in self._in_flight.values()]
        proof = len(others) + 1 == self._pipelining.trying and self._is_a_proof(request, others)
        asked = _Asked(request, self._next_number(), request.station)
        self._in_flight[asked.number] = asked
        try:
            await self._send_and_wait(asked)
        except NotSent as exc:
            raise NotSent(f"{request}: {exc}") from exc
        finally:
            del self._in_flight[asked.number]
        self._judge(asked, others=bool(others or self._in_flight), proof=proof and bool(others))
        return self._told(asked)

    async def _send_and_wait(self, asked: _Asked) -> None:
        transport = await self._ready()
        asked.sent, asked.sent_at = True, asyncio.get_running_loop().time()
        self.stations[asked.station].requests += 1
        try:
            frame = self._framing.encode(asked.request, asked.number)
            await transport.write(frame, timeout=WRITE_TIMEOUT_S)
            # Behind others on a serial line each has to wait for those before it.
            patience_s = self.stations.ceiling_s * len(self._in_flight)
            await self._wait(asked, transport, asked.sent_at + patience_s)
        except (TransportLost, TimeoutError) as exc:
            await self._lose(exc)

    async def _wait(self, asked: _Asked, transport: Transport, until: float) -> None:
        """Until its reply is in, or its time is over; one of those who wait reads for all."""
        loop = asyncio.get_running_loop()
        while asked.reply is None and asked.error is None and loop.time() < until:
            left_s = until - loop.time()
            try:
                if self._reader is None:
                    await self._read(asked, transport, left_s)
                else:
                    async with asyncio.timeout(left_s):
                        await asked.nudged.wait()
                    asked.nudged.clear()
            except TimeoutError:
                return

    async def _read(self, asked: _Asked, transport: Transport, left_s: float) -> None:
        self._reader = asked
        try:
            self._received += await transport.read(READ_BYTES, timeout=left_s)
            self._deal_out()
        except Garbled as exc:
            await self._lose(exc)
        finally:
            self._reader = None
            for other in self._in_flight.values():
                other.nudged.set()

    def _deal_out(self) -> None:
        """Give each whole frame to whom it answers. Raises Garbled."""
        for number, frame in self._framing.split(self._received):
            asked = self._in_flight.get(number)
            if asked is None:
                self._came_late(number)
                continue
            reply = self._framing.reply(frame, asked.request, number)
            if reply is None:
                asked.misfits += 1
            else:
                asked.reply, asked.frame = reply, frame

    def _came_late(self, number: int) -> None:
        late = self._late.pop(number, None)
        if late is not None:
            now = asyncio.get_running_loop().time()
            delay_s = now - late.sent_at
            self.stations.answered_late(late.station, delay_s=delay_s, now=now)

    async def _lose(self, exc: Exception) -> None:
        """The connection is of no more use; nobody on it has an answer to come."""
        for asked in self._in_flight.values():
            if asked.sent:
                asked.error = exc
        self._received.clear()
        await self._link.drop()

    async def _ready(self) -> Transport:
        """The open connection, with nothing unread on it; raises NotSent."""
        async with self._opening:
            for tries_left in (1, 0):
                if not self._link.connected:
                    self._received.clear()
                transport = await self._link.transport()
                try:
                    await self._take_in(transport)
                except (TransportLost, Garbled) as exc:
                    # Gateways close idle connections: then it went away while nobody used it.
                    await self._lose(exc)
                    if not tries_left:
                        raise NotSent(str(exc)) from exc
                else:
                    break
            return transport

    async def _take_in(self, transport: Transport) -> None:
        """What came since the last question was answered: late replies, or an end."""
        came = 0
        while self._reader is None and came <= BABBLE_BYTES:
            try:
                piece = await transport.read(READ_BYTES, timeout=0)
            except TimeoutError:
                return
            came += len(piece)
            self._received += piece
            self._deal_out()
        if came > BABBLE_BYTES:
            raise Garbled("the other end talks unasked and does not stop")

    def _next_number(self) -> int:
        self._number = self._number % NUMBERS + 1
        return self._number

    # --- what came of it ---

    def _told(self, asked: _Asked) -> Reply:
        now = asyncio.get_running_loop().time()
        name, took_s = asked.station, now - asked.sent_at
        if asked.error is not None:
            self._keep(asked, took_s, str(asked.error))
            raise NoAnswer(f"{asked.request}: {asked.error}") from asked.error
        if asked.reply is None:
            self._late[asked.number] = asked
            if len(self._late) > LATE_MAX:
                self._late.popitem(last=False)
            if asked.misfits:
                self.stations.garbled(name, spent_s=took_s, now=now)
                self._keep(asked, took_s, "a reply to another question came")
                raise NoAnswer(f"{asked.request}: what came was no reply to it")
            self.stations.silent(name, spent_s=took_s, now=now)
            self._keep(asked, took_s)
            raise NoAnswer(f"{asked.request}: no reply within {took_s:.3g} s")
        self._link.works()
        self._keep(asked, took_s)
        if asked.reply.exception in ABSENT:
            self.stations.silent(name, spent_s=took_s, now=now)
        else:
            self.stations.answered(name, delay_s=took_s, spent_s=took_s, now=now)
        return asked.reply

    def _keep(self, asked: _Asked, took_s: float, remark: str = "") -> None:
        request = asked.request
        self.recorder.keep(
            Recorded(
                station=asked.station,
                what=request,
                sent=self._framing.encode(request.for_show, asked.number),
                heard=asked.frame,
                sent_at=asked.sent_at,
                took_s=took_s,
                remark=remark,
                secret=request.shown is not None,
            )
        )


def _as_serial(frame: bytes) -> bytes:
    """As a serial line would have it; numbers mean nothing when it is replayed."""
    return serial_frame(frame[6:])
