"""Frames of Pulsar devices: address, function, length, data, number, CRC-16/MODBUS.

    A A A A F L data.. N N CRC CRC

The address is packed decimals, high pair first; L counts the whole frame; N is the number of the
request, which its reply repeats. Values are float32, little-endian.
"""

import struct
from dataclasses import dataclass, field

from protocols.crc16 import CRC_BYTES, crc16, wrong_crc

ADDRESS_BYTES, NUMBER_BYTES = 4, 2
HEAD_BYTES = ADDRESS_BYTES + 2
FRAME_MIN_BYTES, FRAME_MAX_BYTES = HEAD_BYTES + NUMBER_BYTES + CRC_BYTES, 255
READ_CHANNELS, ERROR = 0x01, 0x00


class MalformedFrame(ValueError):
    """The bytes are no frame, or a damaged one; the text says where."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame. `address`: 8 decimal digits; `number` as it was sent."""

    address: str
    function: int
    data: bytes = field(repr=False)
    number: bytes

    def encode(self) -> bytes:
        length = FRAME_MIN_BYTES + len(self.data)
        body = bytes.fromhex(self.address) + bytes([self.function, length])
        body += self.data + self.number
        return body + crc16(body)


def decode_frame(data: bytes) -> Frame:
    """The one frame that `data` is. Raises MalformedFrame."""
    if not FRAME_MIN_BYTES <= len(data) <= FRAME_MAX_BYTES:
        raise MalformedFrame(f"{len(data)} bytes: {FRAME_MIN_BYTES} to {FRAME_MAX_BYTES}")
    address = data[:ADDRESS_BYTES].hex()
    if not address.isdecimal():
        raise MalformedFrame(f"address {address} is not decimal")
    if data[5] != len(data):
        raise MalformedFrame(f"says {data[5]} bytes, {len(data)} are there")
    if why := wrong_crc(data):
        raise MalformedFrame(why)
    end = len(data) - NUMBER_BYTES - CRC_BYTES
    return Frame(address, data[4], data[HEAD_BYTES:end], data[end:-CRC_BYTES])


def values(data: bytes) -> tuple[float, ...]:
    """The values of a reply to READ_CHANNELS, one a channel. Raises ValueError."""
    if not data or len(data) % 4:
        raise ValueError(f"{len(data)} bytes are no values")
    return struct.unpack(f"<{len(data) // 4}f", data)
