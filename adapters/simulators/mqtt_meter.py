"""A simulated gateway with meters on an MQTT broker: the topics and rules of docs/mqtt.md.

Persistent session, last will, births, states, readings, events; a command is answered twice and
acted on once. It reconnects by itself, and nothing that is received can end it.
"""

import asyncio
import math
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from enum import StrEnum, unique
from typing import Annotated

import aiomqtt
import msgspec
import paho.mqtt.client as paho
import structlog
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from adapters.simulators import gateway_messages as messages
from adapters.simulators.gateway_commands import GatewayCommands, failed
from adapters.simulators.gateway_memory import CommandMemory
from adapters.simulators.gateway_messages import (
    Command,
    Fields,
    Heading,
    Malformed,
    NoCommand,
    encode,
    milliseconds,
    parse_command,
)
from adapters.simulators.meter import SimulatedMeter
from headend.ports import Clock

log = structlog.get_logger(__name__)

ROOT = "amr/v1"
KEEPALIVE_S = 15
RECONNECT_S = 1.0
SESSION_EXPIRY_S = 14 * 24 * 3600
ANSWER_S = 10.0
LAST_WORDS_S = 1.0
MAX_RUNNING = 200
MAX_QUEUED = 1000
# Verbs that change something; the others only ask.
COMMANDS = frozenset({"token", "relay", "clock"})

_new_properties: Callable[[int], Properties] = Properties  # published without types


@unique
class MqttVersion(StrEnum):
    """Protocol versions that a gateway may speak."""

    V311 = "3.1.1"
    V5 = "5"


