"""Status words and event records of DL/T 645 meters (annexes A.4 and C).

Word 3 tells of supply; events are a count and up to ten records, each of which begins with its
time. The bits are those of the printed standard; makers leave some at zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from enum import IntEnum, unique

from protocols.dlt645.data import TIME_BYTES, time_of
from protocols.dlt645.errors import MalformedData

STATUS_WORD_3 = "04000503"
_WORD_BYTES = 2
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
    """One kind of event: `prefix` is the identifier without its last pair, 01 the newest record."""

    prefix: str
    name: str
    ends: bool = False

    @property
    def count_identifier(self) -> str:
        """How often it happened: 3 bytes."""
        return f"{self.prefix}00"

    def record_identifier(self, back: int) -> str:
        """The record `back` events ago, 1 the newest."""
        if not 1 <= back <= RECORDS:
            raise ValueError("records 1 to 10 are kept")
        return f"{self.prefix}{back:02X}"


EVENT_LOGS: Sequence[EventLog] = (
    EventLog("031100", "power_failure", ends=True),
    EventLog("033000", "programming"),
    EventLog("033004", "clock_set"),
    EventLog("03300D", "meter_cover_open", ends=True),
    EventLog("03300E", "terminal_cover_open", ends=True),
)

LOG_NAMES: Mapping[str, EventLog] = {log.name: log for log in EVENT_LOGS}


@dataclass(frozen=True, slots=True)
class EventRecord:
    """When it began and, where the log has it, ended."""

    began: datetime
    ended: datetime | None


def event_record(log: EventLog, value: bytes, zone: tzinfo) -> EventRecord | None:
    """The times of a record; None when the place is empty. Raises MalformedData."""
    if len(value) < TIME_BYTES:
        raise MalformedData(f"{len(value)} bytes are no record")
    began = time_of(value[:TIME_BYTES], zone)
    if began is None:
        return None
    has_end = log.ends and len(value) >= 2 * TIME_BYTES
    return EventRecord(
        began, time_of(value[TIME_BYTES : 2 * TIME_BYTES], zone) if has_end else None
    )
