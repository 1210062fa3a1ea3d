"""Numbers and units of the payloads (docs/mqtt.md, section 2), exact: no binary fractions."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

from adapters.mqtt.counts import DROPPED
from headend.readings import ReadingType

MAX_VALUES = 64
_DECIMAL = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?")
_MAX_TEXT = 24
_MAX_INT = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A clock before or after this was never set.
_FIRST_MS = 946_684_800_000  # 2000
_LAST_MS = 4_102_444_800_000  # 2100
MAX_TID = 2**24 - 1


def _names() -> Iterator[tuple[str, ReadingType]]:
    yield "volume", ReadingType.VOLUME_L
    yield "credit", ReadingType.CREDIT_LEFT_MILLI
    for kind in ReadingType:
        if kind.obis is not None:
            yield kind.obis, kind
            yield kind.obis.partition(":")[2], kind


_TYPES = dict(_names())


def parse_values(values: Mapping[str, object]) -> dict[ReadingType, int]:
    """The understood values in the unit of their type; the others are counted and left out."""
    found: dict[ReadingType, int] = {}
    for place, (name, pair) in enumerate(values.items()):
        kind = _TYPES.get(name)
        value = parse_value(kind, pair) if kind and place < MAX_VALUES else None
        if kind is None or value is None:
            DROPPED.labels("value").inc()
        else:
            found[kind] = value
    return found


def parse_value(kind: ReadingType, pair: object) -> int | None:
    """A pair of number and unit, rounded to the unit of the type; None if it makes no sense."""
    match pair:
        case [number, str() as unit] if unit in kind.units:
            amount = parse_number(number)
        case _:
            return None
    if amount is None:
        return None
    value = int((amount * kind.units[unit]).quantize(Decimal(1), ROUND_HALF_EVEN))
    return value if abs(value) <= _MAX_INT else None


def parse_number(number: object) -> Decimal | None:
    """An integer or a decimal text; None for anything else, a JSON fraction too."""
    match number:
        case bool():
            return None
        case int() if abs(number) <= _MAX_INT:
            return Decimal(number)
        case str() if len(number) <= _MAX_TEXT and _DECIMAL.fullmatch(number):
            return Decimal(number)
        case _:
            return None


def parse_count(number: object, *, most: int) -> int | None:
    """An integer from 0 to `most`; None for anything else."""
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= most:
        return number
    return None


def parse_time(milliseconds: object) -> datetime | None:
    """Milliseconds since 1970 as aware UTC; None for a clock that was never set."""
    number = parse_count(milliseconds, most=_LAST_MS)
    if number is None or number < _FIRST_MS:
        return None
    return _EPOCH + timedelta(milliseconds=number)


def to_milliseconds(moment: datetime) -> int:
    """Aware time as milliseconds since 1970."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)
