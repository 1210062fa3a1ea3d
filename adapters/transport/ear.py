"""Ear: what is heard on a half-duplex line, and when it was last busy."""

import asyncio

from adapters.transport.address import SerialAddress
from adapters.transport.base import Transport, Tunable
from adapters.transport.link import Link
from adapters.transport.wire import Wire

WRITE_TIMEOUT_S = 5.0
READ_BYTES = 512
# What is longer than noise, an echo and a reply together is a line that babbles.
BABBLE_BYTES = 1024
# The loop waits in whole milliseconds, rounded up: at 115200 baud that is a character in ten.
# Where silence is so short, the last of it is waited for awake.
AWAKE_BELOW_S = 0.003
AWAKE_S = 0.001


class Ear:
    """The bytes heard since the last frame was sent, in `heard`."""

    def __init__(self, link: Link, wire: Wire) -> None:
        self._link = link
        self._wire = wire
        self._transport: Transport | None = None
        self._busy_until = 0.0
        self._tuned: SerialAddress | None = None
        self.heard = bytearray()

    @property
    def open(self) -> bool:
        return self._link.connected

    async def connect(self) -> None:
        """Raises NotSent."""
        known = self._transport
        if not self._link.connected:
            self.heard.clear()
        self._transport = await self._link.transport()
        if self._transport is not known and self._tuned is not None:
            self.tune(self._tuned)

    async def more(self, until: float) -> int:
        """Add the next piece that comes before then; its length, or 0. Raises TransportLost."""
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        try:
            left_s = max(0.0, until - loop.time())
            piece = await self._transport.read(READ_BYTES, timeout=left_s)
        except TimeoutError:
            return 0
        self._busy_until = loop.time()
        self.heard += piece
        return len(piece)

    async def silence(self) -> int:
        """Wait for the silence before a frame; 0, or how much came and ended it."""
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        until = self._busy_until + self._wire.silence_s
        if self._wire.silence_s > AWAKE_BELOW_S:
            if came := await self.more(until):
                return came
        elif came := await self._more_awake(until):
            return came
        came = await self._transport.drop_input()
        if came:
            self._busy_until = loop.time()
        return came

    async def send(self, frame: bytes) -> None:
        """Forget what was heard and send. Raises TransportLost, TimeoutError."""
        assert self._transport is not None
        self.heard.clear()
        self._busy_until = asyncio.get_running_loop().time() + self._wire.takes_s(len(frame))
        await self._transport.write(frame, timeout=WRITE_TIMEOUT_S)

    def tune(self, address: SerialAddress) -> None:
        """Change the speed of the port, where it has one; one that is opened later has it too."""
        self._tuned = address
        self._wire.tune(address)
        port: object = self._transport
        if isinstance(port, Tunable):
            port.tune(address)

    async def drop(self) -> None:
        """Close the transport; it is opened again when needed."""
        self._transport = None
        self.heard.clear()
        await self._link.drop()

    async def _more_awake(self, until: float) -> int:
        loop = asyncio.get_running_loop()
        if came := await self.more(until - AWAKE_S):
            return came
        before, now = -1.0, loop.time()
        while before < now < until:
            await asyncio.sleep(0)
            before, now = now, loop.time()
        # A clock that stands still between two looks moves by timers only.
        return await self.more(until) if now < until else 0
