"""One connection to a broker: aiomqtt with acknowledgement by hand. aiomqtt lives here only.

aiomqtt acknowledges a message before anybody has it, and loses it when its queue is full. Here the
paho client beneath hands each message over unacknowledged, and `acknowledge` follows the commit.
Who has no room pauses reading: the broker then waits, and what is done is still acknowledged.
Knows nothing of topics, queues or reconnecting.
"""

import asyncio
import logging
import ssl
import struct
from collections.abc import Callable, Sequence
from typing import Any

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.exception import MQTTException
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from adapters.mqtt.address import BrokerAddress, MqttVersion
from adapters.mqtt.inbound import Acknowledgements, Inbound
from headend.errors import Misconfigured, NoAnswer, NotSent

KEEPALIVE_S = 15
# A broker under load may take seconds for a TLS handshake.
CONNECT_TIMEOUT_S = 10
PUBLISH_TIMEOUT_S = 10
# Behind all that the broker has kept for our session.
SUBSCRIBE_TIMEOUT_S = 60
CLOSE_TIMEOUT_S = 1
# The broker keeps our session while we are away: a long weekend and more.
SESSION_EXPIRY_S = 14 * 86_400
MAX_PACKET = 128 * 1024
_MAX_WINDOW = 65_535
_FAILURE = 0x80
_NO_SUBSCRIBER = 0x10
# CONNACK reason codes of MQTT 5 (paho translates those of 3.1.1) that time does not heal.
_OUR_FAULT = frozenset({0x81, 0x82, 0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C})
# What paho trips over when the line breaks or the peer is no broker: ends this connection only.
_BROKEN = (OSError, ValueError, LookupError, TypeError, struct.error, MQTTException)
_QUIET = logging.getLogger("adapters.mqtt.paho")
_QUIET.setLevel(logging.CRITICAL)  # what matters of it comes back as an error of ours

_new_properties: Callable[[int], Properties] = Properties  # published without types

# Takes one message from within the network loop; False when there is no room for another.
Hear = Callable[[Inbound], bool]


