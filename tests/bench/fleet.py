"""The meters of the bench, in a process of their own: `python -m tests.bench.fleet PORT`.

Each has its gateway on the broker at that port. It prints one line when all are connected.
"""

import asyncio
import signal
import sys

from adapters.clock import WallClock
from adapters.simulators.fleet import Fleet
from adapters.simulators.fleet_description import (
    FleetDescription,
    GatewayDescription,
    MeterDescription,
)
from adapters.simulators.mqtt_meter import Broker

METERS = 200
BUS = "broker"
# A real decoder takes a moment to judge a token.
PROCESSING_S = 0.05
# Nothing is pushed but what a recharge causes.
A_DAY_S = 86_400


def description(port: int) -> FleetDescription:
    """The same fleet, meter numbers and all, each time it is asked for."""
    return FleetDescription(
        gateways=tuple(
            GatewayDescription(name=f"gateway-{number:03d}", bus=BUS) for number in range(METERS)
        ),
        broker=Broker(port=port),
        meters=MeterDescription(load=0, processing_s=PROCESSING_S),
        reading_interval_s=A_DAY_S,
    )


async def serve(port: int) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with Fleet(description(port), clock=WallClock()) as fleet:
        await fleet.connected()
        print(f"{len(fleet.meters)} meters connected", flush=True)
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
