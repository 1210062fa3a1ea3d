"""Frames of Mercury 200 meters: address, command, data, CRC-16/MODBUS.

    A A A A code data.. CRC CRC

The address is the serial number in four bytes, high first; a reply repeats address and command.
Numbers are packed decimals, high pair first.
"""

from dataclasses import dataclass, field
from decimal import Decimal

from protocols.crc16 import CRC_BYTES, crc16, wrong_crc

ADDRESS_BYTES = 4
FRAME_MIN_BYTES, FRAME_MAX_BYTES = ADDRESS_BYTES + 1 + CRC_BYTES, 64
ENERGY, PRESENT = 0x27, 0x63
TARIFFS = 4
_PRESENT_BYTES = 7


class MalformedFrame(ValueError):
    """The bytes are no frame, or a damaged one; the text says where."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame. `address`: 8 hexadecimal digits."""

    address: str
    code: int
    data: bytes = field(default=b"", repr=False)

    def encode(self) -> bytes:
        body = bytes.fromhex(self.address) + bytes([self.code]) + self.data
        return body + crc16(body)


def decode_frame(data: bytes) -> Frame:
    """The one frame that `data` is. Raises MalformedFrame."""
    if not FRAME_MIN_BYTES <= len(data) <= FRAME_MAX_BYTES:
        raise MalformedFrame(f"{len(data)} bytes: {FRAME_MIN_BYTES} to {FRAME_MAX_BYTES}")
    if why := wrong_crc(data):
        raise MalformedFrame(why)
    address = data[:ADDRESS_BYTES].hex()
    return Frame(address, data[ADDRESS_BYTES], data[ADDRESS_BYTES + 1 : -CRC_BYTES])


def energies(data: bytes) -> tuple[Decimal, ...]:
    """The four tariff registers in kWh. Raises ValueError for what is none."""
    if len(data) != 4 * TARIFFS:
        raise ValueError(f"{len(data)} bytes are no four energies")
    return tuple(_decimal(data[at : at + 4], 2) for at in range(0, 4 * TARIFFS, 4))


def present(data: bytes) -> tuple[Decimal, Decimal, Decimal]:
    """V, A and W now. Raises ValueError for what is none."""
    if len(data) != _PRESENT_BYTES:
        raise ValueError(f"{len(data)} bytes are no present values")
    return _decimal(data[:2], 1), _decimal(data[2:4], 2), _decimal(data[4:], 0)


def _decimal(value: bytes, decimals: int) -> Decimal:
    digits = value.hex()
    if not digits.isdecimal():
        raise ValueError(f"{digits} is not decimal")
    return Decimal(int(digits)).scaleb(-decimals)
