"""Simulated wires for tests of lines: meters of a toy dialect and of Modbus, in virtual time.

The toy dialect: `?` and a letter ask the meter of that letter, who answers `!`, the letter, and
what it was asked, doubled, and a sum over all of it.
"""

import random
from collections.abc import Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from adapters.simulators.medium import Medium, MediumEnd
from adapters.transport.address import SerialAddress
from adapters.transport.exchange import Exchange
from adapters.transport.line import Line

T0 = datetime(2026, 3, 1, tzinfo=UTC)
BAUD = 9600
URL = f"serial:///dev/wires?baud={BAUD}"
CHARACTER_S = 10 / BAUD
PAUSE_S = 38.5 / BAUD


class SeededChance:
    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)

    def nibble(self) -> int:
        return self._random.getrandbits(4)

    def spread(self) -> float:
        return self._random.random()

    def ident(self, now: datetime) -> str:
        return f"{self._random.getrandbits(64):026d}"


def summed(frame: bytes) -> bytes:
    return frame + bytes((sum(frame) & 0xFF,))


@dataclass
class Toy:
    """A meter of the toy dialect; `delays` are those of its next answers, then `delay_s`.

    `wakes` goes before each answer.
    """

    letter: str
    delay_s: float = 0.02
    silent: bool = False
    wakes: bytes = b""
    delays: list[float] = field(default_factory=list)
    asked: list[bytes] = field(default_factory=list)

    def hear(self, frame: bytes) -> tuple[float, bytes] | None:
        if frame[:2] != b"?" + self.letter.encode() or frame != summed(frame[:-1]):
            return None
        self.asked.append(frame)
        if self.silent:
            return None
        delay_s = self.delays.pop(0) if self.delays else self.delay_s
        return delay_s, self.wakes + summed(b"!" + self.letter.encode() + frame[2:3] * 2)


def asking(letter: str, what: int = 7, **more: object) -> Exchange[int]:
    """Ask the meter of this letter for a number below 256."""

    def answer(heard: bytes) -> tuple[int, int] | None:
        at = heard.find(b"!" + letter.encode())
        frame = heard[at : at + 5]
        if at < 0 or len(frame) < 5 or frame != summed(frame[:-1]) or frame[2] != frame[3]:
            return None
        return frame[2], at + 5

    return Exchange(
        station=f"toy {letter}",
        request=summed(b"?" + letter.encode() + bytes((what,))),
        reply_bytes=5,
        answer=answer,
        what=f"meter {letter}",
        **more,  # type: ignore[arg-type]  # fields of many types by name
    )


@dataclass
class Wires:
    """A line, the medium it is on, and the toy meters by letter."""

    line: Line
    medium: Medium
    toys: Mapping[str, Toy]

    async def ask(self, letter: str, what: int = 7) -> int:
        return await self.line.ask(asking(letter, what))


@asynccontextmanager
async def wires(
    letters: str = "AB",
    *,
    timeout_s: float = 0.5,
    quiet_s: float = 0.5,
    echo: bool = False,
    flip_share: float = 0.0,
    seed: int = 1,
):
    address = SerialAddress(path="/dev/wires", baud=BAUD)
    medium = Medium(address, SeededChance(seed), echo=echo, flip_share=flip_share)
    toys = {letter: Toy(letter) for letter in letters}
    medium.stations += toys.values()

    async def opener(_: object) -> MediumEnd:
        return MediumEnd(medium)

    line = Line(URL, timeout_s=timeout_s, quiet_s=quiet_s, opener=opener)
    yield Wires(line, medium, toys)
    await line.aclose()
    medium.close()
