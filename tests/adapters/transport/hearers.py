"""A line in memory whose stations hear what is sent and answer after their own delay."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from adapters.simulators.medium import Said
from adapters.transport.address import Address, SerialAddress
from adapters.transport.base import Transport, TransportLost
from adapters.transport.line import Line

URL = "serial:///dev/line?baud=2400&parity=E"


class Station(Protocol):
    """Somebody on the line."""

    def hear(self, frame: bytes) -> tuple[float, bytes] | Said | None: ...


class Hearers:
    """Satisfies Transport and Tunable; each write is one frame. `speeds` are those it was tuned to.

    `cut`: reading fails as on a port that was pulled out.
    """

    def __init__(self, stations: Sequence[Station]) -> None:
        self.stations = stations
        self.speeds: list[int] = []
        self.sent: list[bytes] = []
        self.cut = False
        self._input = bytearray()
        self._came = asyncio.Event()

    async def open(self, address: Address) -> Transport:
        return self

    def tune(self, address: SerialAddress) -> None:
        self.speeds.append(address.baud)

    async def read(self, max_bytes: int, *, timeout: float) -> bytes:
        async with asyncio.timeout(timeout):
            while not self._input:
                if self.cut:
                    raise TransportLost("pulled out")
                self._came.clear()
                await self._came.wait()
        piece = bytes(self._input[:max_bytes])
        del self._input[:max_bytes]
        return piece

    async def write(self, data: bytes, *, timeout: float) -> None:
        self.sent.append(data)
        for station in self.stations:
            if (said := station.hear(data)) is not None:
                delay_s, reply = said[0], said[1]
                asyncio.get_running_loop().call_later(delay_s, self._say, reply)

    async def drop_input(self) -> int:
        dropped = len(self._input)
        self._input.clear()
        return dropped

    async def aclose(self) -> None:
        pass

    def _say(self, reply: bytes) -> None:
        self._input += reply
        self._came.set()


def a_line(hearers: Hearers) -> Line:
    return Line(URL, opener=hearers.open)
