"""Frames of CJ/T 188 (urban meters): type and address, control, identifier, data.

    FE.. 68 T A0..A6 C L DI DI SER D.. CS 16

The address has seven bytes, low first: five of packed decimals and two of the maker. CS is the sum
of all bytes from 68 on, modulo 256; data travel as they are. The order of the two bytes of the
identifier differs by maker: both are known here.
"""

from dataclasses import dataclass, field
from enum import IntEnum, unique

WAKE_UP, START, END = 0xFE, 0x68, 0x16
WAKE_UP_MAX = 8
HEAD_BYTES, TAIL_BYTES = 11, 2  # 68, T, seven of the address, C, L; CS, 16
DATA_MIN_BYTES, DATA_MAX_BYTES = 3, 100
_REPLY, _ERROR, _FUNCTION = 0x80, 0x40, 0x3F


class MalformedFrame(ValueError):
    """The bytes are no frame, or a damaged one; the text says where."""


@unique
class Function(IntEnum):
    """The low six bits of the control byte."""

    READ = 0x01
    READ_ADDRESS = 0x03
    WRITE = 0x04
    READ_KEY_VERSION = 0x09
    WRITE_ADDRESS = 0x15
    SET_REGISTER = 0x16


@unique
class Identifier(IntEnum):
    """What is read or written, as the standard prints it."""

    METERED = 0x901F
    VALVE = 0xA017
    ADDRESS = 0x810A


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame. `address`: 14 hexadecimal digits, high first; `identifier` as it was sent.

    `data` begin behind the serial number `ser` of the question.
    """

    kind: int
    address: str
    function: int
    identifier: bytes
    ser: int
    data: bytes = field(default=b"", repr=False)
    reply: bool = False
    error: bool = False

    @property
    def known(self) -> Identifier | None:
        """Which identifier that is, in either order of its bytes."""
        for order in (self.identifier, self.identifier[::-1]):
            if int.from_bytes(order) in Identifier.__members__.values():
                return Identifier(int.from_bytes(order))
        return None

    def encode(self) -> bytes:
        """From 68 to 16, without wake-up bytes."""
        control = self.reply * _REPLY | self.error * _ERROR | self.function
        content = self.identifier + bytes([self.ser]) + self.data
        address = bytes.fromhex(self.address)[::-1]
        body = bytes([START, self.kind, *address, control, len(content)]) + content
        return body + bytes([sum(body) & 0xFF, END])


def decode_frame(data: bytes) -> Frame:
    """The one frame that `data` is, wake-up bytes before it allowed. Raises MalformedFrame."""
    body = data.lstrip(bytes([WAKE_UP]))
    if len(data) - len(body) > WAKE_UP_MAX:
        raise MalformedFrame(f"{len(data) - len(body)} wake-up bytes")
    if len(body) < HEAD_BYTES + DATA_MIN_BYTES + TAIL_BYTES:
        raise MalformedFrame(f"ends after {len(body)} bytes")
    if body[0] != START or body[-1] != END:
        raise MalformedFrame("a frame begins with 68 and ends with 16")
    length = body[10]
    if not DATA_MIN_BYTES <= length <= DATA_MAX_BYTES:
        raise MalformedFrame(f"says {length} data bytes: {DATA_MIN_BYTES} to {DATA_MAX_BYTES}")
    if len(body) != HEAD_BYTES + length + TAIL_BYTES:
        raise MalformedFrame(f"says {length} data bytes, {len(body)} bytes are there")
    expected = sum(body[:-TAIL_BYTES]) & 0xFF
    if body[-2] != expected:
        raise MalformedFrame(f"its sum is {body[-2]:02x}, its bytes give {expected:02x}")
    content = body[HEAD_BYTES:-TAIL_BYTES]
    return Frame(
        kind=body[1],
        address=body[2:9][::-1].hex(),
        function=body[9] & _FUNCTION,
        identifier=content[:2],
        ser=content[2],
        data=content[3:],
        reply=bool(body[9] & _REPLY),
        error=bool(body[9] & _ERROR),
    )
