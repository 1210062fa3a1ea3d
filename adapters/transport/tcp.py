"""TCP connections as transports."""

import asyncio
import socket

from adapters.transport.address import TcpAddress
from adapters.transport.pipe import BytePipe

# A gateway that was switched off says nothing: ask it after half a minute of silence, and give up
# on it after three questions.
KEEPALIVE_IDLE_S = 30
KEEPALIVE_INTERVAL_S = 10
KEEPALIVE_PROBES = 3


async def open_tcp(address: TcpAddress) -> BytePipe:
    """Connect; raises OSError."""
    loop = asyncio.get_running_loop()
    wire, pipe = await loop.create_connection(
        lambda: BytePipe(str(address)), address.host, address.port
    )
    connection = wire.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
    return await pipe.opened()
