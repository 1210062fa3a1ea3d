"""The dialects of field lines that a captured frame can be explained in."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum, unique
from typing import Protocol

from adapters.modbus import explained as modbus
from protocols.cjt188 import explained as cjt188
from protocols.dlt645 import explained as dlt645
from protocols.iec62056_21 import explained as iec62056_21
from protocols.mbus import explained as mbus
from protocols.mercury200 import explained as mercury200
from protocols.mercury230 import explained as mercury230
from protocols.milur import explained as milur
from protocols.pulsar import explained as pulsar
from protocols.qgdw376 import explained as qgdw376


@unique
class Dialect(StrEnum):
    """What is spoken on a line; meters are read by the first three, the others are explained."""

    MODBUS = "modbus"
    DLT645 = "dlt645"
    IEC62056_21 = "iec62056-21"
    CJT188 = "cjt188"
    MBUS = "mbus"
    MERCURY200 = "mercury200"
    MERCURY230 = "mercury230"
    MILUR = "milur"
    PULSAR = "pulsar"
    QGDW376 = "qgdw376.1"


class Explain(Protocol):
    """Raises ValueError, with a text that says why, for bytes that are no whole frame."""

    def __call__(self, data: bytes, *, show_secrets: bool) -> Sequence[tuple[str, str]]: ...


def _plain(explain: Callable[[bytes], Sequence[tuple[str, str]]]) -> Explain:
    """A dialect whose frames have no secrets."""

    def explained(data: bytes, **_: bool) -> Sequence[tuple[str, str]]:
        return explain(data)

    return explained


EXPLAIN: Mapping[Dialect, Explain] = {
    Dialect.MODBUS: modbus.explain,
    Dialect.DLT645: dlt645.explain,
    Dialect.IEC62056_21: iec62056_21.explain,
    Dialect.CJT188: _plain(cjt188.explain),
    Dialect.MBUS: _plain(mbus.explain),
    Dialect.MERCURY200: _plain(mercury200.explain),
    Dialect.MERCURY230: mercury230.explain,
    Dialect.MILUR: milur.explain,
    Dialect.PULSAR: _plain(pulsar.explain),
    Dialect.QGDW376: qgdw376.explain,
}
