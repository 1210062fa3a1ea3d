"""Records of M-Bus replies (EN 13757-3, 6 and 7): who tells, and numbers with their units.

A record is DIF and extensions, VIF and extensions, and as many bytes as the DIF says; all numbers
are low byte first. What is not known here keeps its bytes. Numbers are exact.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from math import isfinite
from typing import TypeAlias

from protocols.mbus.value_units import TEXT_VIF, Unit, unit_of

HEADER_BYTES = 12
RECORDS_MAX = 120
EXTENSIONS_MAX = 10
LONG_HEADER, NO_HEADER = 0x72, 0x78

Value: TypeAlias = Decimal | date | datetime | str | None

_FILLER, _MAKER, _MAKER_MORE, _SPECIAL = 0x2F, 0x0F, 0x1F, 0x0F
_BYTES = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 4, 6: 6, 7: 8, 8: 0, 9: 1, 10: 2, 11: 3, 12: 4, 14: 6}
_FLOAT, _VARIABLE = 5, 13
_BCD = range(9, 15)
_FUNCTIONS = ("now", "maximum", "minimum", "while in error")
_MORE = 0x80


class MalformedData(ValueError):
    """The frame is whole, but its data are not records."""


@dataclass(frozen=True, slots=True)
class Header:
    """Who tells: `ident` as on the plate, the maker's three letters, `medium` by EN 13757-3."""

    ident: str
    manufacturer: str
    version: int
    medium: int
    access: int
    status: int


@dataclass(frozen=True, slots=True)
class Record:
    """One value; `value` is None where it is not available or not known, `raw` are its bytes."""

    unit: Unit
    function: str
    storage: int
    tariff: int
    value: Value
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Told:
    """All of a reply: its records, what only the maker understands, whether more follows."""

    header: Header
    records: Sequence[Record]
    maker_data: bytes = field(repr=False)
    more: bool


def told(data: bytes) -> Told:
    """Read the data of a reply with a long header (CI 72). Raises MalformedData."""
    if len(data) < HEADER_BYTES:
        raise MalformedData(f"{len(data)} bytes are no header")
    header = _header(data[:HEADER_BYTES])
    records: list[Record] = []
    reader = _Reader(data[HEADER_BYTES:])
    while reader.left:
        dif = reader.byte()
        if dif in (_MAKER, _MAKER_MORE):
            return Told(header, tuple(records), reader.rest(), dif == _MAKER_MORE)
        if dif == _FILLER:
            continue
        if dif & 0x0F == _SPECIAL:
            raise MalformedData(f"DIF {dif:02x} is no record")
        if len(records) == RECORDS_MAX:
            raise MalformedData("too many records")
        records.append(_record(reader, dif))
    return Told(header, tuple(records), b"", more=False)


class _Reader:
    """Takes bytes from the front. Raises MalformedData at the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def byte(self) -> int:
        return self.take(1)[0]

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise MalformedData(f"a record wants {count} bytes, {self.left} are left")
        self._at += count
        return self._data[self._at - count : self._at]

    def rest(self) -> bytes:
        return self.take(self.left)

    def extensions(self, first: int) -> Sequence[int]:
        """The extension bytes behind a DIF or VIF."""
        found: list[int] = []
        last = first
        while last & _MORE:
            if len(found) == EXTENSIONS_MAX:
                raise MalformedData(f"more than {EXTENSIONS_MAX} extensions")
            last = self.byte()
            found.append(last)
        return found


def _header(data: bytes) -> Header:
    ident = data[:4][::-1].hex()
    number = int.from_bytes(data[4:6], "little")
    letters = "".join(chr((number >> shift & 0x1F) + 64) for shift in (10, 5, 0))
    return Header(ident, letters, data[6], data[7], data[8], data[9])


def _record(reader: _Reader, dif: int) -> Record:
    storage, tariff = dif >> 6 & 1, 0
    for place, dife in enumerate(reader.extensions(dif)):
        storage |= (dife & 0x0F) << 4 * place + 1
        tariff |= (dife >> 4 & 0b11) << 2 * place
    vif = reader.byte()
    extensions = [] if vif & ~_MORE == TEXT_VIF else list(reader.extensions(vif))
    if vif & ~_MORE == TEXT_VIF:
        text = reader.take(reader.byte())[::-1].decode("latin-1")
        extensions = list(reader.extensions(vif))
        unit = Unit(text if text.isprintable() else text.encode("latin-1").hex(), "")
    else:
        unit = unit_of(vif, extensions)
    kind = dif & 0x0F
    raw = reader.take(reader.byte() if kind == _VARIABLE else _BYTES[kind])
    function = _FUNCTIONS[dif >> 4 & 0b11]
    return Record(unit, function, storage, tariff, _value(kind, raw, unit), raw)


def _value(kind: int, raw: bytes, unit: Unit) -> Value:
    if not raw or not unit.known:
        return None
    if unit.date:
        return _date(raw)
    if kind == _VARIABLE:
        text = raw[::-1].decode("latin-1")
        return text if text.isprintable() else None
    number = _number(kind, raw)
    return None if number is None else number.scaleb(unit.exponent) * unit.factor


def _number(kind: int, raw: bytes) -> Decimal | None:
    if kind == _FLOAT:
        (real,) = struct.unpack("<f", raw)
        return Decimal(f"{real:.7g}") if isfinite(real) else None
    if kind not in _BCD:
        return Decimal(int.from_bytes(raw, "little", signed=True))
    digits = raw[::-1].hex()
    negative = digits[0] == "f"
    digits = digits[1:] if negative else digits
    if not digits.isdecimal():
        return None  # not available, or an error of the meter
    return -Decimal(int(digits)) if negative else Decimal(int(digits))


def _date(raw: bytes) -> Value:
    """Types G (two bytes) and F (four bytes, with the minute), by the meter's own clock."""
    if len(raw) not in (2, 4):
        return None
    low, high = raw[-2:]
    year = 2000 + (low >> 5 | (high >> 4) << 3)
    try:
        day = date(year, high & 0x0F, low & 0x1F)
    except ValueError:
        return None
    if len(raw) == 2:
        return day
    minute, hour = raw[0] & 0x3F, raw[1] & 0x1F
    if raw[0] & 0x80 or minute > 59 or hour > 23:
        return None
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
