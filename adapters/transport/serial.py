"""Serial ports as transports. Opening one may take long, so a thread does it."""

import asyncio
import termios
from contextlib import suppress

from serial import Serial
from serial_asyncio_fast import connection_for_serial

from adapters.transport.address import SerialAddress
from adapters.transport.pipe import BytePipe

_WRONG_SETTINGS = (ValueError, termios.error)


class SerialPipe(BytePipe):
    """A serial port. Satisfies `base.Transport` and `base.Tunable`."""

    def __init__(self, name: str, port: Serial) -> None:
        super().__init__(name)
        self._port = port

    def tune(self, address: SerialAddress) -> None:
        self._port.baudrate = address.baud
        self._port.bytesize = address.bits
        self._port.parity = address.parity
        self._port.stopbits = address.stop


async def open_serial(address: SerialAddress) -> BytePipe:
    """Open the port for us alone; raises OSError."""
    opening = asyncio.ensure_future(asyncio.to_thread(_open, address))
    try:
        port = await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close_unwanted)
        raise
    try:
        wire, pipe = await connection_for_serial(
            asyncio.get_running_loop(), lambda: SerialPipe(str(address), port), port
        )
    except (OSError, *_WRONG_SETTINGS) as exc:
        port.close()
        raise OSError(f"{address.path} does not take its settings: {exc}") from exc
    assert isinstance(pipe, BytePipe)
    try:
        return await pipe.opened()
    except asyncio.CancelledError:
        wire.abort()
        raise


def _open(address: SerialAddress) -> Serial:
    try:
        port = Serial(
            address.path,
            baudrate=address.baud,
            parity=address.parity,
            stopbits=address.stop,
            bytesize=address.bits,
            timeout=0,
            exclusive=True,
        )
    except (OSError, *_WRONG_SETTINGS) as exc:
        raise OSError(f"{address.path}: {exc}") from exc
    # USB adapters hold what they receive for 16 ms unless told otherwise; others cannot be told.
    with suppress(ValueError, OSError, NotImplementedError):
        port.set_low_latency_mode(True)
    return port


def _close_unwanted(opening: asyncio.Future[Serial]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
