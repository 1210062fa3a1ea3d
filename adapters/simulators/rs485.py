"""An RS485 line of simulated meters, with the physics of its wires; in virtual time or on a
pseudo-terminal in real time.

Each unit has a delay of its own and may be late, or dead; two units of one address both answer.
"""

import asyncio
import os
import tty
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pymodbus.framer import FramerRTU

from adapters.simulators.fleet_description import PhysicsDescription
from adapters.simulators.medium import Medium, MediumEnd
from adapters.simulators.modbus_units import WRITE_MULTIPLE, ModbusUnit
from adapters.transport.address import Address, SerialAddress
from adapters.transport.base import Transport
from headend.ports import Chance, Clock

CHUNK_BYTES = 1024
RTU_LEAST_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How the units of a line answer: `delay_s` and up to `jitter_s` more, the `late_share` of
    replies `late_s` later than that. `flip_share` of the bits flip; `echo`: the adapter hears
    itself.
    """

    delay_s: float = 0.02
    jitter_s: float = 0.0
    late_share: float = 0.0
    late_s: float = 0.0
    flip_share: float = 0.0
    echo: bool = False


class ModbusStation:
    """One Modbus unit on a medium. Its faults are those of the unit."""

    def __init__(
        self, address: int, unit: ModbusUnit, *, manners: Manners, clock: Clock, chance: Chance
    ) -> None:
        self.address = address
        self.unit = unit
        self.manners = manners
        self._clock = clock
        self._chance = chance

    def hear(self, frame: bytes) -> tuple[float, bytes] | None:
        """Satisfies `medium.Station`."""
        if len(frame) < RTU_LEAST_BYTES or frame[0] != self.address or not _genuine(frame):
            return None
        pdu = self.unit.answer(frame[1:-2], self._clock.now())
        if pdu is None:
            return None
        command = frame[1] == WRITE_MULTIPLE
        faults = self.unit.faults
        fate = faults.next_command_fate() if command else faults.next_fate()
        if fate.lost:
            return None
        reply = bytes((self.address,)) + pdu
        reply += FramerRTU.compute_CRC(reply).to_bytes(2)
        if fate.garbled:
            reply = reply[:-1] + bytes((reply[-1] ^ 1,))
        return self._delay_s() + fate.delay_s, reply

    def _delay_s(self) -> float:
        manners = self.manners
        delay_s = manners.delay_s + manners.jitter_s * self._chance.spread()
        if manners.late_share and self._chance.spread() < manners.late_share:
            delay_s += manners.late_s
        return delay_s


def _genuine(frame: bytes) -> bool:
    return FramerRTU.compute_CRC(frame[:-2]) == int.from_bytes(frame[-2:])


def rs485_line(
    physics: PhysicsDescription,
    units: Mapping[int, ModbusUnit],
    *,
    clock: Clock,
    chance: Chance,
) -> "Rs485Line":
    """The line of a description, the last of its units dead if it says so."""
    address = SerialAddress(path="-", baud=physics.baud, stop=physics.stop)
    for number in sorted(units)[len(units) - physics.silent :]:
        units[number].faults.silent = True
    manners = Manners(
        delay_s=physics.delay_ms / 1000,
        jitter_s=physics.jitter_ms / 1000,
        late_share=physics.late_percent / 100,
        late_s=physics.late_ms / 1000,
        flip_share=physics.flips / 1e6,
        echo=physics.echo,
    )
    return Rs485Line(address, units.items(), clock=clock, chance=chance, manners=manners)


class Rs485Line:
    """Meters on a pair of wires. Use as a context manager; leaving it closes every way in."""

    def __init__(
        self,
        address: SerialAddress,
        units: Iterable[tuple[int, ModbusUnit]],
        *,
        clock: Clock,
        chance: Chance,
        manners: Manners | None = None,
    ) -> None:
        manners = manners or Manners()
        self._address = address
        self.medium = Medium(address, chance, flip_share=manners.flip_share, echo=manners.echo)
        self.stations = [
            ModbusStation(number, unit, manners=manners, clock=clock, chance=chance)
            for number, unit in units
        ]
        self.medium.stations += self.stations
        self._terminals: list[tuple[int, int]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def open(self, address: Address) -> Transport:
        """The master's end, for a line that is given this as its opener."""
        return MediumEnd(self.medium)

    def serve_terminal(self) -> str:
        """Open a pseudo-terminal in real time; returns the path for the head-end's end."""
        master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        self._terminals.append((master, slave))
        self.medium.hear = lambda data: _write(master, data)
        loop = asyncio.get_running_loop()
        loop.add_reader(master, lambda: self._read(master))
        return os.ttyname(slave)

    def serve_terminal_url(self) -> str:
        """As `serve_terminal`, as an address with the settings of the line."""
        port = self._address
        return f"serial://{self.serve_terminal()}?baud={port.baud}&stop={port.stop}"

    async def close(self) -> None:
        """Close every way in and drop what is on the wires."""
        self.medium.close()
        loop = asyncio.get_running_loop()
        for master, slave in self._terminals:
            loop.remove_reader(master)
            os.close(master)
            os.close(slave)
        self._terminals.clear()

    def _read(self, master: int) -> None:
        with suppress(BlockingIOError):
            self.medium.send(os.read(master, CHUNK_BYTES))


def _write(master: int, data: bytes) -> None:
    # Nobody reads the other end and its buffer is full: a real line loses bytes too.
    with suppress(BlockingIOError):
        os.write(master, data)
