"""What the registers of a meter prove: credit bought = credit gained + what was consumed.

A balance over two readings, exact to the resolution of the registers; without a consumption
register nothing is proved, for consumption hides credit.
"""

from collections.abc import Mapping
from decimal import Decimal

from headend.readings import Reading, ReadingType

_CONSUMPTION = (ReadingType.ENERGY_IMPORT_WH, ReadingType.VOLUME_L)
# Registers are cut, not rounded, and read a moment apart.
TOLERANCE_MILLI = 20


def register_shows(
    before: Mapping[ReadingType, Reading],
    after: Mapping[ReadingType, Reading],
    amount: Decimal,
) -> bool:
    """Between two sets of readings the meter was credited with `amount` (units of its service)."""
    credited = credited_milli(before, after)
    return credited is not None and abs(credited - int(amount * 1000)) <= TOLERANCE_MILLI


def credited_milli(
    before: Mapping[ReadingType, Reading], after: Mapping[ReadingType, Reading]
) -> int | None:
    """What the meter was credited between two sets of readings, in thousandths of its unit.

    None where the registers do not tell.
    """
    gained = _rise(before, after, ReadingType.CREDIT_LEFT_MILLI)
    used = next(
        (rise for kind in _CONSUMPTION if (rise := _rise(before, after, kind)) is not None),
        None,
    )
    if gained is None or used is None or used < 0:
        return None
    # One unit of consumption is 1000 of its register (Wh, l), as one unit of credit is.
    return gained + used


def _rise(
    before: Mapping[ReadingType, Reading],
    after: Mapping[ReadingType, Reading],
    kind: ReadingType,
) -> int | None:
    old, new = before.get(kind), after.get(kind)
    if old is None or new is None or new.taken_at <= old.taken_at:
        return None
    return new.value - old.value
