"""The process of the embedded broker: amqtt on loopback, bounded, ending with its standard input.

A user name must be given by whoever connects, any will do: amqtt keeps nothing for the nameless.
"""

import argparse
import asyncio
import contextlib
import logging
import resource
import sys

from amqtt.broker import Broker

from adapters.mqtt.loopback import HOST, READY

MEMORY_LIMIT = 1024 * 1024 * 1024
MAX_CONNECTIONS = 500
# A session that has not been seen for a day was a demo that is over.
SESSION_EXPIRY_S = 86_400
STOP_TIMEOUT_S = 2.0


async def serve(port: int) -> None:
    """Be the broker until standard input ends, which it does with the parent."""
    broker = Broker(
        {
            "listeners": {
                "default": {
                    "type": "tcp",
                    "bind": f"{HOST}:{port}",
                    "max_connections": MAX_CONNECTIONS,
                }
            },
            "session_expiry_interval": SESSION_EXPIRY_S,
            "plugins": {
                "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": False}
            },
        }
    )
    await broker.start()
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    await asyncio.to_thread(sys.stdin.buffer.read)
    async with asyncio.timeout(STOP_TIMEOUT_S):
        await broker.shutdown()


def main() -> None:
    """`python -m adapters.mqtt.demo_broker --port 1883`; ends with its standard input."""
    parser = argparse.ArgumentParser(
        prog="python -m adapters.mqtt.demo_broker",
        description="MQTT 3.1.1 broker on loopback; ends when its standard input ends.",
        epilog="example: python -m adapters.mqtt.demo_broker --port 1883",
    )
    parser.add_argument("--port", type=int, required=True, help="TCP port on 127.0.0.1")
    port = parser.parse_args().port
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    with contextlib.suppress(TimeoutError):
        asyncio.run(serve(port))


if __name__ == "__main__":
    main()
