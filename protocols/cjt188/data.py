"""Data of CJ/T 188 frames: what a water or gas meter has metered, and orders to its valve."""

from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal

UNITS = {
    0x02: "Wh",
    0x05: "kWh",
    0x08: "MWh",
    0x0E: "MJ",
    0x11: "GJ",
    0x14: "W",
    0x17: "kW",
    0x1A: "MW",
    0x29: "l",
    0x2C: "m3",
    0x32: "l/h",
    0x35: "m3/h",
}
VALVE = {0x55: "open", 0x99: "close"}
METERED_BYTES = 19  # a value and its unit twice, time, status
_VALUE_BYTES, _TIME_BYTES = 4, 7


class MalformedData(ValueError):
    """The frame is whole, but its data is not what its identifier says."""


@dataclass(frozen=True, slots=True)
class Metered:
    """What a meter tells: the register now and at the day of settlement; `time` is its own."""

    current: Decimal
    current_unit: str
    settled: Decimal
    settled_unit: str
    time: datetime | None
    status: bytes


def metered(data: bytes, zone: tzinfo) -> Metered:
    """Read the reply of a water or gas meter whose clock is in `zone`. Raises MalformedData."""
    if len(data) != METERED_BYTES:
        raise MalformedData(f"{len(data)} bytes metered, not {METERED_BYTES}")
    return Metered(
        current=_number(data[:4]),
        current_unit=_unit(data[4]),
        settled=_number(data[5:9]),
        settled_unit=_unit(data[9]),
        time=_time(data[10:17], zone),
        status=data[17:],
    )


def _number(value: bytes) -> Decimal:
    """Packed decimals, low pair first, two behind the point."""
    return Decimal(int(_digits(value))).scaleb(-2)


def _digits(value: bytes) -> str:
    digits = value[::-1].hex()
    if not digits.isdecimal():
        raise MalformedData(f"{digits} is not decimal")
    return digits


def _unit(code: int) -> str:
    return UNITS.get(code, f"unit {code:02X}")


def _time(value: bytes, zone: tzinfo) -> datetime | None:
    """ss mm hh DD MM YY and the century."""
    if value in (bytes(_TIME_BYTES), b"\xff" * _TIME_BYTES):
        return None
    digits = _digits(value)
    try:
        return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=zone)
    except ValueError as error:
        raise MalformedData(f"no time: {digits}") from error
