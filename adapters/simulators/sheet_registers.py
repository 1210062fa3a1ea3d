"""A meter of any model, simulated from a sheet: which registers say what, and what cannot be read.

The sheet is data that others fill, such as from a profile; the life of the meter is that of
`EnergyMeter`: a load, and an import register. Values can be set; the others follow from the load.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from adapters.simulators.modbus_units import Refusal, RefusalCode
from adapters.simulators.sdm_registers import HERTZ, VOLTS, EnergyMeter
from headend.readings import ReadingType
from protocols.modbus.blocks import Limits, Span
from protocols.modbus.registers import NumberFormat

_PHASES = ("L1", "L2", "L3")
_SQUARE_ROOT_OF_3 = Decimal("1.732")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One reading: its registers say the value in our unit divided by `factor`."""

    function: int
    span: Span
    format: NumberFormat
    factor: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """The registers of one model.

    `fixed` never change: what tells the model, and its ratios. `limits` are those of each function.
    Reads of `refused` registers are refused, as of those outside all that the sheet names.
    """

    model: str
    entries: Mapping[ReadingType, Entry]
    limits: Mapping[int, Limits]
    fixed: Mapping[tuple[int, int], int] = field(default_factory=dict)
    refused: frozenset[int] = frozenset()

    def bounds(self, function: int) -> Span | None:
        """From the first register to the last; None for a function that nothing is read by."""
        entries = (entry.span for entry in self.entries.values() if entry.function == function)
        fixed = (Span(at, 1) for by, at in self.fixed if by == function)
        spans = [*entries, *fixed]
        if not spans:
            return None
        start = min(span.start for span in spans)
        return Span(start, max(span.end for span in spans) - start)


class SheetRegisters:
    """The register map of one meter; nothing can be written."""

    def __init__(self, meter: EnergyMeter, sheet: Sheet) -> None:
        self._meter = meter
        self._sheet = sheet
        self._set: dict[ReadingType, int | None] = {}

    def set(self, kind: ReadingType, value: int | None) -> None:
        """Let a reading be this from now on, in its own unit; None is "not available".

        Raises KeyError where the model has no such reading, ValueError what it cannot say.
        """
        self._words(kind, value)
        self._set[kind] = value

    def read(self, function: int, start: int, count: int, now: datetime) -> bytes:
        """Registers as bytes; raises Refusal."""
        self._meter.advance(now)
        span = Span(start, count)
        self._check(function, span)
        image = [self._sheet.fixed.get((function, at), 0) for at in range(start, span.end)]
        for kind, entry in self._sheet.entries.items():
            if entry.function == function and span.covers(entry.span):
                at = entry.span.start - start
                image[at : at + entry.span.count] = self._words(kind, self.value(kind))
        return b"".join(word.to_bytes(2) for word in image)

    def write(self, start: int, data: bytes, now: datetime) -> None:
        """Always refused."""
        raise Refusal(RefusalCode.FUNCTION)

    def value(self, kind: ReadingType) -> int | None:
        """What this reading is now, in its unit: as set, else as the load makes it."""
        if kind in self._set:
            return self._set[kind]
        load, energy = Decimal(self._meter.load), Decimal(self._meter.import_milli)
        shown = dict(self._shown(load, energy))
        return int(shown.get(kind, 0))

    def _words(self, kind: ReadingType, value: int | None) -> tuple[int, ...]:
        entry = self._sheet.entries[kind]
        return entry.format.words(None if value is None else value / entry.factor)

    def _check(self, function: int, span: Span) -> None:
        bounds = self._sheet.bounds(function)
        if bounds is None:
            raise Refusal(RefusalCode.FUNCTION)
        limits = self._sheet.limits[function]
        if span.count > limits.max_read:
            raise Refusal(RefusalCode.VALUE)
        torn = any(
            entry.function == function and self._tears(span, entry.span)
            for entry in self._sheet.entries.values()
        )
        bad = not self._sheet.refused.isdisjoint(range(span.start, span.end))
        if torn or bad or not bounds.covers(span) or not limits.allow(span):
            raise Refusal(RefusalCode.ADDRESS)

    def _tears(self, span: Span, value: Span) -> bool:
        apart = span.end <= value.start or value.end <= span.start
        return not apart and not span.covers(value)

    def _shown(self, load: Decimal, energy: Decimal) -> Iterator[tuple[ReadingType, Decimal]]:
        """What a load of equal phases makes of every reading type that is not zero."""
        phases = [name for name in _PHASES if ReadingType[f"VOLTAGE_{name}_MV"] in self._entries]
        count = len(phases) or 1
        yield ReadingType.ENERGY_IMPORT_WH, energy
        yield ReadingType.ENERGY_NET_WH, energy
        yield ReadingType.ENERGY_IMPORT_T1_WH, energy
        yield ReadingType.POWER_W, load
        yield ReadingType.APPARENT_POWER_VA, load
        yield ReadingType.DEMAND_W, load
        yield ReadingType.FREQUENCY_MHZ, Decimal(HERTZ) * 1000
        yield ReadingType.POWER_FACTOR_MILLI, Decimal(1000)
        for name in ("L12", "L23", "L31"):
            between = Decimal(VOLTS) * _SQUARE_ROOT_OF_3 * 1000
            yield ReadingType[f"VOLTAGE_{name}_MV"], between
        for name in phases:
            yield ReadingType[f"VOLTAGE_{name}_MV"], Decimal(VOLTS) * 1000
            yield ReadingType[f"CURRENT_{name}_MA"], load * 1000 / count / Decimal(VOLTS)
            yield ReadingType[f"POWER_{name}_W"], load / count
            yield ReadingType[f"APPARENT_POWER_{name}_VA"], load / count
            yield ReadingType[f"POWER_FACTOR_{name}_MILLI"], Decimal(1000)
            yield ReadingType[f"ENERGY_IMPORT_{name}_WH"], energy / count

    @property
    def _entries(self) -> Mapping[ReadingType, Entry]:
        return self._sheet.entries
