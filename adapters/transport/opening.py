"""From an address to an open transport."""

import asyncio

from adapters.transport.address import Address, SerialAddress, TcpAddress
from adapters.transport.base import Transport
from adapters.transport.serial import open_serial
from adapters.transport.tcp import open_tcp

OPEN_TIMEOUT_S = 5.0


async def open_transport(address: Address) -> Transport:
    """Open it; raises OSError (TimeoutError is one) when nobody is there."""
    async with asyncio.timeout(OPEN_TIMEOUT_S):
        match address:
            case TcpAddress():
                return await open_tcp(address)
            case SerialAddress():
                return await open_serial(address)