class Broker(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the broker is, and how to speak to it."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 1883
    username: str | None = None
    password: str | None = None
    version: MqttVersion = MqttVersion.V5

    def __repr__(self) -> str:
        return f"Broker({self.host}:{self.port})"


class MqttGateway:
    """One gateway. `run` it in a task; `set_online(False)` is a gateway without its network.

    `meters` by meter number. `look_s` is how often it looks at its meters for news. A gateway of
    older firmware has fewer `verbs`.
    """

    def __init__(
        self,
        name: str,
        meters: Mapping[str, SimulatedMeter],
        *,
        tenant: str,
        broker: Broker,
        clock: Clock,
        memory: CommandMemory | None = None,
        reading_interval_s: float = 60.0,
        look_s: float = 0.5,
        verbs: Collection[str] = messages.VERBS,
    ) -> None:
        self.name = name
        self.meters = meters
        self.memory = CommandMemory() if memory is None else memory
        self.dropped = 0
        self._root = f"{ROOT}/{tenant}/{name}"
        self._broker = broker
        self._clock = clock
        self._reading_interval_s = reading_interval_s
        self._look_s = look_s
        self._verbs = tuple(verbs)
        self._commands = GatewayCommands(clock, self.memory, verbs=verbs)
        self._running: set[tuple[str, str]] = set()
        self._heading = Heading("b1")
        self._told: dict[str, int] = {}
        self._states: dict[str, Fields] = {}
        self._silent: set[str] = set()
        self._online = asyncio.Event()
        self._online.set()
        self._offline = asyncio.Event()
        self.connected = asyncio.Event()

    def set_online(self, online: bool) -> None:
        """Take the network away without a farewell, or give it back."""
        (self._offline if online else self._online).clear()
        (self._online if online else self._offline).set()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        while True:
            await self._online.wait()
            try:
                async with self._client() as client:
                    await self._converse(client)
            except* aiomqtt.MqttError as lost:
                log.info("simulated gateway lost its broker", gateway=self.name, why=str(lost))
            finally:
                self.connected.clear()
            await asyncio.sleep(RECONNECT_S)

    def _client(self) -> aiomqtt.Client:
        v5 = self._broker.version is MqttVersion.V5
        properties = _new_properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        will = aiomqtt.Will(f"{self._root}/status", messages.status(False, None), 1, True)
        return aiomqtt.Client(
            self._broker.host,
            self._broker.port,
            username=self._broker.username,
            password=self._broker.password,
            identifier=f"sim-{self.name}",
            protocol=aiomqtt.ProtocolVersion.V5 if v5 else aiomqtt.ProtocolVersion.V311,
            clean_session=None if v5 else False,
            clean_start=False if v5 else paho.MQTT_CLEAN_START_FIRST_ONLY,
            properties=properties if v5 else None,
            will=will,
            keepalive=KEEPALIVE_S,
            max_queued_incoming_messages=MAX_QUEUED,
        )

    async def _converse(self, client: aiomqtt.Client) -> None:
        client.pending_calls_threshold = MAX_RUNNING
        await _patiently(client.subscribe(f"{self._root}/+/cmd/+", qos=1, timeout=math.inf))
        await self._tell_status(client, online=True)
        self._states.clear()
        self.connected.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._lose_network(client))
                tasks.create_task(self._report(client))
                async for message in client.messages:
                    if len(self._running) >= MAX_RUNNING:
                        self.dropped += 1
                        continue
                    tasks.create_task(self._hear(client, message))
        except asyncio.CancelledError:
            with suppress(aiomqtt.MqttError, TimeoutError):
                async with asyncio.timeout(LAST_WORDS_S):
                    await self._tell_status(client, online=False)
            raise

    async def _lose_network(self, client: aiomqtt.Client) -> None:
        """Cut the connection without a farewell: the broker then speaks our last will."""
        await self._offline.wait()
        if isinstance(wire := client._client.socket(), socket.socket):
            wire.shutdown(socket.SHUT_RDWR)

    async def _tell_status(self, client: aiomqtt.Client, *, online: bool) -> None:
        payload = messages.status(online, self._clock.now())
        await self._publish(client, "status", payload, retain=True)

    # --- commands --------------------------------------------------------------------------------

    async def _hear(self, client: aiomqtt.Client, message: aiomqtt.Message) -> None:
        *_, number, _, verb = message.topic.value.split("/")
        try:
            command = parse_command(message.payload, meter=number, verb=verb)
        except NoCommand:
            self.dropped += 1
            return
        except Malformed as malformed:
            await self._tell(client, number, verb, malformed.command_id, failed("malformed"))
            return
        answer = self._at_once(command, number, retained=message.retain)
        if answer is not None:
            await self._tell(client, number, verb, command.id, answer)
            return
        self._running.add((number, command.id))
        try:
            await self._tell(client, number, verb, command.id, {"state": "received"})
            await self._answer(client, command, self.meters[number])
        finally:
            self._running.discard((number, command.id))

    def _at_once(self, command: Command, number: str, *, retained: bool) -> Fields | None:
        """The answer to a command that is not to be carried out, or None."""
        if retained:
            return failed("retained")
        if number not in self.meters:
            return failed("unknown_meter")
        if (number, command.id) in self._running:
            return {"state": "running"}
        remembered = self.memory.find(number, command.id)
        if remembered is not None:
            return remembered
        if command.exp is not None and command.exp < milliseconds(self._clock.now()):
            return failed("expired")
        return None

    async def _answer(
        self, client: aiomqtt.Client, command: Command, meter: SimulatedMeter
    ) -> None:
        try:
            result = await self._commands.carry_out(command, meter)
        except Malformed:
            result = failed("malformed")
        request = str(command.args.get("request")) if command.verb == "token" else None
        self.memory.keep(meter.drn, command.id, result, request=request)
        faults = meter.faults
        fate = faults.next_command_fate() if command.verb in COMMANDS else faults.next_fate()
        if fate.lost:
            return
        await asyncio.sleep(fate.delay_s)
        await self._tell(client, meter.drn, command.verb, command.id, result, garbled=fate.garbled)

    async def _tell(
        self,
        client: aiomqtt.Client,
        number: str,
        verb: str,
        command_id: str,
        result: Fields,
        *,
        garbled: bool = False,
    ) -> None:
        head = {"v": messages.VERSION, "cmd": command_id, "verb": verb}
        payload = encode(head | {"ts": milliseconds(self._clock.now())} | result)
        if garbled:
            payload = payload[:-1] + b"\xff"
        await self._publish(client, f"{number}/res/{command_id}", payload)

    # --- news ------------------------------------------------------------------------------------

    async def _report(self, client: aiomqtt.Client) -> None:
        loop = asyncio.get_running_loop()
        read_at = loop.time()
        born: set[str] = set()
        while True:
            reading = loop.time() >= read_at
            for meter in self.meters.values():
                meter.advance(self._clock.now())
                if meter.faults.silent or not meter.powered:
                    born.discard(meter.drn)
                    continue
                if meter.drn not in born:
                    born.add(meter.drn)
                    birth = messages.birth(self._verbs)
                    await self._say(client, meter, "birth", birth, retain=True)
                await self._report_of(client, meter, reading=reading)
            if reading:
                read_at += self._reading_interval_s
            await asyncio.sleep(self._look_s)

    async def _report_of(
        self, client: aiomqtt.Client, meter: SimulatedMeter, *, reading: bool
    ) -> None:
        for record in meter.events.since(self._told.get(meter.drn, 0) + 1):
            await self._say(client, meter, f"event/{record.type:04x}", messages.event(record))
            self._told[meter.drn] = record.number
        state = messages.state(meter)
        news = {name: state[name] for name in ("supply", "conditions")}
        if reading or self._states.get(meter.drn) != news:
            await self._say(client, meter, "state", state, retain=True)
            self._states[meter.drn] = news
        if reading:
            values: Fields = {"q": "good", "values": messages.values(meter)}
            await self._say(client, meter, "reading/basic", values)

    async def _say(
        self,
        client: aiomqtt.Client,
        meter: SimulatedMeter,
        topic: str,
        told: Fields,
        *,
        retain: bool = False,
    ) -> None:
        heading = self._heading.next(meter, self._clock.now())
        await self._publish(client, f"{meter.drn}/{topic}", encode(heading | told), retain=retain)

    async def _publish(
        self, client: aiomqtt.Client, topic: str, payload: bytes, *, retain: bool = False
    ) -> None:
        whole = f"{self._root}/{topic}"
        await _patiently(client.publish(whole, payload, qos=1, retain=retain, timeout=math.inf))


async def _patiently(answer: Awaitable[object]) -> None:
    """Wait for the broker, but not for ever; raises MqttError.

    The client's own time-out rests on a `wait_for` that up to Python 3.11 can swallow a
    cancellation, and a gateway that is told to end must end.
    """
    try:
        async with asyncio.timeout(ANSWER_S):
            await answer
    except TimeoutError as exc:
        raise aiomqtt.MqttError("the broker does not answer") from exc
