"""Serial ports as transports. Opening or closing one may hang, so a thread of its own does it."""

import asyncio
import termios
from contextlib import suppress
from dataclasses import replace

from serial import Serial
from serial_asyncio_fast import connection_for_serial

from adapters.transport.address import SerialAddress
from adapters.transport.pipe import BytePipe
from adapters.transport.port_threads import PortThreads

_WRONG_SETTINGS = (ValueError, termios.error)
_FRAMING = termios.CSIZE | termios.PARENB
_BITS = {5: termios.CS5, 6: termios.CS6, 7: termios.CS7, 8: termios.CS8}
# Ports belong to the machine, not to a line.
_THREADS = PortThreads()
# The pool that all share waits no longer for a port to close.
CLOSE_WAIT_S = 1.0


class Port(Serial):
    """A port whose closing holds nobody up."""

    _closing = False

    def close(self) -> None:
        if self.is_open and not self._closing:
            self._closing = True
            _THREADS.close(str(self.port), super().close, within_s=CLOSE_WAIT_S)


class SerialPipe(BytePipe):
    """A serial port. Satisfies `base.Transport` and `base.Tunable`."""

    def __init__(self, name: str, port: Serial) -> None:
        super().__init__(name)
        self._port = port
        self._parity_by_hand = False

    def tune(self, address: SerialAddress) -> None:
        """Where a port has no 7E1 it takes 8N1, and what is written carries its parity in the top
        bit: the same on the wire. A port that is gone says so to whoever reads it.
        """
        by_hand = (address.bits, address.parity) == (7, "E") and not self._takes(address)
        self._parity_by_hand = by_hand
        self._takes(replace(address, bits=8, parity="N") if by_hand else address)

    async def write(self, data: bytes, *, timeout: float) -> None:
        if self._parity_by_hand:
            data = bytes(byte | byte.bit_count() % 2 << 7 for byte in data)
        await super().write(data, timeout=timeout)

    def _takes(self, address: SerialAddress) -> bool:
        wanted = {
            "bytesize": address.bits,
            "parity": address.parity,
            "stopbits": address.stop,
            "baudrate": address.baud,
        }
        for name, value in wanted.items():
            # What is refused now is kept, and tried again together with the next.
            with suppress(OSError, *_WRONG_SETTINGS):
                setattr(self._port, name, value)
        with suppress(OSError, *_WRONG_SETTINGS):
            # A driver that takes a part of the settings is content; ask what it took.
            taken = termios.tcgetattr(self._port.fileno())[2] & _FRAMING
            parity = 0 if address.parity == "N" else termios.PARENB
            return bool(taken == _BITS[address.bits] | parity)
        return False


async def open_serial(address: SerialAddress) -> BytePipe:
    """Open the port for us alone; raises OSError."""
    port = await _THREADS.call(address.path, lambda: _open(address), unwanted=Serial.close)
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


def _open(address: SerialAddress) -> Port:
    try:
        port = Port(
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
