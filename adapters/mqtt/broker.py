"""The link to a broker: kept up for ever, nothing lost on it.

Messages wait in a bounded queue and are acknowledged by whoever took them, after the commit. When
the queue is full we stop reading, and go on once half of it is taken. A pause too long for the
keep-alive ends the connection; our session at the broker keeps what we did not acknowledge and
sends it again. Merely dropping the connection would not do: a broker that repeats more than the
queue holds would begin with the same messages for ever.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

import structlog

from adapters.mqtt.address import BrokerAddress
from adapters.mqtt.client import AckingClient
from adapters.mqtt.counts import CONNECTED, CONNECTIONS, PAUSES
from adapters.mqtt.inbound import Inbound
from headend.errors import NotSent, WireError
from headend.ports import Chance

QUEUE_LIMIT = 2_000
RETRY_FIRST_S = 0.5
RETRY_MAX_S = 30.0
# A connection that lasted this long was a good one: the next try comes soon.
STEADY_S = 30.0

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class MqttLink:
    """One session at one broker under a fixed client id; `run` keeps it up."""

    def __init__(
        self,
        broker: BrokerAddress,
        *,
        client_id: str,
        filters: Sequence[str],
        chance: Chance,
        queue_limit: int = QUEUE_LIMIT,
    ) -> None:
        assert queue_limit >= 2
        self._broker = broker
        self._client_id = client_id
        self._filters = filters
        self._chance = chance
        self._limit = queue_limit
        self._queue: deque[Inbound] = deque()
        self._filled = asyncio.Event()
        self._roomy = asyncio.Event()
        self._roomy.set()
        self._up = asyncio.Event()
        self._client: AckingClient | None = None
        self._fault: WireError = NotSent(f"not connected to the broker {broker} yet")

    @property
    def connected(self) -> bool:
        return self._up.is_set()

    @property
    def waiting(self) -> int:
        """Messages that nobody has taken yet."""
        return len(self._queue)

    @property
    def fault(self) -> WireError:
        """Why we are not connected, or were not last time; new each time, to be raised."""
        return type(self._fault)(str(self._fault))

    async def wait_connected(self) -> None:
        """Wait until commands can be sent."""
        await self._up.wait()

    async def run(self) -> None:
        """Connect, again and again, until cancelled; faults are logged and told to `publish`."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            started_s = loop.time()
            try:
                await self._stay_connected()
            except WireError as error:
                self._note(error)
            failures = 1 if loop.time() - started_s > STEADY_S else failures + 1
            await self._roomy.wait()
            await asyncio.sleep(pause_s(failures, spread=self._chance.spread()))

    async def publish(
        self, topic: str, payload: bytes, *, expiry_s: int, reply: str, correlation: bytes
    ) -> None:
        """Publish one command at QoS 1; the broker has it, which is not delivery.

        Raises NotSent (nothing left us), NoAnswer (it may have gone), Misconfigured (the broker
        refuses our login or the topic).
        """
        if self._client is None or not self._up.is_set():
            raise self.fault
        await self._client.publish_to(
            topic, payload, expiry_s=expiry_s, reply=reply, correlation=correlation
        )

    async def take(self, limit: int) -> Sequence[Inbound]:
        """What waits, oldest first, at most `limit`; waits for one."""
        while not self._queue:
            self._filled.clear()
            await self._filled.wait()
        batch = [self._queue.popleft() for _ in range(min(limit, len(self._queue)))]
        if len(self._queue) <= self._limit // 2:
            self._roomy.set()
            if self._client is not None:
                self._client.resume()
        return batch

    def redeliver(self) -> None:
        """Let the broker send again whatever is not acknowledged, by connecting anew."""
        if self._client is not None:
            self._client.drop()

    async def _stay_connected(self) -> None:
        self._client = client = AckingClient(
            self._broker, client_id=self._client_id, window=self._limit // 2, hear=self._hear
        )
        try:
            await client.connect()
            await client.listen_to(self._filters, always=self._filters[0])
            self._opened()
            await client.lost()
            raise NotSent(f"the connection to the broker {self._broker} is lost")
        finally:
            self._closed()
            await client.aclose()

    def _opened(self) -> None:
        self._up.set()
        CONNECTIONS.labels(str(self._broker)).inc()
        CONNECTED.labels(str(self._broker)).set(1)
        log.info("connected to broker", broker=str(self._broker))

    def _closed(self) -> None:
        self._client = None
        self._up.clear()
        CONNECTED.labels(str(self._broker)).set(0)

    def _note(self, error: WireError) -> None:
        if str(error) != str(self._fault):
            log.warning("no broker", broker=str(self._broker), error=str(error))
        self._fault = type(error)(str(error))  # without what its traceback holds

    def _hear(self, message: Inbound) -> bool:
        """Queue one message, from within the network loop; False when that was the last place."""
        self._queue.append(message)
        self._filled.set()
        if len(self._queue) < self._limit:
            return True
        self._roomy.clear()
        PAUSES.inc()
        return False


def pause_s(failures: int, *, spread: float) -> float:
    """How long to wait before connecting again; `spread` is in [0, 1)."""
    longest_s: float = min(RETRY_FIRST_S * 2 ** min(failures - 1, 10), RETRY_MAX_S)
    return longest_s * (0.5 + spread / 2)
