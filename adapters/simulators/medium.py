"""Medium: a pair of wires that several share, with its physics.

Characters take their time, two who talk at once garble each other, bits flip at a set rate, what
was said at another speed is noise, and a frame that follows another too closely is understood by
nobody. Time is the event loop's: in
virtual time a day of a line takes seconds, and the same chance gives the same day. Knows nothing
of dialects.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import log
from typing import NamedTuple, Protocol

from adapters.transport.address import SerialAddress
from headend.ports import Chance

Hear = Callable[[bytes], None]

# What two at once make of a character; any change does.
GARBLE = 0x55
# One character at another speed is at most so many for who listens at a higher one.
NOISE_MOST = 4
# A driver hands up what it received in pieces of so long, or at the end of a frame.
PIECE_S = 0.008
# Receivers take less than 3.5 characters for a pause already, but not much less.
PAUSE_SHARE = 0.75
REMEMBERED_S = 10.0


class Station(Protocol):
    """Somebody on the wires who answers."""

    def hear(self, frame: bytes) -> "tuple[float, bytes] | Said | None":
        """What it says to a frame, and after how many seconds; None: nothing."""


class Said(NamedTuple):
    """What a station says after `delay_s`, at a speed of its own (baud, None: the line's)."""

    delay_s: float
    data: bytes
    baud: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Talk:
    """One who talks, from `start` to `end`."""

    start: float
    end: float
    data: bytes
    baud: int
    character_s: float


@dataclass(slots=True)
class Heard:
    """What was counted on the wires: frames, characters of which the others heard another."""

    frames: int = 0
    collisions: int = 0
    flips: int = 0
    blurred: int = 0


class Medium:
    """Wires whose stations have one speed. `stations` may change while it runs. The master sets
    `hear` and `master_speed`, its own in baud (None: whatever is spoken).

    `flip_share` is the share of bits that flip. `echo`: the master hears itself. Not `timed`:
    characters take no time, and no frame follows another too closely.
    """

    def __init__(
        self,
        address: SerialAddress,
        chance: Chance,
        *,
        flip_share: float = 0.0,
        echo: bool = False,
        timed: bool = True,
    ) -> None:
        self._timed = timed
        self.stations: list[Station] = []
        self.hear: Hear = _nobody
        self.master_speed: Callable[[], int | None] = _any_speed
        self.heard = Heard()
        self.baud = address.baud
        self._bits = address.character_s * address.baud
        self.pause_s = _pause_s(address.baud) if timed else 0.0
        self.echo = echo
        self._chance = chance
        self._flip_share = flip_share
        self._talks: deque[Talk] = deque()
        self._timers: set[asyncio.TimerHandle] = set()
        self._bits_to_flip = self._next_flip()

    def send(self, data: bytes) -> None:
        """The master talks."""
        talk = self._begin(data, self.master_speed())
        blurred = self._follows_too_closely(talk)
        self.heard.blurred += blurred
        if self.echo:
            self._deliver(talk)
        self._at(talk.end, lambda: self._understood(talk, blurred=blurred))

    def say(self, data: bytes, baud: int | None = None) -> None:
        """A station talks now, whoever else does."""
        self._deliver(self._begin(data, baud))

    def close(self) -> None:
        """Nothing is heard any more."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self.hear = _nobody

    # --- what becomes of it ---

    def _begin(self, data: bytes, baud: int | None) -> Talk:
        now = asyncio.get_running_loop().time()
        while self._talks and now - self._talks[0].end > REMEMBERED_S:
            self._talks.popleft()
        baud = baud or self.baud
        character_s = self._bits / baud if self._timed else 0.0
        talk = Talk(now, now + len(data) * character_s, data, baud, character_s)
        self._talks.append(talk)
        self.heard.frames += 1
        return talk

    def _follows_too_closely(self, talk: Talk) -> bool:
        pauses = [talk.start - other.end for other in self._talks if other.end <= talk.start]
        return bool(pauses) and min(pauses) < PAUSE_SHARE * self.pause_s

    def _understood(self, talk: Talk, *, blurred: bool) -> None:
        """The stations have heard the whole frame, and those it concerns will answer."""
        if blurred:
            return
        frame = self._at_speed(self.baud, talk, self._as_heard(talk, 0, len(talk.data)))
        for station in tuple(self.stations):
            if answer := station.hear(frame):
                delay_s, data, baud = Said(*answer)
                # Who answers sooner has not yet heard that the frame is over.
                begins = talk.end + max(self.pause_s, delay_s)
                self._at(begins, partial(self.say, data, baud))

    def _deliver(self, talk: Talk) -> None:
        """Let the master hear it, piece by piece, as it comes in."""
        size = max(1, int(PIECE_S / talk.character_s)) if self._timed else len(talk.data) or 1
        for at in range(0, len(talk.data), size):
            end = min(at + size, len(talk.data))
            self._at(talk.start + end * talk.character_s, partial(self._piece, talk, at, end))

    def _piece(self, talk: Talk, at: int, end: int) -> None:
        self.hear(self._at_speed(self.master_speed(), talk, self._as_heard(talk, at, end)))

    def _at_speed(self, baud: int | None, talk: Talk, data: bytes) -> bytes:
        """What somebody takes it for who listens at this speed."""
        if baud in (None, talk.baud) or not self._timed or not data:
            return data
        count = max(1, min(NOISE_MOST * len(data), len(data) * baud // talk.baud))
        return bytes(data[at * len(data) // count] ^ GARBLE ^ at & 0xFF for at in range(count))

    def _as_heard(self, talk: Talk, at: int, end: int) -> bytes:
        heard = bytearray(talk.data[at:end])
        others = [
            other
            for other in self._talks
            if other is not talk and other.start < talk.end and other.end > talk.start
        ]
        for place in range(len(heard)):
            begins = talk.start + (at + place) * talk.character_s
            ends = begins + talk.character_s
            if any(other.start < ends and other.end > begins for other in others):
                heard[place] ^= GARBLE
                self.heard.collisions += 1
        self._flip(heard)
        return bytes(heard)

    # --- noise ---

    def _flip(self, heard: bytearray) -> None:
        bits = 8 * len(heard)
        while self._bits_to_flip < bits:
            place, bit = divmod(self._bits_to_flip, 8)
            heard[place] ^= 1 << bit
            self.heard.flips += 1
            self._bits_to_flip += 1 + self._next_flip()
        self._bits_to_flip -= bits

    def _next_flip(self) -> int:
        """How many bits stay as they are before the next that flips."""
        if not self._flip_share:
            return 1 << 62
        return int(log(1.0 - self._chance.spread()) / log(1.0 - self._flip_share))

    def _at(self, time: float, act: Callable[[], None]) -> None:
        def due() -> None:
            self._timers.discard(timer)
            act()

        timer = asyncio.get_running_loop().call_at(time, due)
        self._timers.add(timer)


def _pause_s(baud: int) -> float:
    return 0.00175 if baud > 19200 else 38.5 / baud


def _any_speed() -> int | None:
    return None


def _nobody(_: bytes) -> None:
    """Nobody listens."""


@dataclass
class MediumEnd:
    """The master's end as a transport (satisfies `base.Transport` and `base.Tunable`)."""

    medium: Medium
    _baud: int | None = None
    _input: bytearray = field(default_factory=bytearray)
    _came: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.medium.hear = self._hear
        self.medium.master_speed = lambda: self._baud

    async def read(self, max_bytes: int, *, timeout: float) -> bytes:
        if not self._input:
            self._came.clear()
            if timeout <= 0:
                await asyncio.sleep(0)
            else:
                async with asyncio.timeout(timeout):
                    await self._came.wait()
        if not self._input:
            raise TimeoutError
        data = bytes(self._input[:max_bytes])
        del self._input[:max_bytes]
        return data

    async def write(self, data: bytes, *, timeout: float) -> None:
        self.medium.send(data)

    async def drop_input(self) -> int:
        await asyncio.sleep(0)
        dropped = len(self._input)
        self._input.clear()
        return dropped

    async def aclose(self) -> None:
        self.medium.hear = _nobody

    def tune(self, address: SerialAddress) -> None:
        self._baud = address.baud

    def _hear(self, data: bytes) -> None:
        self._input += data
        self._came.set()
