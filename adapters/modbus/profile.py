"""Profile: which registers of a Modbus meter model hold what, and what else the model can do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from decimal import Decimal
from enum import StrEnum, unique

from adapters.modbus.frames import Table
from headend.events import EventType
from headend.meters import Capability, ProfileName
from headend.readings import ReadingType
from protocols.modbus.blocks import Limits, Span
from protocols.modbus.registers import NumberFormat, Order, text

Range = tuple[Decimal, Decimal]
# No meter tells less than a millionth: such a float is a counter, or of another order.
_LEAST_FLOAT = Decimal("1e-6")


@unique
class Verified(StrEnum):
    """What a profile rests on, the best first."""

    BENCH = "bench"
    LOG = "log"
    VENDOR = "vendor"
    THIRD_PARTY = "third-party"
    GUESS = "guess"


@unique
class ClockForm(StrEnum):
    """How a clock lies in its registers."""

    EPOCH = "epoch"  # u32, seconds since 1970
    YMDHMS = "ymdhms"  # three registers of two bytes: year of the century, month ... second


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Where a number is, and how to read it."""

    table: Table
    span: Span
    format: NumberFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor(Cell):
    """A register that multiplies readings: a transformer ratio, or a power of ten.

    `absent`: what stands for it where the meter refuses the read, or tells 0.
    """

    power_of_ten: bool
    absent: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterReading(Cell):
    """A reading. The meter's unit times `factor`, times the factors named in `times`, is ours.

    What is not `plausible` (in our unit) is doubted.
    """

    factor: Decimal
    times: tuple[str, ...]
    plausible: Range

    def value(self, words: tuple[int, ...], factors: Mapping[str, Decimal]) -> int | None:
        """In the unit of the reading type; None when the meter says "not available"."""
        number = self.format.value(words)
        if number is None:
            return None
        for name in self.times:
            number *= factors[name]
        return int((number * self.factor).to_integral_value())


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What tells a model: a text or number at one place, or a range that it lies in.

    A text fits when it begins so; a float too small for any meter never does. Where it
    `may_be_absent`, a meter that refuses the read fits, too; where it does not, `otherwise` may.
    """

    table: Table
    span: Span
    format: NumberFormat | None
    order: Order
    equals: tuple[str | int, ...]
    between: Range | None
    may_be_absent: bool = False
    otherwise: "Probe | None" = None

    def fits(self, words: tuple[int, ...]) -> bool:
        if self.format is None:
            return text(words, self.order).startswith(tuple(map(str, self.equals)))
        value = self.format.value(words)
        if value is not None and 0 < abs(value) < _LEAST_FLOAT and self.format.is_float:
            return False
        if self.between is not None:
            low, high = self.between
            return value is not None and low <= value <= high
        return value in self.equals


@dataclass(frozen=True, slots=True, kw_only=True)
class SupplyRegisters:
    """A relay by plain registers; each word means one thing and is written, never toggled."""

    contacts: Cell | None
    contacts_open: frozenset[int]
    contacts_closed: frozenset[int]
    order_at: int | None
    open_word: int | None
    permit_close_word: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockRegisters:
    """A clock by plain registers, in the local time of `zone`."""

    start: int
    form: ClockForm
    zone: tzinfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one model understands.

    `blocks` names the block protocol that carries tokens, supply, clock, events and history where
    `can` tells them; else supply and clock are plain registers. Every probe must fit; then the
    first of the variants whose probes fit is what is spoken to.
    """

    name: ProfileName
    title: str
    source: str
    verified: Verified
    can: Capability
    blocks: str | None
    probes: tuple[Probe, ...]
    factors: Mapping[str, Factor]
    readings: Mapping[ReadingType, RegisterReading]
    limits: Mapping[Table, Limits]
    answer_s: float | None = None
    supply: SupplyRegisters | None = None
    clock: ClockRegisters | None = None
    event_codes: Mapping[int, EventType] = field(default_factory=dict)
    rates: int | None = None
    variant: str | None = None
    variants: tuple["Profile", ...] = ()
