"""Units of M-Bus records by their VIF (EN 13757-3, table of primary value information)."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

TEXT_VIF = 0x7C
_SECONDS = (Decimal(1), Decimal(60), Decimal(3600), Decimal(86_400))


@dataclass(frozen=True, slots=True)
class Unit:
    """What a number means: number x 10^exponent x factor in `unit`; `date`: a moment instead."""

    name: str
    unit: str
    exponent: int = 0
    factor: Decimal = Decimal(1)
    date: bool = False
    known: bool = True


# First VIF of a row, how many there are, name, unit, exponent of the first.
_SCALED = (
    (0x00, 8, "energy", "Wh", -3),
    (0x08, 8, "energy", "J", 0),
    (0x10, 8, "volume", "m3", -6),
    (0x18, 8, "mass", "kg", -3),
    (0x28, 8, "power", "W", -3),
    (0x30, 8, "power", "J/h", 0),
    (0x38, 8, "volume flow", "m3/h", -6),
    (0x40, 8, "volume flow", "m3/min", -7),
    (0x48, 8, "volume flow", "m3/s", -9),
    (0x50, 8, "mass flow", "kg/h", -3),
    (0x58, 4, "flow temperature", "C", -3),
    (0x5C, 4, "return temperature", "C", -3),
    (0x60, 4, "temperature difference", "K", -3),
    (0x64, 4, "external temperature", "C", -3),
    (0x68, 4, "pressure", "bar", -3),
)
_TIMES = ((0x20, "on time"), (0x24, "operating time"), (0x70, "averaging"), (0x74, "actuality"))
_OTHERS = {
    0x6C: Unit("date", "", date=True),
    0x6D: Unit("time", "", date=True),
    0x6E: Unit("heat cost", "units"),
    0x78: Unit("fabrication number", ""),
    0x79: Unit("identification", ""),
    0x7A: Unit("bus address", ""),
}


def _table() -> dict[int, Unit]:
    table = dict(_OTHERS)
    for first, count, name, unit, exponent in _SCALED:
        table |= {first + n: Unit(name, unit, exponent + n) for n in range(count)}
    for first, name in _TIMES:
        table |= {first + n: Unit(name, "s", factor=_SECONDS[n]) for n in range(4)}
    return table


_PRIMARY = _table()


def unit_of(vif: int, extensions: Sequence[int]) -> Unit:
    """What a VIF means; an extended one changes the meaning, and is not known here."""
    plain = _PRIMARY.get(vif & 0x7F)
    if plain is None or extensions:
        shown = bytes([vif, *extensions]).hex(" ")
        return Unit(f"VIF {shown}", "", known=False)
    return plain
