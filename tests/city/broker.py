"""An MQTT broker in memory: sessions that outlive connections, and messages that do as they like.

At least once, as QoS 1 is: what is not acknowledged is sent again on the next connection. Faults
duplicate, delay and reorder. `Link` is the head-end's end, `Line` a gateway's.
"""

import asyncio
import random
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import aiomqtt

from adapters.mqtt.broker import pause_s
from adapters.mqtt.inbound import Acknowledgements, Inbound
from headend.errors import NoAnswer, NotSent, WireError
from headend.ports import Chance
from tests.city.lives import CityLoop, Life

HOP_S = 0.02
PUBACK_S = 10.0
CONNECT_S = 5.0
# One and a half keep-alives: then a silent client is taken for gone.
KEEPALIVE_S = 22.0
QUEUE_LIMIT = 2_000


@dataclass
class Weather:
    """What happens to messages on their way to a client; chances of one message."""

    down: bool = False
    doubles: float = 0.0
    overtakes: float = 0.0
    delays: float = 0.0
    delay_s: float = 60.0
    hop_s: float = HOP_S


@dataclass(frozen=True, slots=True)
class Sent:
    """One message."""

    topic: str
    payload: bytes
    retained: bool = False


@dataclass(eq=False)
class Connection:
    """One client's connection. `hear` takes a message with its packet id, `lost` its end."""

    session: "Session"
    hear: Callable[[Sent, int], None]
    lost: asyncio.Future[None]
    will: Sent | None = None
    open: bool = True
    clear_at: float = 0.0


@dataclass
class Session:
    """What the broker keeps of a client."""

    client: str
    filters: tuple[str, ...] = ()
    waiting: deque[Sent] = field(default_factory=deque)
    unacknowledged: OrderedDict[int, Sent] = field(default_factory=OrderedDict)
    connection: Connection | None = None


class Broker:
    """All sessions and retained messages; they outlive every outage."""

    def __init__(
        self, loop: CityLoop, luck: random.Random, *, told: Callable[[str, str], None]
    ) -> None:
        self.loop = loop
        self.luck = luck
        self.weather = Weather()
        self.told = told
        self._sessions: dict[str, Session] = {}
        self._retained: dict[str, Sent] = {}
        self._packets = count(1)

    # --- connections ---------------------------------------------------------------------------

    async def connect(
        self, client: str, hear: Callable[[Sent, int], None], *, will: Sent | None = None
    ) -> Connection:
        """A connection; one of the same client before it is ended. Raises NotSent."""
        await asyncio.sleep(self.weather.hop_s * 2)
        if self.weather.down:
            await asyncio.sleep(CONNECT_S)
            raise NotSent("the broker cannot be reached")
        session = self._sessions.setdefault(client, Session(client))
        if session.connection is not None:
            self.cut(session.connection)
        session.connection = Connection(session, hear, self.loop.create_future(), will)
        return session.connection

    def subscribe(self, connection: Connection, filters: Sequence[str]) -> None:
        """Begin to deliver: retained messages, what was not acknowledged, what has waited."""
        session = connection.session
        session.filters = tuple(filters)
        for sent in self._retained.values():
            if _matches(session.filters, sent.topic):
                self._deliver(connection, sent)
        again = list(session.unacknowledged.values())
        session.unacknowledged.clear()
        waited, session.waiting = [*again, *session.waiting], deque()
        for sent in waited:
            self._deliver(connection, sent)

    def cut(self, connection: Connection, *, farewell: bool = False) -> None:
        """The connection ends; without a farewell the broker speaks its last will."""
        if not connection.open:
            return
        connection.open = False
        if connection.session.connection is connection:
            connection.session.connection = None
        if not connection.lost.done():
            connection.lost.set_result(None)
        if connection.will is not None and not farewell and not self.weather.down:
            self.publish(connection.will.topic, connection.will.payload, retain=True)

    def fall(self) -> None:
        """The broker is away: every connection ends."""
        self.weather.down = True
        for session in self._sessions.values():
            if session.connection is not None:
                self.cut(session.connection)

    # --- messages ------------------------------------------------------------------------------

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """Take a message in; to how many sessions it goes."""
        sent = Sent(topic, payload)
        if retain:
            self._retained[topic] = Sent(topic, payload, retained=True)
        reached = [one for one in self._sessions.values() if _matches(one.filters, topic)]
        for session in reached:
            if session.connection is not None:
                self._deliver(session.connection, sent)
            else:
                session.waiting.append(sent)
        return len(reached)

    def acknowledge(self, connection: Connection, packet: int) -> None:
        """A client has it for good."""
        if connection.open:
            connection.session.unacknowledged.pop(packet, None)

    def _deliver(self, connection: Connection, sent: Sent) -> None:
        packet = next(self._packets)
        connection.session.unacknowledged[packet] = sent
        at = self._arrival(connection, sent)
        self.loop.later(at - self.loop.time(), self._arrive, connection, sent, packet)
        if self.luck.random() < self.weather.doubles:
            self.told("duplicate", f"a message comes twice: {_short(sent.topic)}")
            again = at + self.luck.random() * 3
            self.loop.later(again - self.loop.time(), self._arrive, connection, sent, packet)

    def _arrival(self, connection: Connection, sent: Sent) -> float:
        weather, luck = self.weather, self.luck.random()
        earliest = self.loop.time() + weather.hop_s * (0.5 + self.luck.random())
        if luck < weather.overtakes:
            self.told("reorder", f"a message is overtaken: {_short(sent.topic)}")
            return earliest + 2 * self.luck.random()
        if luck < weather.overtakes + weather.delays:
            late_s = weather.delay_s * self.luck.random()
            self.told("delay", f"a message comes {late_s:.0f} s late: {_short(sent.topic)}")
            return earliest + late_s
        connection.clear_at = max(connection.clear_at, earliest)
        return connection.clear_at

    def _arrive(self, connection: Connection, sent: Sent, packet: int) -> None:
        if connection.open:
            connection.hear(sent, packet)


