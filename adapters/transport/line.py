"""Line: the one owner of a half-duplex line, whatever dialects are spoken on it.

One exchange at a time, the most urgent first. It keeps the silence that frames need between them,
takes off the echo of adapters that hear themselves, waits for each slave as long as that one needs,
lets silent slaves rest, opens the port again when it was lost, and records.

A reply on such a line carries no number, so one that comes late would look like the answer to the
next question. After each question without an answer (silence, misfit, cancelled, connection lost)
its slave is therefore held: it is asked no more until the late reply has come, or the slowest reply
ever seen would have come. Others go on; a reply names its slave. Where it does not (`addressed`),
nobody is asked.

Retries are not the line's business: a lost answer is told at once, and whoever asked decides.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from math import inf

from adapters.transport.address import Address, SerialAddress, parse_address
from adapters.transport.base import TransportLost
from adapters.transport.ear import BABBLE_BYTES, Ear
from adapters.transport.exchange import Answer, Exchange, Garbled, R, strip_echo
from adapters.transport.holds import Holds
from adapters.transport.link import Link, Opener
from adapters.transport.opening import open_transport
from adapters.transport.recorder import Recorded, Recorder
from adapters.transport.stations import Stations
from adapters.transport.turns import Turns
from adapters.transport.wire import Wire
from headend.agenda import Urgency
from headend.errors import NoAnswer, NotSent
from headend.lines import LineStatus

# The slowest reply published takes 220 ms and patient masters give 500; gateways add their own.
TIMEOUT_S = 1.0
QUIET_S = 1.0
# Nobody waits longer than this for one late reply, however late the last one was.
QUIET_MAX_S = 30.0
# A serial adapter hands up what it has at least so often (USB adapters by default every 16 ms);
# a network may hold up a piece for any time.
GAP_S = 0.05
SHORTEST_REPLY_BYTES = 5
# While a late reply is listened for, others are let in so often.
LISTEN_S = 0.02
# Where every slave is silent it may be the port; opening it again may help, and costs little.
REOPEN_S = 30.0


class Line:
    """One RS485 line, or a transparent serial server, shared by many slaves.

    `url` is an address of `adapters.transport`; `timeout_s` the longest that a slave is given to
    begin its reply (the time on the wire is added), `quiet_s` how much longer a late reply may
    take. Raises the errors of `headend.errors` and no others.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = TIMEOUT_S,
        quiet_s: float = QUIET_S,
        opener: Opener = open_transport,
    ) -> None:
        self._address = parse_address(url)
        self._wire = Wire(self._address)
        self._link = Link(self._address, opener)
        self._ear = Ear(self._link, self._wire)
        self._turns = Turns[str]()
        self._holds = Holds()
        self._quiet_s = quiet_s
        self._echoes = False
        self._made_at: float | None = None
        near = isinstance(self._address, SerialAddress)
        self.stations = Stations(ceiling_s=timeout_s, near=near)
        self.recorder = Recorder()

    @property
    def address(self) -> Address:
        """What the line is reached by."""
        return self._address

    @property
    def connections(self) -> int:
        """How often it was opened."""
        return self._link.connections

    async def ask(self, exchange: Exchange[R], *, urgency: Urgency = Urgency.READING) -> R:
        """Have one question answered, when its turn comes; the turn ends with it.

        Raises NotSent (nothing left us), Resting (the slave is in quarantine), NoAnswer.
        """
        await self._turn_to_ask(exchange.station, urgency)
        try:
            return await self._exchange(exchange)
        finally:
            self._turns.release(exchange.station)

    @asynccontextmanager
    async def run(
        self, station: str, *, urgency: Urgency = Urgency.READING
    ) -> AsyncIterator["Run"]:
        """The line for several exchanges that must not be parted; everybody else waits for it."""
        await self._turn_to_ask(station, urgency)
        try:
            yield Run(self)
        finally:
            if isinstance(self._address, SerialAddress):
                self._ear.tune(self._address)
            self._turns.release(station)

    async def let_go(self) -> None:
        """Close while nobody here uses it; the next question opens it again."""
        await self._ear.drop()

    async def aclose(self) -> None:
        """Close for good; an exchange under way ends with NoAnswer."""
        await self._link.aclose()

    # --- being watched (satisfies headend.lines.WatchedLine) ---

    def status(self) -> LineStatus:
        now = asyncio.get_running_loop().time()
        used_s, ideal_s = self._wire.sums
        return LineStatus(
            address=str(self._address),
            connected=self._link.connected,
            elapsed_s=0.0 if self._made_at is None else now - self._made_at,
            wanted_s=self._turns.wanted_s(now=now),
            wire_s=used_s,
            ideal_s=ideal_s,
            probing_s=self.stations.quarantine.probing_s,
            in_flight=1,
            connections=self._link.connections,
            stations=self.stations.status(now=now),
        )

    def frames(self, *, now: datetime, station: str | None = None) -> str:
        loop_s = asyncio.get_running_loop().time()
        title = str(self._address)
        if isinstance(self._address, SerialAddress):
            port = self._address
            title = f"{port}, {port.baud} {port.bits}{port.parity}{port.stop}"
        return self.recorder.text(title, at=now, loop_s=loop_s, station=station)

    # --- whose turn it is ---

    async def _turn_to_ask(self, station: str, urgency: Urgency) -> None:
        """Take a turn in which this slave may be asked: no late reply is to come of it."""
        loop = asyncio.get_running_loop()
        if self._made_at is None:
            self._made_at = loop.time()
        while True:
            self._check_rest(station, urgency)
            await self._turns.take(station, urgency)
            try:
                self._check_rest(station, urgency)
                hold = self._holds.against(station, now=loop.time())
                if hold is None:
                    return
                if not self._turns.wanted:
                    await self._listen(min(hold.until, loop.time() + LISTEN_S))
            except BaseException:
                self._turns.release(station)
                raise
            self._turns.release(station)
            if self._turns.taken:
                await asyncio.sleep(min(LISTEN_S, max(0.0, hold.until - loop.time())))

    def _check_rest(self, station: str, urgency: Urgency) -> None:
        now = asyncio.get_running_loop().time()
        self.stations.check(station, now=now, urgent=urgency is Urgency.TOKEN)

    async def _listen(self, until: float) -> None:
        """Hear what comes until then, or until a late reply is in."""
        loop = asyncio.get_running_loop()
        if not self._ear.open:
            await asyncio.sleep(max(0.0, until - loop.time()))
            return
        try:
            while (came := await self._ear.more(until)) and not self._late_reply_came(came):
                del self._ear.heard[:-BABBLE_BYTES]
        except TransportLost:
            await self._ear.drop()

    def _late_reply_came(self, came: int, *, asked: str | None = None) -> bool:
        """With the last piece, of so many bytes."""
        now = asyncio.get_running_loop().time()
        since = max(0, len(self._ear.heard) - came)
        late = self._holds.take_late(self._ear.heard, since, now=now, asked=asked)
        if late is None:
            return False
        hold, count = late
        delay_s = now - hold.sent_at - self._wire.takes_s(count)
        self.stations.answered_late(hold.station, delay_s=delay_s, now=now)
        return True

    # --- the exchange ---

    async def _exchange(self, exchange: Exchange[R], *, then: SerialAddress | None = None) -> R:
        """The answer comes at the speed `then`, if that is another."""
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        try:
            await self._ready()
        except NotSent as exc:
            raise NotSent(f"{exchange}: {exc}") from exc
        sent_at = loop.time() + self._wire.takes_s(len(exchange.request))
        # Until the reply is here it may come at any time, whatever becomes of us meanwhile.
        self._hold(exchange, sent_at)
        self.stations[exchange.station].requests += 1
        try:
            await self._ear.send(exchange.request)
            if then is not None:
                await asyncio.sleep(max(0.0, sent_at - loop.time()))
                self._ear.tune(then)
            found = await self._answer(exchange, sent_at)
        except (TransportLost, TimeoutError) as exc:
            self._keep(exchange, b"", sent_at, "the connection was lost")
            await self._ear.drop()
            raise NoAnswer(f"{exchange}: the connection was lost: {exc}") from exc
        except Garbled as exc:
            self._failed(exchange, began_at, sent_at)
            await self._ear.drop()
            raise NoAnswer(f"{exchange}: {exc}") from exc
        if found is None:
            raise self._failed(exchange, began_at, sent_at)
        self._holds.release(exchange.station)
        self._link.works()
        self._answered(exchange, found, began_at, sent_at)
        return found[0]

    async def _ready(self) -> None:
        """The line open, and silent for long enough; raises NotSent."""
        now = asyncio.get_running_loop().time()
        if self.stations.all_rest and now - self._link.opened_at > REOPEN_S:
            await self._ear.drop()
        for tries_left in (1, 0):
            await self._ear.connect()
            try:
                await self._silence()
            except TransportLost as exc:
                # Servers close idle connections: then it went away while nobody used it.
                await self._ear.drop()
                if not tries_left:
                    raise NotSent(str(exc)) from exc
            else:
                return

    async def _silence(self) -> None:
        """Wait for the silence before a frame; what comes meanwhile is late, or noise."""
        loop = asyncio.get_running_loop()
        patience = loop.time() + self.stations.ceiling_s
        while came := await self._ear.silence():
            self._late_reply_came(came)
            del self._ear.heard[:-BABBLE_BYTES]
            if loop.time() > patience:
                raise NotSent("the line is never silent: somebody else talks on it")

    async def _answer(self, exchange: Exchange[R], sent_at: float) -> Answer[R] | None:
        """The reply and where it ends, or None when its time is over."""
        loop = asyncio.get_running_loop()
        timeout_s = exchange.timeout_s or self.stations.timeout_s(exchange.station)
        until = latest = sent_at + timeout_s + self._reply_s(exchange)
        over = inf if exchange.whole_s is None else sent_at + exchange.whole_s
        heard, stripped = self._ear.heard, False
        while loop.time() < over and (came := await self._ear.more(min(until, over))):
            stripped = stripped or self._take_off_echo(exchange)
            since = max(0, len(heard) - came)
            if exchange.ended(heard, since) and (found := exchange.answer(bytes(heard))):
                return found
            if len(heard) > exchange.reply_bytes + BABBLE_BYTES:
                return None
            self._late_reply_came(came, asked=exchange.station)
            until = self._patience_until(exchange, latest)
        return None

    def _take_off_echo(self, exchange: Exchange[R]) -> bool:
        if (exchange.mirrored and not self._echoes) or len(self._ear.heard) > BABBLE_BYTES:
            return False
        stripped = strip_echo(self._ear.heard, exchange.request)
        self._echoes |= stripped
        return stripped

    def _patience_until(self, exchange: Exchange[R], latest: float) -> float:
        """How long more is waited for, after what was heard and is no reply."""
        now = asyncio.get_running_loop().time()
        if exchange.gap_s is not None:
            return now + exchange.gap_s
        if len(self._ear.heard) >= SHORTEST_REPLY_BYTES and self._wire.character_s:
            # It has spoken, and what it said is garbled: nothing better will follow.
            return min(latest, now + self._wire.silence_s + GAP_S)
        # Nothing yet, or another's late reply: what it said says nothing of this one.
        return latest

    def _hold(self, exchange: Exchange[R], sent_at: float) -> None:
        longest_s = exchange.timeout_s or self.stations.ceiling_s
        slowest_s = self.stations[exchange.station].delays.slowest_s
        quiet_s = min(max(self._quiet_s, slowest_s), QUIET_MAX_S)
        until = sent_at + longest_s + self._reply_s(exchange) + quiet_s
        self._holds.add(exchange, sent_at=sent_at, until=until)

    def _reply_s(self, exchange: Exchange[R]) -> float:
        """How long the reply is on the wire; of one of unknown length, the longest gap in it."""
        if exchange.gap_s is not None:
            return exchange.gap_s
        return self._wire.takes_s(exchange.reply_bytes)

    # --- what came of it ---

    def _answered(
        self, exchange: Exchange[R], found: Answer[R], began_at: float, sent_at: float
    ) -> None:
        now = asyncio.get_running_loop().time()
        name, (value, end) = exchange.station, found
        heard = bytes(self._ear.heard[:end])
        # Before the reply may be an echo that noise has changed, and so was not taken off.
        reply = heard if exchange.shown is None else self._reply_alone(exchange, heard)
        self._keep(exchange, reply, sent_at)
        if exchange.absent(value):
            self.stations.silent(name, spent_s=now - began_at, now=now)
            return
        delay_s = now - sent_at - self._wire.takes_s(end)
        self.stations.answered(name, delay_s=delay_s, spent_s=now - began_at, now=now)
        usual_s = self.stations[name].delays.median_s or 0.0
        self._wire.used(len(exchange.request) + end, delay_s=usual_s)

    def _reply_alone(self, exchange: Exchange[R], heard: bytes) -> bytes:
        ends = (heard[at:] for at in reversed(range(len(heard))))
        return next(one for one in ends if exchange.answer(one) is not None)

    def _failed(self, exchange: Exchange[R], began_at: float, sent_at: float) -> NoAnswer:
        """Count a question without an answer, and say what is known of it."""
        now = asyncio.get_running_loop().time()
        name, heard = exchange.station, bytes(self._ear.heard)
        if not heard:
            self.stations.silent(name, spent_s=now - began_at, now=now)
            self._keep(exchange, heard, sent_at)
            return NoAnswer(f"{exchange}: no reply within {now - sent_at:.3g} s")
        self.stations.garbled(name, spent_s=now - began_at, now=now)
        self._keep(exchange, heard, sent_at, "no reply to it")
        if exchange.whole_s is not None and now - sent_at >= exchange.whole_s:
            return NoAnswer(f"{exchange}: its answer has no end within {exchange.whole_s:g} s")
        if len(heard) > exchange.reply_bytes + BABBLE_BYTES:
            return NoAnswer(f"{exchange}: the line babbles")
        return NoAnswer(f"{exchange}: {len(heard)} bytes came, but no reply to it")

    def _keep(self, exchange: Exchange[R], heard: bytes, sent_at: float, remark: str = "") -> None:
        self.recorder.keep(
            Recorded(
                station=exchange.station,
                what=exchange.what,
                sent=exchange.request if exchange.shown is None else exchange.shown,
                heard=heard,
                sent_at=sent_at,
                took_s=asyncio.get_running_loop().time() - sent_at,
                remark=remark,
                secret=exchange.shown is not None,
            )
        )


class Run:
    """A line taken for several exchanges in a row."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._speed = line._address

    async def ask(self, exchange: Exchange[R], *, answered_at: int | None = None) -> R:
        """`answered_at`: the speed in baud of its answer, and of the line from then on.

        Raises NotSent, NoAnswer; after the latter the run is over.
        """
        if answered_at is None or not isinstance(self._speed, SerialAddress):
            return await self._line._exchange(exchange)
        self._speed = replace(self._speed, baud=answered_at)
        return await self._line._exchange(exchange, then=self._speed)

    def tune(self, *, baud: int, bits: int = 8, parity: str = "N", stop: int = 1) -> None:
        """Another speed for the rest of the run; a network takes no notice."""
        if isinstance(self._speed, SerialAddress):
            speed = replace(self._speed, baud=baud, bits=bits, parity=parity, stop=stop)
            self._line._ear.tune(speed)
            self._speed = speed
