"""Link: the one open transport of a line. It is opened when needed, and not too often in vain."""

import asyncio
from collections.abc import Awaitable, Callable

from adapters.transport.address import Address
from adapters.transport.base import Transport
from headend.errors import NotSent

RECONNECT_FIRST_S = 0.5
RECONNECT_MAX_S = 30.0

Opener = Callable[[Address], Awaitable[Transport]]


class Link:
    """Opens an address again after every loss: a gateway restarts, an adapter is plugged in again.

    `connections` counts how often it was opened.
    """

    def __init__(self, address: Address, opener: Opener) -> None:
        self.address = address
        self.connections = 0
        self.opened_at = 0.0
        self._open = opener
        self._transport: Transport | None = None
        self._failures = 0
        self._open_after = 0.0
        self._closed = False

    @property
    def connected(self) -> bool:
        return self._transport is not None

    async def transport(self) -> Transport:
        """The open transport; raises NotSent when there is none to be had now."""
        if self._closed:
            raise NotSent("the line is closed")
        return self._transport or await self._connect()

    def works(self) -> None:
        """A reply came: the next loss is the first one."""
        self._failures = 0

    async def drop(self) -> None:
        """Close the transport; the next one who asks opens another."""
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()

    async def aclose(self) -> None:
        """Close for good."""
        self._closed = True
        await self.drop()

    async def _connect(self) -> Transport:
        loop = asyncio.get_running_loop()
        if loop.time() < self._open_after:
            wait_s = self._open_after - loop.time()
            raise NotSent(f"{self.address} is down, next try in {wait_s:.1f} s")
        self._failures += 1
        wait_s = min(RECONNECT_FIRST_S * 2.0 ** min(self._failures - 1, 16), RECONNECT_MAX_S)
        try:
            transport = await self._open(self.address)
        except OSError as exc:
            self._open_after = loop.time() + wait_s
            reason = str(exc) or "no answer in time"
            raise NotSent(f"{self.address} cannot be opened: {reason}") from exc
        if self._closed:
            await transport.aclose()
            raise NotSent("the line is closed")
        self.connections += 1
        self.opened_at = loop.time()
        self._transport = transport
        return transport
