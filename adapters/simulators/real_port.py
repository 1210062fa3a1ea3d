"""A real serial port with simulated meters behind it."""

import asyncio
from collections.abc import Callable

from serial import Serial
from serial_asyncio_fast import connection_for_serial

from adapters.transport.address import SerialAddress


async def serve_port(address: SerialAddress, way_in: Callable[[], asyncio.Protocol]) -> None:
    """Let a protocol hear and answer there. Raises OSError."""
    port = await asyncio.to_thread(
        Serial,
        address.path,
        baudrate=address.baud,
        parity=address.parity,
        stopbits=address.stop,
        bytesize=address.bits,
        timeout=0,
    )
    await connection_for_serial(asyncio.get_running_loop(), way_in, port)
