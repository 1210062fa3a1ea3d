"""Lines of meters: bytes between a head-end's transport and simulated units, slow, lost or cut.

The units, their framing and their faults are those of the simulators; only the medium is ours.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from adapters.simulators.modbus_framing import Framing
from adapters.simulators.modbus_server import Conversation, SimulatedLine
from adapters.transport.address import Address
from adapters.transport.base import Transport, TransportLost
from tests.city.lives import CityLoop, Life

OPEN_S = 0.05
REFUSED_S = 1.0


@dataclass
class Cable:
    """What a line does to bytes. `mute`: they vanish; `down`: nobody can connect either."""

    down: bool = False
    mute: bool = False
    hop_s: float = 0.005


class CityLine:
    """One line and its ways in."""

    def __init__(
        self,
        loop: CityLoop,
        meters: SimulatedLine,
        framing: Callable[[], Framing],
        framing_name: str,
    ) -> None:
        self.loop = loop
        self.meters = meters
        self.framing = framing
        self.framing_name = framing_name
        self.cable = Cable()
        self._pipes: list[Pipe] = []

    def opener(self, life: Life) -> "Callable[[Address], asyncio.Future[Transport]]":
        """How one process opens the line."""
        pipes: list[Pipe] = []

        def gone() -> None:
            for pipe in pipes:
                pipe.end("the process is gone")

        life.at_death(gone)

        async def open_line(address: Address) -> Transport:
            life.require()
            await asyncio.sleep(OPEN_S)
            if self.cable.down:
                await asyncio.sleep(REFUSED_S)
                raise OSError("no route to the line")
            pipe = Pipe(self, life)
            pipes[:] = [one for one in pipes if one.lost is None] + [pipe]
            self._pipes = [one for one in self._pipes if one.lost is None] + [pipe]
            return pipe

        return open_line  # type: ignore[return-value] # a coroutine function is what is asked

    def break_off(self) -> None:
        """Every connection ends; new ones are refused until it is mended."""
        self.cable.down = True
        for pipe in self._pipes:
            pipe.end("reset by the other end")


class Pipe:
    """Satisfies `adapters.transport.base.Transport`."""

    def __init__(self, line: CityLine, life: Life) -> None:
        self.lost: str | None = None
        self._line = line
        self._life = life
        self._input = bytearray()
        self._changed = asyncio.Event()
        self._meters = Conversation(line.meters, line.framing())
        self._meters.write = self._answered

    async def read(self, max_bytes: int, *, timeout: float) -> bytes:
        self._life.require()
        if not self._input:
            async with asyncio.timeout(timeout):
                while not self._input:
                    self._check()
                    self._changed.clear()
                    await self._changed.wait()
        data = bytes(self._input[:max_bytes])
        del self._input[:max_bytes]
        return data

    async def write(self, data: bytes, *, timeout: float) -> None:
        self._life.require()
        self._check()
        self._line.loop.later(self._line.cable.hop_s, self._asked, bytes(data))

    async def drop_input(self) -> int:
        self._life.require()
        await asyncio.sleep(0)
        dropped = len(self._input)
        self._input.clear()
        self._check()
        return dropped

    async def aclose(self) -> None:
        self.end("closed")

    def end(self, why: str) -> None:
        """It is over."""
        self.lost = self.lost or why
        self._changed.set()

    def _check(self) -> None:
        if self.lost is not None:
            raise TransportLost(self.lost)

    def _asked(self, data: bytes) -> None:
        if self.lost is None and not self._line.cable.mute:
            self._meters.data_received(data)

    def _answered(self, frame: bytes) -> None:
        if not self._line.cable.mute:
            self._line.loop.later(self._line.cable.hop_s, self._heard, frame)

    def _heard(self, frame: bytes) -> None:
        if self.lost is None:
            self._input += frame
            self._changed.set()
