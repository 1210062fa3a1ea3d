"""Profile: which registers of a Modbus meter model hold what, and what else the model can do."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from adapters.modbus.frames import Table
from headend.meters import Capability, ProfileName
from headend.readings import ReadingType
from protocols.modbus.blocks import Span, plan_reads
from protocols.modbus.registers import NumberFormat, Order, text


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterReading:
    """Where a reading is and how to read it, in the unit of its reading type.

    `exponent_at` is a signed holding register whose power of ten multiplies it.
    """

    table: Table
    span: Span
    format: NumberFormat
    exponent_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What tells this model: a text or number at one place, or a range that it lies in."""

    table: Table
    span: Span
    format: NumberFormat | None
    order: Order
    equals: str | int | None
    between: tuple[Decimal, Decimal] | None

    def fits(self, words: tuple[int, ...]) -> bool:
        if self.format is None:
            return text(words, self.order) == self.equals
        value = self.format.value(words)
        if self.between is not None:
            low, high = self.between
            return value is not None and low <= value <= high
        return value == self.equals


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one model understands. `prepay` names the block protocol of its token entry."""

    name: ProfileName
    title: str
    source: str
    can: Capability
    prepay: str | None
    probe: Probe
    readings: Mapping[ReadingType, RegisterReading]
    max_read: int
    max_hole: int
    barriers: frozenset[int]

    def reads(self, table: Table) -> tuple[Span, ...]:
        """The few reads that fetch all readings of one table."""
        spans = (reading.span for reading in self.readings.values() if reading.table is table)
        return plan_reads(
            spans, max_read=self.max_read, max_hole=self.max_hole, barriers=self.barriers
        )
