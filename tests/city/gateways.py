"""Gateways of the city: the simulated ones, on the city's broker, that can boot again."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from adapters.simulators import gateway_messages as messages
from adapters.simulators.gateway_memory import CommandMemory
from adapters.simulators.mqtt_meter import Broker as Address
from adapters.simulators.mqtt_meter import MqttGateway
from headend.ports import Clock
from tests.city.broker import Broker, GatewayLine, Sent, gateway_line
from tests.city.meters import CityMeter

LOOK_S = 2.0
READING_S = 60.0


class _Gateway(MqttGateway):
    """A simulated gateway whose client is one of the city's broker."""

    def __init__(self, broker: Broker, name: str, meters: Mapping[str, CityMeter], **more: Any):
        super().__init__(
            name,
            meters,
            broker=Address(),
            reading_interval_s=READING_S,
            look_s=LOOK_S,
            **more,
        )
        self._city_broker = broker

    def _client(self) -> Any:
        will = Sent(f"{self._root}/status", messages.status(False, None))
        return gateway_line(self._city_broker, f"sim-{self.name}", will)

    async def _lose_network(self, client: Any) -> None:
        await self._offline.wait()
        assert isinstance(client, GatewayLine)
        client.drop()


class CityGateway:
    """One gateway that stays when it boots again; its disk is kept, unless it forgets."""

    def __init__(
        self,
        broker: Broker,
        name: str,
        meters: Mapping[str, CityMeter],
        *,
        tenant: str,
        clock: Clock,
    ) -> None:
        self.name = name
        self._make = lambda memory: _Gateway(
            broker, name, meters, tenant=tenant, clock=clock, memory=memory
        )
        self._gateway = self._make(CommandMemory())
        self._boot = asyncio.Event()

    def set_online(self, online: bool) -> None:
        self._gateway.set_online(online)

    def reboot(self, *, forgets: bool) -> None:
        """Begin anew; what it was doing is lost."""
        memory = CommandMemory() if forgets else self._gateway.memory
        self._gateway = self._make(memory)
        self._boot.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._boot.clear()
            async with _in_background(self._gateway):
                await self._boot.wait()


@asynccontextmanager
async def _in_background(gateway: MqttGateway) -> AsyncIterator[None]:
    running = asyncio.get_running_loop().create_task(gateway.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait([running])
