"""BytePipe: one asyncio connection, socket or serial port, as a Transport.

The input is bounded: a peer that sends faster than it is read is made to wait.
"""

import asyncio
from typing import Self, cast

from adapters.transport.base import TransportLost

INPUT_MAX_BYTES = 64 * 1024
# A serial port closes in a thread; one that hangs there must not hold up a shutdown.
CLOSE_TIMEOUT_S = 2.0


class BytePipe(asyncio.Protocol):
    """Satisfies `base.Transport`. `name` is the peer as a person would write it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._input = bytearray()
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._closed = asyncio.Event()
        self._lost: str | None = None
        self._wire: asyncio.Transport | None = None

    async def opened(self) -> Self:
        """Return when the connection is made; raises TransportLost."""
        while self._wire is None and self._lost is None:
            await self._next_change()
        return self

    # --- what the line asks ---

    async def read(self, max_bytes: int, *, timeout: float) -> bytes:
        if not self._input and timeout <= 0:
            await asyncio.sleep(0)
            if not self._input:
                self._check()
                raise TimeoutError
        if not self._input:
            async with asyncio.timeout(timeout):
                while not self._input:
                    self._check()
                    await self._next_change()
        data = bytes(self._input[:max_bytes])
        del self._input[:max_bytes]
        self._resume()
        return data

    async def write(self, data: bytes, *, timeout: float) -> None:
        self._check()
        assert self._wire is not None
        self._wire.write(data)
        async with asyncio.timeout(timeout):
            await self._writable.wait()
        self._check()

    async def drop_input(self) -> int:
        # One turn of the loop to see that something has come, one more to take it.
        for _ in range(2):
            await asyncio.sleep(0)
        dropped = len(self._input)
        self._input.clear()
        self._check()
        self._resume()
        return dropped

    async def aclose(self) -> None:
        if self._wire is None:
            return
        if not self._wire.is_closing():
            self._wire.abort()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._closed.wait()
        except TimeoutError:
            self._end("did not close in time")

    # --- what the event loop tells ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.Transport, transport)
        # Let `write` return only when nothing of it is left with us.
        self._wire.set_write_buffer_limits(high=0)
        self._writable.set()
        self._changed.set()

    def data_received(self, data: bytes) -> None:
        self._input += data
        self._changed.set()
        if len(self._input) >= INPUT_MAX_BYTES and self._wire is not None:
            self._wire.pause_reading()

    def eof_received(self) -> bool:
        self._end("closed by the other end")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(str(exc) if exc else "closed")
        self._closed.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # --- leaves ---

    def _end(self, reason: str) -> None:
        self._lost = self._lost or reason
        self._changed.set()
        self._writable.set()

    def _check(self) -> None:
        if self._lost is not None:
            raise TransportLost(f"{self._name}: {self._lost}")

    def _resume(self) -> None:
        if self._wire is not None and not self._wire.is_closing():
            self._wire.resume_reading()

    async def _next_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
