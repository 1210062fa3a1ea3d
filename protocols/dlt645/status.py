"""Status words and event records of DL/T 645 meters (annexes A.4 and C).

Word 3 tells of supply; events are a count and up to ten records, each of which begins with its
time. The bits are those of the printed standard; makers leave some at zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from enum import IntEnum, unique

from protocols.dlt645.data import TIME_BYTES, packed, time_of
from protocols.dlt645.errors import MalformedData

STATUS_WORD_3 = "04000503"
STATUS_BLOCK = "040005FF"
STATUS_WORDS = 7
_WORD_BYTES = 2
_COUNT_BYTES, _MINUTES_BYTES = 3, 3
RECORDS = 10


@unique
class Prepayment(IntEnum):
    """What a meter counts down."""

    NONE = 0
    ENERGY = 1
    MONEY = 2


_PREPAYMENTS: Mapping[int, Prepayment] = {kind.value: kind for kind in Prepayment}


@dataclass(frozen=True, slots=True)
class SupplyStatus:
    """Status word 3: `relay_open` is the contact, `open_ordered` the order it stands under."""

    relay_open: bool
    open_ordered: bool
    trip_alarm: bool
    prepayment: Prepayment | None
    on_battery: bool


def supply_status(value: bytes) -> SupplyStatus:
    """Read status word 3 (two bytes, low first). Raises MalformedData."""
    if len(value) != _WORD_BYTES:
        raise MalformedData(f"{len(value)} bytes are no status word")
    word = int.from_bytes(value, "little")
    kind = (word >> 8) & 0b11
    return SupplyStatus(
        relay_open=bool(word & 0x10),
        open_ordered=bool(word & 0x40),
        trip_alarm=bool(word & 0x80),
        prepayment=_PREPAYMENTS.get(kind),
        on_battery=(word >> 1) & 0b11 == 0b10,
    )


@dataclass(frozen=True, slots=True)
class EventLog:
    """One kind of event: `prefix` is the identifier without its last pair, 01 the newest record.

    `phase` is 1 to 3 where each phase has its records and one value counts them all; `time_at` is
    where the time stands in a record.
    """

    prefix: str
    name: str
    ends: bool = False
    phase: int | None = None
    time_at: int = 0

    @property
    def count_identifier(self) -> str:
        """What tells how often it happened."""
        return f"{self.prefix}00" if self.phase is None else f"{self.prefix[:4]}0000"

    def count(self, value: bytes) -> int:
        """How often it happened, of the value of `count_identifier`; meters of one phase tell of
        one. Raises MalformedData.
        """
        at = 0 if self.phase is None else (self.phase - 1) * (_COUNT_BYTES + _MINUTES_BYTES)
        if len(value) < at + _COUNT_BYTES:
            return 0
        return int(packed(value[at : at + _COUNT_BYTES]) or 0)

    def record_identifier(self, back: int) -> str:
        """The record `back` events ago, 1 the newest."""
        if not 1 <= back <= RECORDS:
            raise ValueError("records 1 to 10 are kept")
        return f"{self.prefix}{back:02X}"


def _phases(prefix: str, name: str) -> Sequence[EventLog]:
    return [EventLog(f"{prefix}0{n}", f"{name}_l{n}", ends=True, phase=n) for n in (1, 2, 3)]


EVENT_LOGS: Sequence[EventLog] = (
    EventLog("031100", "power_failure", ends=True),
    EventLog("033000", "programming"),
    # Who set it (4 bytes), the time before, the time after.
    EventLog("033004", "clock_set", time_at=10),
    EventLog("03300D", "meter_cover_open", ends=True),
    EventLog("03300E", "terminal_cover_open", ends=True),
    EventLog("030700", "phase_inversion", ends=True),
    *_phases("0301", "voltage_loss"),
    *_phases("0302", "undervoltage"),
    *_phases("0303", "overvoltage"),
    *_phases("0304", "phase_loss"),
    *_phases("030E", "reverse_flow"),
)

LOG_NAMES: Mapping[str, EventLog] = {log.name: log for log in EVENT_LOGS}


@dataclass(frozen=True, slots=True)
class EventRecord:
    """When it began and, where the log has it, ended."""

    began: datetime
    ended: datetime | None


def event_record(log: EventLog, value: bytes, zone: tzinfo) -> EventRecord | None:
    """The times of a record; None when the place is empty. Raises MalformedData."""
    times = value[log.time_at :]
    if len(times) < TIME_BYTES:
        raise MalformedData(f"{len(value)} bytes are no record")
    began = time_of(times[:TIME_BYTES], zone)
    if began is None:
        return None
    has_end = log.ends and len(times) >= 2 * TIME_BYTES
    return EventRecord(
        began, time_of(times[TIME_BYTES : 2 * TIME_BYTES], zone) if has_end else None
    )


@unique
class Condition(IntEnum):
    """What the status words tell of the present (annex C)."""

    CLOCK_BATTERY_LOW = 1
    READING_BATTERY_LOW = 2
    VOLTAGE_LOST = 3
    UNDERVOLTAGE = 4
    OVERVOLTAGE = 5
    REVERSE_FLOW = 6
    PHASE_CUT = 7
    PHASE_INVERSION = 8
    CURRENT_IMBALANCE = 9


_BATTERIES = {Condition.CLOCK_BATTERY_LOW: 2, Condition.READING_BATTERY_LOW: 3}
_OF_A_PHASE = {
    Condition.VOLTAGE_LOST: 0,
    Condition.UNDERVOLTAGE: 1,
    Condition.OVERVOLTAGE: 2,
    Condition.REVERSE_FLOW: 6,
    Condition.PHASE_CUT: 7,
}
_OF_ALL = {Condition.PHASE_INVERSION: 0, Condition.CURRENT_IMBALANCE: 3}


def conditions(block: bytes) -> Mapping[Condition, int]:
    """What stands now, by the seven status words; of phases a bit each, 1 for the first.

    Raises MalformedData.
    """
    if len(block) != STATUS_WORDS * _WORD_BYTES:
        raise MalformedData(f"{len(block)} bytes are no {STATUS_WORDS} status words")
    words = [int.from_bytes(block[at : at + 2], "little") for at in range(0, len(block), 2)]
    found = {kind: words[0] >> bit & 1 for kind, bit in _BATTERIES.items()}
    for kind, bit in _OF_A_PHASE.items():
        found[kind] = sum((words[3 + phase] >> bit & 1) << phase for phase in range(3))
    found |= {kind: words[6] >> bit & 1 for kind, bit in _OF_ALL.items()}
    return {kind: phases for kind, phases in found.items() if phases}