def _matches(filters: Sequence[str], topic: str) -> bool:
    levels = topic.split("/")
    for wanted in filters:
        pattern = wanted.split("/")
        if len(pattern) == len(levels) and all(
            one in ("+", level) for one, level in zip(pattern, levels, strict=True)
        ):
            return True
    return False


def _short(topic: str) -> str:
    return "/".join(topic.split("/")[3:])


# --- the head-end's end ---------------------------------------------------------------------------


class Link:
    """What `MqttDriver` asks of an `MqttLink`, on this broker."""

    def __init__(
        self, broker: Broker, life: Life, *, client_id: str, filters: Sequence[str], chance: Chance
    ) -> None:
        self._broker = broker
        self._life = life
        self._client_id = client_id
        self._filters = filters
        self._chance = chance
        self._queue: deque[Inbound] = deque()
        self._filled = asyncio.Event()
        self._connection: Connection | None = None
        self._acks: Acknowledgements | None = None
        life.at_death(self._cut)

    @property
    def connected(self) -> bool:
        return self._connection is not None and self._connection.open

    async def run(self) -> None:
        """Connect, again and again, until cancelled."""
        failures = 0
        while True:
            began = self._broker.loop.time()
            with suppress(WireError):
                await self._stay()
            failures = 1 if self._broker.loop.time() - began > 30 else failures + 1
            await asyncio.sleep(pause_s(failures, spread=self._chance.spread()))

    async def publish(
        self, topic: str, payload: bytes, *, expiry_s: int, reply: str, correlation: bytes
    ) -> None:
        """Publish one command; raises NotSent, NoAnswer."""
        self._life.require()
        connection = self._connection
        if connection is None or not connection.open:
            raise NotSent("not connected to the broker")
        answer: asyncio.Future[int] = self._broker.loop.create_future()
        self._broker.loop.later(
            self._broker.weather.hop_s, self._reach, connection, topic, payload, answer
        )
        either: set[asyncio.Future[Any]] = {answer, connection.lost}
        await asyncio.wait(either, timeout=PUBACK_S, return_when=asyncio.FIRST_COMPLETED)
        self._life.require()
        if not answer.done():
            raise NoAnswer("the broker did not acknowledge a command")
        if not answer.result():
            raise NotSent("the gateway has no session at the broker")

    async def take(self, limit: int) -> Sequence[Inbound]:
        """What waits, oldest first, at most `limit`; waits for one."""
        while not self._queue:
            self._filled.clear()
            await self._filled.wait()
        return [self._queue.popleft() for _ in range(min(limit, len(self._queue)))]

    def redeliver(self) -> None:
        """Let the broker send again whatever is not acknowledged."""
        self._cut()

    def hangs(self) -> None:
        """The process hangs: after the keep-alive the broker takes it for gone."""

        def silent() -> None:
            if not self._life.running:
                self._cut()

        self._broker.loop.later(KEEPALIVE_S, silent)

    async def _stay(self) -> None:
        self._life.require()
        acks: list[Acknowledgements] = []

        def hear(sent: Sent, packet: int) -> None:
            if len(self._queue) >= QUEUE_LIMIT:
                self._cut()
                return
            done = acks[0].owe(packet)
            self._queue.append(Inbound(sent.topic, sent.payload, sent.retained, done))
            self._filled.set()

        connection = await self._broker.connect(self._client_id, hear)
        acks.append(Acknowledgements(lambda packet: self._acknowledge(connection, packet)))
        self._acks, self._connection = acks[0], connection
        try:
            self._broker.subscribe(connection, self._filters)
            await asyncio.wait([connection.lost])
        finally:
            if not self._life.dead:
                acks[0].close()
                self._broker.cut(connection, farewell=True)

    def _acknowledge(self, connection: Connection, packet: int) -> None:
        if not self._life.dead:
            self._broker.loop.later(HOP_S, self._broker.acknowledge, connection, packet)

    def _reach(
        self, connection: Connection, topic: str, payload: bytes, answer: "asyncio.Future[int]"
    ) -> None:
        if self._broker.weather.down:
            return
        reached = self._broker.publish(topic, payload)

        def acknowledged() -> None:
            if connection.open and not answer.done():
                answer.set_result(reached)

        self._broker.loop.later(self._broker.weather.hop_s, acknowledged)

    def _cut(self) -> None:
        if self._connection is not None:
            self._broker.cut(self._connection, farewell=True)


