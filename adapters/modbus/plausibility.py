"""What a reading can be at all: the check that catches a wrong model, word order or scale.

A meter is not believed when many of its readings are impossible; one alone is only doubted.
"""

from collections.abc import Mapping
from decimal import Decimal

from adapters.modbus.profile import Range
from headend.readings import ReadingType

# 10 MW through one meter, and what that is in a century.
_MOST_W = Decimal(10_000_000)
_MOST_WH = _MOST_W * 24 * 366 * 100

_BY_UNIT: Mapping[str, Range] = {
    "WH": (-_MOST_WH, _MOST_WH),
    "VARH": (-_MOST_WH, _MOST_WH),
    "W": (-_MOST_W, _MOST_W),
    "VAR": (-_MOST_W, _MOST_W),
    "VA": (-_MOST_W, _MOST_W),
    "MV": (Decimal(0), Decimal(1_000_000)),  # low voltage ends at 1000 V
    "MA": (Decimal(-10_000_000), Decimal(10_000_000)),
    "MHZ": (Decimal(40_000), Decimal(70_000)),
    "L": (Decimal(0), Decimal(10**12)),
    "MILLI": (Decimal(-1000), Decimal(1000)),
}
_CREDIT: Range = (Decimal(-(10**15)), Decimal(10**15))
# From 110 kV, and from thousands of amperes, to what a meter takes.
_RATIO = 1000
_AT_LEAST = 2


def usual_range(kind: ReadingType, *, behind_transformers: bool = False) -> Range:
    """What a reading of this type lies in, in its unit, whatever the meter."""
    if kind is ReadingType.CREDIT_LEFT_MILLI:
        return _CREDIT
    low, high = _BY_UNIT[kind.unit]
    if behind_transformers:
        low, high = low * _RATIO, high * _RATIO
    return (Decimal(0), high) if kind.cumulative else (low, high)


def nonsense(implausible: int, judged: int) -> bool:
    """So many of the readings are impossible that none of them can be believed."""
    return implausible >= _AT_LEAST and 2 * implausible >= judged
