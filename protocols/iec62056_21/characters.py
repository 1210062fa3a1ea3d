"""Control characters, speeds and block checks of IEC 62056-21 (6.3, annexes A to D).

A block check is the exclusive or of all bytes after SOH or STX up to and with ETX; meters of one
maker send their sum modulo 128 instead. Characters travel as 7E1: a line that is opened with 8
bits shows the parity in the top bit.
"""

from collections.abc import Mapping
from enum import StrEnum, unique
from functools import reduce
from operator import xor

from protocols.iec62056_21.errors import MalformedMessage

SOH, STX, ETX, EOT, ACK, NAK = 0x01, 0x02, 0x03, 0x04, 0x06, 0x15
LINE_END = b"\r\n"
INITIAL_SPEED = 300  # every meter with an optical head begins so; on RS485 often 9600

SPEEDS: Mapping[str, int] = {
    "0": 300,
    "1": 600,
    "2": 1200,
    "3": 2400,
    "4": 4800,
    "5": 9600,
    "6": 19200,
}
# Mode B changes over without being told (its letters leave out 300).
_MODE_B = "ABCDEF"
_SEVEN_BITS = bytes(byte & 0x7F for byte in range(256))


@unique
class BlockCheck(StrEnum):
    """How a block check is made."""

    XOR = "xor"
    SUM7 = "sum7"

    def of(self, checked: bytes) -> int:
        """The check of the bytes after SOH or STX, ETX included."""
        if self is BlockCheck.XOR:
            return reduce(xor, checked, 0)
        return sum(checked) & 0x7F


@unique
class Mode(StrEnum):
    """How the speed is changed after the identification (annex A): not, untold, on request."""

    A = "A"
    B = "B"
    C = "C"


def mode_of(speed_character: str) -> Mode:
    """The mode that the speed character of an identification tells."""
    if speed_character in SPEEDS:
        return Mode.C
    return Mode.B if speed_character in _MODE_B else Mode.A


def speed_of(speed_character: str) -> int | None:
    """The speed in baud that it offers; None: it stays as it is."""
    if speed_character in _MODE_B:
        return SPEEDS[str(_MODE_B.index(speed_character) + 1)]
    return SPEEDS.get(speed_character)


def without_parity(data: bytes) -> bytes:
    """7E1 characters read with 8 bits: check and drop the parity; 7-bit bytes stay as they are.

    Raises MalformedMessage where some bytes have even parity and some do not.
    """
    if all(byte < 0x80 for byte in data):
        return data
    for at, byte in enumerate(data):
        if byte.bit_count() % 2:
            raise MalformedMessage(f"wrong parity at byte {at + 1}")
    return seven_bits(data)


def seven_bits(data: bytes) -> bytes:
    """Each character without its top bit, whether that was parity or not."""
    return data.translate(_SEVEN_BITS)


def text(data: bytes) -> str:
    """Printable ASCII. Raises MalformedMessage for anything else."""
    try:
        plain = data.decode("ascii")
    except UnicodeDecodeError as error:
        raise MalformedMessage(f"byte {data[error.start]:02x} is no character") from error
    if not plain.isprintable():
        raise MalformedMessage("a control character within text")
    return plain
