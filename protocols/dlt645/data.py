"""Data of DL/T 645 frames: identifiers, packed decimals, times, what a slave refuses (annex A).

All numbers are packed decimals, low pair first; the top bit of the last byte is the sign where
the identifier's format has one. All ones means "not available". Knows nothing of meters.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from decimal import Decimal
from enum import IntFlag
from typing import TypeAlias

from protocols.dlt645.errors import MalformedData
from protocols.dlt645.frame import Frame, Function

Identifier: TypeAlias = str  # 8 hexadecimal digits, high first, as the standard prints them

IDENTIFIER_BYTES = 4
IDENTIFIER_1997_BYTES = 2
TIME_BYTES = 6
_SIGN = 0x80
_CENTURY = 2000


class Refusal(IntFlag):
    """The bits of the one data byte of an error reply (5.2.6)."""

    OTHER = 0x01
    NO_SUCH_DATA = 0x02
    NOT_AUTHORISED = 0x04
    SPEED_FIXED = 0x08
    TOO_MANY_SEASONS = 0x10
    TOO_MANY_SWITCHES = 0x20
    TOO_MANY_RATES = 0x40


@dataclass(frozen=True, slots=True)
class Answer:
    """What a reply to a read holds: `value` without the identifier, `sequence` of a part."""

    identifier: Identifier
    value: bytes = field(repr=False)
    more: bool = False
    sequence: int | None = None


def read_request(address: str, identifier: Identifier) -> Frame:
    """Ask for one identifier."""
    return Frame(address=address, function=Function.READ, data=_identifier_bytes(identifier))


def read_next_request(address: str, identifier: Identifier, sequence: int) -> Frame:
    """Ask for a further part of what did not fit one frame; `sequence` counts from 1 (7.2)."""
    if not 1 <= sequence <= 0xFF:
        raise ValueError("a sequence lies between 1 and 255")
    data = _identifier_bytes(identifier) + bytes([sequence])
    return Frame(address=address, function=Function.READ_NEXT, data=data)


def read_address_request(address: str = "A" * 12) -> Frame:
    """Ask the only meter on a line who it is."""
    return Frame(address=address, function=Function.READ_ADDRESS)


def read_answer(reply: Frame) -> Answer:
    """The identifier and value of a good reply to a read. Raises MalformedData."""
    if reply.error or not reply.reply:
        raise MalformedData("not a good reply")
    short = reply.function in (Function.READ_1997, Function.READ_NEXT_1997)
    width = IDENTIFIER_1997_BYTES if short else IDENTIFIER_BYTES
    if len(reply.data) < width:
        raise MalformedData(f"{len(reply.data)} data bytes, too few for an identifier")
    identifier = reply.data[:width][::-1].hex().upper()
    value, sequence = reply.data[width:], None
    if reply.function == Function.READ_NEXT:
        if not value:
            raise MalformedData("a further part without its sequence")
        value, sequence = value[:-1], value[-1]
    return Answer(identifier, value, reply.more, sequence)


def refusal(reply: Frame) -> Refusal:
    """Why a slave refused. Raises MalformedData when the reply is no refusal."""
    if not reply.error or len(reply.data) != 1:
        raise MalformedData("not a refusal of one byte")
    return Refusal(reply.data[0])


def packed(value: bytes, *, decimals: int = 0, signed: bool = False) -> Decimal | None:
    """A packed decimal, low pair first; None when not available (all ones).

    Raises MalformedData for other digits that are not decimal.
    """
    if not value:
        raise MalformedData("no bytes")
    if all(byte == 0xFF for byte in value):
        return None
    high_first = bytearray(value[::-1])
    negative = signed and bool(high_first[0] & _SIGN)
    if negative:
        high_first[0] &= ~_SIGN & 0xFF
    digits = high_first.hex()
    if not digits.isdecimal():
        raise MalformedData(f"{digits} is not decimal")
    number = Decimal(int(digits)).scaleb(-decimals)
    return -number if negative else number


def packed_bytes(number: int, count: int) -> bytes:
    """`count` bytes of packed decimals, low pair first; raises ValueError when it does not fit."""
    text = f"{number:0{2 * count}d}"
    if number < 0 or len(text) > 2 * count:
        raise ValueError(f"{number} does not fit {count} bytes")
    return bytes.fromhex(text)[::-1]


def time_of(value: bytes, zone: tzinfo) -> datetime | None:
    """ss mm hh DD MM YY in the meter's zone; None when all zero or all ones.

    Raises MalformedData for what is no time.
    """
    if len(value) != TIME_BYTES:
        raise MalformedData(f"{len(value)} bytes are no time")
    if value in (bytes(TIME_BYTES), b"\xff" * TIME_BYTES):
        return None
    second, minute, hour, day, month, year = (int(packed(bytes([b])) or 0) for b in value)
    try:
        return datetime(_CENTURY + year, month, day, hour, minute, second, tzinfo=zone)
    except ValueError as error:
        raise MalformedData(f"no time: {error}") from error


def time_bytes(moment: datetime) -> bytes:
    """As ss mm hh DD MM YY, in the zone that `moment` is given in."""
    if not _CENTURY <= moment.year < _CENTURY + 100:
        raise ValueError(f"the year {moment.year} does not fit two digits")
    parts = (
        moment.second,
        moment.minute,
        moment.hour,
        moment.day,
        moment.month,
        moment.year - _CENTURY,
    )
    return b"".join(packed_bytes(part, 1) for part in parts)


def meter_address(reply: Frame) -> str:
    """The address told by a reply to READ_ADDRESS. Raises MalformedData."""
    if reply.function != Function.READ_ADDRESS or reply.error or len(reply.data) != TIME_BYTES:
        raise MalformedData("not an address of six bytes")
    text = reply.data[::-1].hex()
    if not text.isdecimal():
        raise MalformedData(f"address {text} is not decimal")
    return text


def _identifier_bytes(identifier: Identifier) -> bytes:
    raw = bytes.fromhex(identifier)
    if len(raw) != IDENTIFIER_BYTES:
        raise ValueError("an identifier has 8 hexadecimal digits")
    return raw[::-1]


@dataclass(frozen=True, slots=True)
class Quantity:
    """How the value of an identifier is written: `width` bytes, decimals, sign, unit."""

    name: str
    width: int
    decimals: int
    unit: str
    signed: bool = False

    def value(self, raw: bytes) -> Decimal | None:
        """The number; None when not available. Raises MalformedData on another length."""
        if len(raw) != self.width:
            raise MalformedData(f"{self.name}: {len(raw)} bytes instead of {self.width}")
        return packed(raw, decimals=self.decimals, signed=self.signed)


def _phases(prefix: str, name: str, layout: tuple[int, int, str, bool]) -> dict[str, Quantity]:
    width, decimals, unit, signed = layout
    return {
        f"{prefix}{phase:02X}00": Quantity(f"{name} L{phase}", width, decimals, unit, signed)
        for phase in (1, 2, 3)
    }


def _rates(prefix: str, name: str) -> dict[str, Quantity]:
    return {
        f"{prefix}{rate:02X}00": Quantity(
            name if rate == 0 else f"{name}, rate {rate}", 4, 2, "kWh"
        )
        for rate in range(9)
    }


# Annex A.1 to A.4. The energy and money left are of the prepayment supplement; their identifiers
# stand in no text at hand and want to be confirmed on a meter.
QUANTITIES: Mapping[Identifier, Quantity] = {
    "00000000": Quantity("active energy, combined", 4, 2, "kWh", signed=True),
    **_rates("0001", "active energy import"),
    **_rates("0002", "active energy export"),
    **_phases("0201", "voltage", (2, 1, "V", False)),
    **_phases("0202", "current", (3, 3, "A", True)),
    "02030000": Quantity("active power", 3, 4, "kW", signed=True),
    **_phases("0203", "active power", (3, 4, "kW", True)),
    "02040000": Quantity("reactive power", 3, 4, "kvar", signed=True),
    **_phases("0204", "reactive power", (3, 4, "kvar", True)),
    "02050000": Quantity("apparent power", 3, 4, "kVA", signed=True),
    "02060000": Quantity("power factor", 2, 3, "", signed=True),
    "02800002": Quantity("frequency", 2, 2, "Hz"),
    "00900100": Quantity("energy left", 4, 2, "kWh"),
    "00900101": Quantity("energy overdrawn", 4, 2, "kWh"),
    "00900200": Quantity("money left", 4, 2, "currency"),
    "00900201": Quantity("money overdrawn", 4, 2, "currency"),
    "03110000": Quantity("power failures", 3, 0, ""),
    "03300000": Quantity("programmings", 3, 0, ""),
    "03300400": Quantity("clock settings", 3, 0, ""),
    "03300D00": Quantity("meter cover openings", 3, 0, ""),
    "03300E00": Quantity("terminal cover openings", 3, 0, ""),
}

# The old edition's identifiers that its readers still meet (DL/T 645-1997).
QUANTITIES_1997: Mapping[Identifier, Quantity] = {
    "9010": Quantity("active energy import", 4, 2, "kWh"),
    "9020": Quantity("active energy export", 4, 2, "kWh"),
}