# --- a gateway's end ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Topic:
    """As aiomqtt has it."""

    value: str


@dataclass(frozen=True, slots=True)
class Message:
    """As aiomqtt has it."""

    topic: Topic
    payload: bytes
    retain: bool


class GatewayLine:
    """What a simulated gateway asks of its aiomqtt client, on this broker."""

    def __init__(self, broker: Broker, connection: Connection, queue: "asyncio.Queue[Sent | None]"):
        self.pending_calls_threshold = 0
        self._client = self
        self._broker = broker
        self._connection = connection
        self._queue = queue

    def socket(self) -> None:
        """No socket: `drop` is how its network goes."""

    def drop(self) -> None:
        """The network is gone without a farewell."""
        self._broker.cut(self._connection)

    async def subscribe(self, topic: str, **more: object) -> None:
        self._require()
        self._broker.subscribe(self._connection, (topic,))

    async def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, **more: object
    ) -> None:
        self._require()
        await asyncio.sleep(self._broker.weather.hop_s)
        self._require()
        self._broker.publish(topic, payload, retain=retain)

    @property
    async def messages(self) -> AsyncIterator[Message]:
        while True:
            sent = await self._queue.get()
            if sent is None:
                raise aiomqtt.MqttError("the connection is lost")
            yield Message(Topic(sent.topic), sent.payload, sent.retained)

    def _require(self) -> None:
        if not self._connection.open:
            raise aiomqtt.MqttError("the connection is lost")


@asynccontextmanager
async def gateway_line(broker: Broker, client: str, will: Sent) -> AsyncIterator[GatewayLine]:
    """One connection of a gateway; raises MqttError."""
    queue: asyncio.Queue[Sent | None] = asyncio.Queue()
    connections: list[Connection] = []

    def hear(sent: Sent, packet: int) -> None:
        broker.acknowledge(connections[0], packet)
        queue.put_nowait(sent)

    try:
        connection = await broker.connect(client, hear, will=will)
    except NotSent as error:
        raise aiomqtt.MqttError(str(error)) from error
    connections.append(connection)
    connection.lost.add_done_callback(lambda lost: queue.put_nowait(None))
    try:
        yield GatewayLine(broker, connection, queue)
    finally:
        broker.cut(connection, farewell=True)
