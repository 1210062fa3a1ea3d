"""A mode A, B or C read-out as a conversation without input or output (IEC 62056-21, annex A).

The caller owns the port: it writes what `data_to_send` gives, sets the speed that a `ChangeSpeed`
asks for, and brings bytes and times. Read-only: it never enters programming mode.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from protocols.iec62056_21.characters import (
    INITIAL_SPEED,
    LINE_END,
    NAK,
    STX,
    BlockCheck,
    Mode,
    seven_bits,
    without_parity,
)
from protocols.iec62056_21.errors import MalformedMessage
from protocols.iec62056_21.messages import DataSet, decode_data, whole_message
from protocols.iec62056_21.sign_on import (
    IDENTIFICATION_MAX_BYTES,
    Identification,
    Option,
    identification,
    option_select,
    request,
)

# 6.3.14: a meter answers within 1.5 s, and no two characters lie further apart.
ANSWER_S = 1.5
# With the repeats of a damaged read-out; each is the whole of it.
REPEATS = 2
_NOISE_MAX_BYTES = 256


@dataclass(frozen=True, slots=True)
class ChangeSpeed:
    """Set the port to `baud` before what follows is written or read; wait `after_s` first."""

    baud: int
    after_s: float


@dataclass(frozen=True, slots=True)
class ReadOut:
    """All that the meter told. The conversation is over."""

    who: Identification
    data: tuple[DataSet, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """The conversation is over without data; `silent`: nothing was heard at all."""

    reason: str
    silent: bool


Event: TypeAlias = ChangeSpeed | ReadOut | Failed


class _Step(Enum):
    IDENTIFICATION = auto()
    DATA = auto()
    OVER = auto()


class ReadOutConnection:
    """One read-out: bytes in, events out; times in seconds of the caller's clock."""

    def __init__(
        self,
        *,
        address: str = "",
        initial_speed: int = INITIAL_SPEED,
        check: BlockCheck = BlockCheck.XOR,
        now: float,
    ) -> None:
        self._step = _Step.IDENTIFICATION
        self._check = check
        self._speed = initial_speed
        self._out = request(address)
        self._buffer = b""
        self._heard = False
        self._repeats = REPEATS
        self._who: Identification | None = None
        self._events: deque[Event] = deque()
        self._deadline: float | None = now + ANSWER_S

    def data_to_send(self) -> bytes:
        """What is to be written now; a speed asked for by an event counts after the write."""
        out, self._out = self._out, b""
        return out

    def next_event(self) -> Event | None:
        """What happened next, if anything did."""
        return self._events.popleft() if self._events else None

    def deadline(self) -> float | None:
        """When silence becomes an answer; None when it is over."""
        return self._deadline

    def handle_deadline(self, *, now: float) -> None:
        """Nothing more came in time."""
        if self._deadline is None or now < self._deadline:
            return
        self._fail("no answer" if not self._heard else "the answer stopped half way")

    def receive_data(self, data: bytes, *, now: float) -> None:
        """Take bytes in; an empty `data` means that the peer has closed. Never raises."""
        if self._step is _Step.OVER:
            return
        if not data:
            self._fail("the line was closed")
            return
        self._heard = True
        self._buffer += data
        self._deadline = now + ANSWER_S
        try:
            if self._step is _Step.IDENTIFICATION:
                self._identify()
            if self._step is _Step.DATA:
                self._take_data()
        except MalformedMessage as error:
            self._again_or_fail(str(error))

    def _identify(self) -> None:
        """Skip our own echo and noise up to the line that names the meter."""
        while (end := seven_bits(self._buffer).find(LINE_END)) >= 0:
            cut = end + len(LINE_END)
            line, self._buffer = self._buffer[:cut], self._buffer[cut:]
            at = seven_bits(line).rfind(b"/")
            plain = without_parity(line[at:]) if at >= 0 else b""
            if plain and not plain.startswith(b"/?"):
                self._met(identification(plain))
                return
        if len(self._buffer) > _NOISE_MAX_BYTES + IDENTIFICATION_MAX_BYTES:
            raise MalformedMessage("noise instead of an identification")

    def _met(self, who: Identification) -> None:
        self._who = who
        self._step = _Step.DATA
        speed = who.speed
        if who.mode is Mode.C:
            self._out = option_select(who.speed_character, Option.READ_OUT)
        if speed is not None and speed != self._speed:
            self._events.append(ChangeSpeed(speed, who.reaction_s))

    def _take_data(self) -> None:
        start = seven_bits(self._buffer).find(STX)
        if start < 0:
            if len(self._buffer) > _NOISE_MAX_BYTES:
                raise MalformedMessage("noise instead of data")
            return
        message = whole_message(seven_bits(self._buffer[start:]))
        if message is None:
            return
        message = without_parity(self._buffer[start : start + len(message)])
        assert self._who is not None
        self._events.append(ReadOut(self._who, decode_data(message, self._check)))
        self._over()

    def _again_or_fail(self, reason: str) -> None:
        if self._step is _Step.DATA and self._repeats > 0:
            self._repeats -= 1
            self._buffer = b""
            self._out = bytes([NAK])
            return
        self._fail(reason)

    def _fail(self, reason: str) -> None:
        self._events.append(Failed(reason, silent=not self._heard))
        self._over()

    def _over(self) -> None:
        self._step = _Step.OVER
        self._buffer = b""
        self._deadline = None
