"""Ranges of fields, checked when a record is made, so that no record holds what 66 bits cannot."""

from collections.abc import Mapping
from typing import ClassVar

from protocols.sts.errors import RangeError

NIBBLE_MAX = 0xF
WORD16_MAX = 0xFFFF
WORD32_MAX = 0xFFFF_FFFF
TID_MAX = 0xFF_FFFF
SGC_MAX = 999_999
TARIFF_INDEX_MAX = 99
KRN_MIN, KRN_MAX = 1, 9
KEN_MAX = 0xFF


def require(field: str, value: int, low: int, high: int) -> None:
    """Raise RangeError, naming the field, unless ``low <= value <= high``."""
    if not low <= value <= high:
        raise RangeError(field, f"must lie between {low} and {high}")


class Limited:
    """A record whose integer fields must lie within its LIMITS: name -> (lowest, highest)."""

    __slots__ = ()
    LIMITS: ClassVar[Mapping[str, tuple[int, int]]] = {}

    def __post_init__(self) -> None:
        for field, (low, high) in self.LIMITS.items():
            require(field, getattr(self, field), low, high)