class AckingClient(aiomqtt.Client):
    """One connection, used once: `connect`, `listen_to`, `publish_to`, `lost`, `aclose`."""

    def __init__(self, broker: BrokerAddress, *, client_id: str, window: int, hear: Hear) -> None:
        v5 = broker.version is MqttVersion.V5
        super().__init__(
            broker.host,
            broker.port,
            username=broker.username,
            password=broker.password,
            logger=_QUIET,
            identifier=client_id,
            protocol=aiomqtt.ProtocolVersion.V5 if v5 else aiomqtt.ProtocolVersion.V311,
            clean_session=None if v5 else False,
            clean_start=False if v5 else paho.MQTT_CLEAN_START_FIRST_ONLY,
            properties=_connect_properties(window) if v5 else None,
            timeout=CONNECT_TIMEOUT_S,
            keepalive=KEEPALIVE_S,
            tls_context=broker.tls,
        )
        self._broker = broker
        self._v5 = v5
        self._most_owed = 2 * window + 1_000
        self._paused = False
        self._hear = hear
        self._acks = Acknowledgements(lambda packet_id: self._client.ack(packet_id, 1))
        self._answers: dict[int, asyncio.Future[int]] = {}
        self._dropping = False
        self._client.manual_ack_set(True)
        self._disconnected.add_done_callback(_look_at)

    async def connect(self) -> None:
        """Connect; raises NotSent, Misconfigured."""
        entering = asyncio.ensure_future(self.__aenter__())
        try:
            await asyncio.shield(entering)
        except asyncio.CancelledError:
            # The thread that connects cannot be stopped, only its end awaited (5 s at most).
            self._fail_connecting("cancelled")
            await asyncio.wait([entering])
            if not entering.cancelled():
                entering.exception()
            raise
        except aiomqtt.MqttCodeError as exc:
            code = exc.rc.value if isinstance(exc.rc, ReasonCode) else exc.rc
            kind = Misconfigured if code in _OUR_FAULT else NotSent
            raise kind(f"the broker {self._broker} refuses us: {exc}") from exc
        except aiomqtt.MqttError as exc:
            raise NotSent(f"the broker {self._broker} cannot be reached: {exc}") from exc
        self._disconnected.add_done_callback(_look_at)  # aiomqtt may have made a new one

    async def listen_to(self, filters: Sequence[str], *, always: str) -> None:
        """Subscribe at QoS 1; raises NotSent, Misconfigured.

        On MQTT 5 retained messages come with a new subscription only, those of `always` each time.
        """
        wanted = (
            [(topic, self._options(again=topic == always)) for topic in filters]
            if self._v5
            else [(topic, 1) for topic in filters]
        )
        subscribing = asyncio.ensure_future(self.subscribe(wanted, timeout=SUBSCRIBE_TIMEOUT_S))
        try:
            await self._first_of(subscribing, timeout_s=SUBSCRIBE_TIMEOUT_S)
            codes = subscribing.result() if subscribing.done() else ()
        except aiomqtt.MqttError as exc:
            raise NotSent(f"the broker {self._broker} does not answer: {exc}") from exc
        finally:
            subscribing.cancel()
        if not codes:
            raise NotSent(f"the connection to the broker {self._broker} is lost")
        for topic, code in zip(filters, [_number(code) for code in codes], strict=True):
            if code >= _FAILURE:
                raise Misconfigured(f"the broker {self._broker} does not let us read {topic}")

    async def publish_to(
        self, topic: str, payload: bytes, *, expiry_s: int, reply: str, correlation: bytes
    ) -> None:
        """Publish at QoS 1, not retained, and wait for the broker's PUBACK.

        Raises NotSent (nothing left, or nobody is subscribed), NoAnswer (it may have gone),
        Misconfigured (the broker forbids it).
        """
        properties = _publish_properties(expiry_s, reply, correlation) if self._v5 else None
        info = self._client.publish(topic, payload, 1, False, properties)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise NotSent(f"not connected to the broker {self._broker}")
        answer: asyncio.Future[int] = self._loop.create_future()
        self._answers[info.mid] = answer
        try:
            await self._first_of(answer, timeout_s=PUBLISH_TIMEOUT_S)
        finally:
            del self._answers[info.mid]
        if not answer.done():
            raise NoAnswer(f"the broker {self._broker} did not acknowledge a command")
        self._judge(answer.result())

    async def lost(self) -> None:
        """Wait until the connection is gone."""
        await asyncio.wait([self._disconnected])

    def resume(self) -> None:
        """There is room again: read on."""
        sock = self._client.socket()
        if not self._paused or sock is None:
            return
        self._paused = False
        self._loop.add_reader(sock.fileno(), self._read)
        self._loop.call_soon(self._read)  # what TLS has decrypted makes no socket readable

    def drop(self) -> None:
        """Leave; what is not acknowledged the broker keeps for our session."""
        self._dropping = True
        self._client.disconnect()

    async def aclose(self) -> None:
        """Leave and free the socket, whatever state the connection is in."""
        self._acks.close()
        try:
            if self._connected.done() and not self._disconnected.done():
                self.drop()
                await asyncio.wait([self._disconnected], timeout=CLOSE_TIMEOUT_S)
        finally:
            self._client._sock_close()
            if self._misc_task is not None:
                self._misc_task.cancel()

    def _options(self, *, again: bool) -> SubscribeOptions:
        handling = (
            SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE
            if again
            else SubscribeOptions.RETAIN_SEND_IF_NEW_SUB
        )
        return SubscribeOptions(qos=1, retainHandling=handling)

    async def _first_of(self, answer: asyncio.Future[Any], *, timeout_s: float) -> None:
        """Wait for the broker's answer, the end of the connection, or too long."""
        await asyncio.wait(
            {answer, self._disconnected},
            timeout=timeout_s,
            return_when=asyncio.FIRST_COMPLETED,
        )

    def _judge(self, code: int) -> None:
        if code == _NO_SUBSCRIBER:
            raise NotSent("the gateway has no session at the broker")
        if code >= _FAILURE:
            raise Misconfigured(f"the broker {self._broker} forbids a command, reason {code}")

    def _fail_connecting(self, why: str) -> None:
        if not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttError(why))

    # --- called by paho ------------------------------------------------------------------------

    def _client_connect(self) -> None:
        try:
            super()._client_connect()
        except ssl.SSLCertVerificationError as exc:
            raise Misconfigured(
                f"the certificate of the broker {self._broker} is not trusted:"
                f" {exc.verify_message}; name its authority with cafile="
            ) from exc

    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        if self._dropping:
            return
        done = self._acks.owe(message.mid) if message.qos else _nothing
        inbound = Inbound(_topic(message), bytes(message.payload), message.retain, done)
        if not self._hear(inbound) or len(self._acks) > self._most_owed:
            self._pause()

    def _on_publish(
        self,
        client: paho.Client,
        userdata: Any,
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,
    ) -> None:
        answer = self._answers.get(mid)
        if answer is not None and not answer.done():
            answer.set_result(reason_code.value)

    def _on_socket_open(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        def arm() -> None:
            if sock.fileno() >= 0:
                self._loop.add_reader(sock.fileno(), self._read)
                self._misc_task = self._loop.create_task(self._misc_loop())

        self._loop.call_soon_threadsafe(arm)

    def _pause(self) -> None:
        """Stop reading; the keep-alive ends a pause of more than twice its time."""
        sock = self._client.socket()
        if sock is not None:
            self._paused = True
            self._loop.remove_reader(sock.fileno())

    def _read(self) -> None:
        try:
            self._client.loop_read()
            while not self._paused and self._decrypted():
                self._client.loop_read()
        except _BROKEN as exc:
            if not self._disconnected.done():
                self._disconnected.set_exception(exc)

    def _decrypted(self) -> bool:
        sock = self._client.socket()
        return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0

    def _on_socket_register_write(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        # Called from the thread that connects, too. By the time the loop comes to it, the socket
        # may be closed and its number be another's.
        def arm() -> None:
            if sock.fileno() >= 0:
                self._loop.add_writer(sock.fileno(), self._write)

        self._loop.call_soon_threadsafe(arm)

    def _write(self) -> None:
        try:
            self._client.loop_write()
        except _BROKEN as exc:
            if not self._disconnected.done():
                self._disconnected.set_exception(exc)

    def _on_disconnect(
        self,
        client: paho.Client,
        userdata: Any,
        flags: paho.DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        self._fail_connecting(
            "it closed the connection; one without MQTT 5 needs version=3.1.1 in its URL"
            if self._v5
            else "it closed the connection"
        )
        super()._on_disconnect(client, userdata, flags, reason_code, properties)


def _connect_properties(window: int) -> Properties:
    properties = _new_properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = SESSION_EXPIRY_S
    properties.ReceiveMaximum = min(window, _MAX_WINDOW)
    properties.MaximumPacketSize = MAX_PACKET
    return properties


def _publish_properties(expiry_s: int, reply: str, correlation: bytes) -> Properties:
    properties = _new_properties(PacketTypes.PUBLISH)
    properties.MessageExpiryInterval = expiry_s
    properties.ResponseTopic = reply
    properties.CorrelationData = correlation
    properties.ContentType = "application/json"
    properties.PayloadFormatIndicator = 1
    return properties


def _topic(message: paho.MQTTMessage) -> str:
    try:
        return message.topic
    except UnicodeDecodeError:
        return ""  # no topic of ours: dropped as nonsense


def _number(code: int | ReasonCode) -> int:
    return code.value if isinstance(code, ReasonCode) else code


def _nothing() -> None:
    """Nothing is acknowledged at QoS 0."""


def _look_at(ended: asyncio.Future[None]) -> None:
    """Take the exception out, or asyncio complains that nobody did."""
    if not ended.cancelled():
        ended.exception()
