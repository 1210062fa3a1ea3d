"""ModbusLine: registers of the units of one line, whatever the way there is.

On a serial line and inside a transparent serial server the frames are RTU, on a line that other
dialects may share; on Modbus TCP they go through a gateway that numbers them. Whose turn it is, how
long is waited and what is too late, the owner of the way decides.
"""

from datetime import datetime
from enum import StrEnum, unique
from typing import Protocol

from adapters.modbus.exceptions import error_of
from adapters.modbus.frames import Reply, Request, RtuFraming, Table, station_of
from adapters.modbus.gateway import ABSENT, Gateway
from adapters.transport.address import SerialAddress
from adapters.transport.exchange import Exchange
from adapters.transport.line import QUIET_S, TIMEOUT_S, Line
from adapters.transport.link import Opener
from adapters.transport.opening import open_transport
from headend.agenda import Urgency
from headend.lines import LineStatus, WatchedLine
from protocols.modbus.blocks import DELAY_S, Pace, Span

IN_FLIGHT = 4


@unique
class LineFraming(StrEnum):
    """How frames travel: serial framing (also inside TCP), or Modbus TCP."""

    RTU = "rtu"
    TCP = "tcp"


class Way(WatchedLine, Protocol):
    """How a request gets to a unit and its reply back; raises NotSent, Resting, NoAnswer."""

    @property
    def connections(self) -> int:
        """How often it was opened."""

    def pace(self, station: str) -> Pace:
        """What reading this slave costs, by its delay as measured so far."""

    async def ask(self, request: Request, *, urgency: Urgency) -> Reply: ...

    async def let_go(self) -> None:
        """Close it while nobody uses it; the next question opens it again."""

    async def aclose(self) -> None: ...


class RtuWay:
    """Modbus as one dialect of a line."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._framing = RtuFraming()

    @property
    def connections(self) -> int:
        return self._line.connections

    def pace(self, station: str) -> Pace:
        delay_s = self._line.stations.delay_s(station) or DELAY_S
        match self._line.address:
            case SerialAddress(baud=baud) as port:
                return Pace.serial(baud, character_s=port.character_s, delay_s=delay_s)
            case _:
                return Pace.tcp(delay_s=delay_s)

    async def let_go(self) -> None:
        await self._line.let_go()

    async def aclose(self) -> None:
        await self._line.aclose()

    def status(self) -> LineStatus:
        return self._line.status()

    def frames(self, *, now: datetime, station: str | None = None) -> str:
        return self._line.frames(now=now, station=station)

    async def ask(self, request: Request, *, urgency: Urgency) -> Reply:
        framing = self._framing
        return await self._line.ask(
            Exchange(
                station=request.station,
                request=framing.encode(request),
                reply_bytes=framing.reply_bytes(request),
                answer=lambda heard: framing.find(heard, request),
                what=request,
                shown=None if request.shown is None else framing.encode(request.for_show),
                absent=lambda reply: reply.exception in ABSENT,
            ),
            urgency=urgency,
        )


class ModbusLine:
    """One RS485 line or one Modbus TCP address, shared by up to 247 units.

    `url` is an address of `adapters.transport`; `timeout_s` the longest that a meter may take to
    begin its reply, `quiet_s` how much longer a late reply may take, `in_flight` how many questions
    a Modbus TCP gateway may ever be asked at once. Every method raises the errors of
    `headend.errors` and no others.
    """

    def __init__(
        self,
        url: str,
        *,
        framing: LineFraming | str = LineFraming.RTU,
        timeout_s: float = TIMEOUT_S,
        quiet_s: float = QUIET_S,
        in_flight: int = IN_FLIGHT,
        opener: Opener = open_transport,
    ) -> None:
        self.way: Way
        match LineFraming(framing):
            case LineFraming.RTU:
                line = Line(url, timeout_s=timeout_s, quiet_s=quiet_s, opener=opener)
                self.way = RtuWay(line)
            case LineFraming.TCP:
                self.way = Gateway(url, timeout_s=timeout_s, in_flight=in_flight, opener=opener)

    @classmethod
    def on(cls, line: Line) -> "ModbusLine":
        """Modbus on a line that other dialects share."""
        shared = cls.__new__(cls)
        shared.way = RtuWay(line)
        return shared

    @property
    def connections(self) -> int:
        """How often the way was opened; another number may mean another meter."""
        return self.way.connections

    def pace(self, unit: int) -> Pace:
        """What reading this unit costs."""
        return self.way.pace(station_of(unit))

    async def read(
        self, unit: int, table: Table, span: Span, *, urgency: Urgency = Urgency.READING
    ) -> tuple[int, ...]:
        """Read registers, as many as asked for."""
        return (await self._ask(Request(unit, table, span), urgency)).words

    async def write(
        self,
        unit: int,
        start: int,
        words: tuple[int, ...],
        *,
        urgency: Urgency = Urgency.SUPPLY,
        shown: tuple[int, ...] | None = None,
    ) -> None:
        """Write holding registers with one FC16. Returns when the unit has received them.

        Where `words` hold a secret, `shown` takes their place in recordings.
        """
        span = Span(start, len(words))
        await self._ask(Request(unit, Table.HOLDING, span, words, shown), urgency)

    async def aclose(self) -> None:
        """Close for good; a transaction under way ends with NoAnswer."""
        await self.way.aclose()

    async def _ask(self, request: Request, urgency: Urgency) -> Reply:
        reply = await self.way.ask(request, urgency=urgency)
        if reply.exception:
            raise error_of(reply.exception, request, reading=request.words is None)
        return reply
