"""Frames of DL/T 645 (DL/T 645-2007, 5.2): bytes in, address, control and data out.

    FE.. 68 A0..A5 68 C L D.. CS 16

The six bytes of the address are BCD, low pair first; each data byte travels with 33h added; CS is
the sum of all bytes from the first 68 on, modulo 256. The 1997 edition frames alike. Knows
nothing of what data means.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum, unique

from protocols.dlt645.errors import MalformedFrame

WAKE_UP = 0xFE
WAKE_UP_COUNT = 4  # sent before a request so that the slave's receiver settles; 5.2.1 allows 0 to 4
START = 0x68
END = 0x16
MASK = 0x33
ADDRESS_DIGITS = 12
HEAD_BYTES = 10  # 68, six of the address, 68, C, L
TAIL_BYTES = 2  # CS, 16
DATA_MAX_BYTES = 200  # of a reply; a request writes at most 50 (5.2.5)
WRITE_MAX_BYTES = 50
FRAME_MAX_BYTES = WAKE_UP_COUNT + HEAD_BYTES + DATA_MAX_BYTES + TAIL_BYTES

# Any slave answers to it: for a line with one meter only. To 99..99 nobody answers.
ANY_ADDRESS = "A" * ADDRESS_DIGITS
BROADCAST_ADDRESS = "9" * ADDRESS_DIGITS

_REPLY, _ERROR, _MORE, _FUNCTION = 0x80, 0x40, 0x20, 0x1F


@unique
class Function(IntEnum):
    """The low five bits of the control byte (5.2.4); two are the old edition's."""

    RESERVED = 0x00
    READ_1997 = 0x01
    READ_NEXT_1997 = 0x02
    SECURITY = 0x03
    BROADCAST_TIME = 0x08
    READ = 0x11
    READ_NEXT = 0x12
    READ_ADDRESS = 0x13
    WRITE = 0x14
    SET_ADDRESS = 0x15
    FREEZE = 0x16
    SET_SPEED = 0x17
    SET_PASSWORD = 0x18
    CLEAR_DEMAND = 0x19
    CLEAR_METER = 0x1A
    CLEAR_EVENTS = 0x1B
    CONTROL = 0x1C


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame. `address`: 12 digits (or A for any); `data`: without the mask.

    `data` may hold a password and shows in no text.
    """

    address: str
    function: int
    data: bytes = field(default=b"", repr=False)
    reply: bool = False
    error: bool = False
    more: bool = False

    @property
    def control(self) -> int:
        """The control byte."""
        flags = (self.reply * _REPLY) | (self.error * _ERROR) | (self.more * _MORE)
        return flags | self.function

    def encode(self) -> bytes:
        """From the first 68 to the 16, without wake-up bytes.

        Raises ValueError for an address that is not 12 digits or too much data.
        """
        if not 0 <= self.function <= _FUNCTION:
            raise ValueError(f"function {self.function:#x} does not fit five bits")
        if len(self.data) > DATA_MAX_BYTES:
            raise ValueError(f"{len(self.data)} data bytes, at most {DATA_MAX_BYTES}")
        masked = bytes((byte + MASK) & 0xFF for byte in self.data)
        head = bytes([START, *_address_bytes(self.address), START, self.control, len(masked)])
        body = head + masked
        return body + bytes([sum(body) & 0xFF, END])

    def on_wire(self) -> bytes:
        """With the wake-up bytes before it, as a master sends it."""
        return bytes([WAKE_UP] * WAKE_UP_COUNT) + self.encode()


def decode_frame(data: bytes) -> Frame:
    """The one frame that `data` is, wake-up bytes before it allowed.

    Raises MalformedFrame for anything else: too short or long, no 68, wrong sum, bytes after it.
    """
    body = data.lstrip(bytes([WAKE_UP]))
    if len(data) - len(body) > 2 * WAKE_UP_COUNT:
        raise MalformedFrame(f"{len(data) - len(body)} wake-up bytes")
    length = frame_bytes(body)
    if length is None:
        raise MalformedFrame(f"ends after {len(body)} bytes")
    if length != len(body):
        raise MalformedFrame(f"{len(body) - length} bytes after its end")
    return _whole(body)


def frame_bytes(body: bytes) -> int | None:
    """How long the frame that starts at the first byte is; None: more bytes are needed to tell.

    Raises MalformedFrame when no frame starts so.
    """
    if body[:1] not in (b"", bytes([START])):
        raise MalformedFrame(f"begins with {body[0]:02x}, not 68")
    if len(body) > 7 and body[7] != START:
        raise MalformedFrame(f"{body[7]:02x} after the address, not 68")
    if len(body) < HEAD_BYTES:
        return None
    if body[9] > DATA_MAX_BYTES:
        raise MalformedFrame(f"says {body[9]} data bytes, at most {DATA_MAX_BYTES}")
    length = HEAD_BYTES + body[9] + TAIL_BYTES
    return length if len(body) >= length else None


@dataclass(frozen=True, slots=True)
class Found:
    """A frame in a stream, and how many bytes of the stream it and the noise before it take."""

    frame: Frame
    taken: int


def find_frame(stream: bytes) -> Found | None:
    """The first whole frame in a stream with noise in it, or None while there is none.

    A 68 in the noise is no start: its sum does not fit. Never raises.
    """
    at = stream.find(START)
    while at >= 0:
        try:
            length = frame_bytes(stream[at:])
            if length is not None:
                return Found(_whole(stream[at : at + length]), at + length)
        except MalformedFrame:
            pass
        at = stream.find(START, at + 1)
    return None


def _whole(body: bytes) -> Frame:
    if body[-1] != END:
        raise MalformedFrame(f"ends with {body[-1]:02x}, not 16")
    expected = sum(body[:-TAIL_BYTES]) & 0xFF
    if body[-2] != expected:
        raise MalformedFrame(f"its sum is {body[-2]:02x}, its bytes give {expected:02x}")
    control = body[8]
    return Frame(
        address=_address_text(body[1:7]),
        function=control & _FUNCTION,
        data=bytes((byte - MASK) & 0xFF for byte in body[HEAD_BYTES:-TAIL_BYTES]),
        reply=bool(control & _REPLY),
        error=bool(control & _ERROR),
        more=bool(control & _MORE),
    )


def _address_bytes(address: str) -> bytes:
    if len(address) != ADDRESS_DIGITS or any(digit not in "0123456789A" for digit in address):
        raise ValueError("an address has 12 decimal digits, high first, or A for any")
    return bytes.fromhex(address)[::-1]


def _address_text(raw: Sequence[int]) -> str:
    text = bytes(raw)[::-1].hex().upper()
    if any(digit not in "0123456789A" for digit in text):
        raise MalformedFrame(f"address {text} is not decimal")
    return text


def answers(request: Frame, reply: Frame) -> bool:
    """The reply is one to this very request, as far as its frame tells.

    A wildcard request is answered by whoever is there. Identifiers are for `data` to compare.
    """
    wanted = all(
        asked in ("A", told) for asked, told in zip(request.address, reply.address, strict=True)
    )
    return wanted and reply.reply and reply.function == request.function
