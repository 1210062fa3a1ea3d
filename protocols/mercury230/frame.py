"""Frames of Mercury 230 meters: address, command or answer, CRC-16/MODBUS.

    request  A code parameters.. CRC CRC
    reply    A state CRC CRC, or A data.. CRC CRC

A reply does not say what it answers: its length tells what it can be. Numbers have their bytes
swapped within each word of sixteen bits (BADC); all ones means "not available".
"""

from dataclasses import dataclass, field

from protocols.crc16 import CRC_BYTES, crc16, wrong_crc

FRAME_MIN_BYTES, FRAME_MAX_BYTES = 4, 256
ENERGIES_BYTES, VALUE_BYTES = 16, 3
_DIRECTION = 0xC0


class MalformedFrame(ValueError):
    """The bytes are no frame, or a damaged one; the text says where."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame; `content` is what stands between address and CRC, perhaps a password."""

    address: int
    content: bytes = field(repr=False)

    def encode(self) -> bytes:
        body = bytes([self.address]) + self.content
        return body + crc16(body)


def decode_frame(data: bytes) -> Frame:
    """The one frame that `data` is. Raises MalformedFrame."""
    if not FRAME_MIN_BYTES <= len(data) <= FRAME_MAX_BYTES:
        raise MalformedFrame(f"{len(data)} bytes: {FRAME_MIN_BYTES} to {FRAME_MAX_BYTES}")
    if why := wrong_crc(data):
        raise MalformedFrame(why)
    return Frame(data[0], data[1:-CRC_BYTES])


def energies(content: bytes) -> tuple[int | None, ...]:
    """Active import and export in Wh, reactive import and export in varh.

    Raises ValueError for another length.
    """
    if len(content) != ENERGIES_BYTES:
        raise ValueError(f"{len(content)} bytes are no four energies")
    parts = (content[at : at + 4] for at in range(0, ENERGIES_BYTES, 4))
    return tuple(None if part == b"\xff" * 4 else _swapped(part) for part in parts)


def value(content: bytes) -> tuple[int, int]:
    """A present value in counts of its last digit, and the two bits of its direction.

    Raises ValueError for another length.
    """
    if len(content) != VALUE_BYTES:
        raise ValueError(f"{len(content)} bytes are no value")
    high = content[0] & ~_DIRECTION & 0xFF
    return high << 16 | int.from_bytes(content[1:], "little"), content[0] >> 6


def _swapped(part: bytes) -> int:
    return int.from_bytes((part[1], part[0], part[3], part[2]))
