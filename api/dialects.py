"""The dialects of field lines that a captured frame can be explained in."""

from collections.abc import Mapping, Sequence
from enum import StrEnum, unique
from typing import Protocol

from adapters.modbus import explained as modbus
from protocols.dlt645 import explained as dlt645
from protocols.iec62056_21 import explained as iec62056_21


@unique
class Dialect(StrEnum):
    """What is spoken on a line."""

    MODBUS = "modbus"
    DLT645 = "dlt645"
    IEC62056_21 = "iec62056-21"


class Explain(Protocol):
    """Raises ValueError, with a text that says why, for bytes that are no whole frame."""

    def __call__(self, data: bytes, *, show_secrets: bool) -> Sequence[tuple[str, str]]: ...


EXPLAIN: Mapping[Dialect, Explain] = {
    Dialect.MODBUS: modbus.explain,
    Dialect.DLT645: dlt645.explain,
    Dialect.IEC62056_21: iec62056_21.explain,
}
