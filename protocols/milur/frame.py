"""Frames of Milur meters: address, command, parameter, data, CRC-16/MODBUS.

    request  A 01 parameter CRC CRC
    reply    A 01 parameter length data.. CRC CRC

Numbers are little-endian; a refusal has the top bit of its command set.
"""

from dataclasses import dataclass, field
from decimal import Decimal

from protocols.crc16 import CRC_BYTES, crc16, wrong_crc

FRAME_MIN_BYTES, FRAME_MAX_BYTES = 5, 64
READ = 0x01
REFUSED = 0x80
_LENGTH_AT = 3


class MalformedFrame(ValueError):
    """The bytes are no frame, or a damaged one; the text says where."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame; `content` follows the command."""

    address: int
    command: int
    content: bytes = field(repr=False)

    def encode(self) -> bytes:
        body = bytes([self.address, self.command]) + self.content
        return body + crc16(body)


@dataclass(frozen=True, slots=True)
class Value:
    """What a reply to a read tells."""

    parameter: int
    raw: bytes


def decode_frame(data: bytes) -> Frame:
    """The one frame that `data` is. Raises MalformedFrame."""
    if not FRAME_MIN_BYTES <= len(data) <= FRAME_MAX_BYTES:
        raise MalformedFrame(f"{len(data)} bytes: {FRAME_MIN_BYTES} to {FRAME_MAX_BYTES}")
    if why := wrong_crc(data):
        raise MalformedFrame(why)
    if data[1] == READ and len(data) > FRAME_MIN_BYTES:
        told, there = data[_LENGTH_AT], len(data) - _LENGTH_AT - 1 - CRC_BYTES
        if told != there:
            raise MalformedFrame(f"says {told} data bytes, {there} are there")
    return Frame(data[0], data[1], data[2:-CRC_BYTES])


def value_of(frame: Frame) -> Value | None:
    """What a reply to a read tells; None for any other frame."""
    if frame.command != READ or len(frame.content) < 2:
        return None
    return Value(frame.content[0], frame.content[2:])


def current(value: Value) -> Decimal:
    """A phase's current in A: signed mA. Raises ValueError for another width."""
    if len(value.raw) != 3:
        raise ValueError(f"{len(value.raw)} bytes are no current")
    return Decimal(int.from_bytes(value.raw, "little", signed=True)).scaleb(-3)
