"""Event logs of a simulated DL/T 645 meter: how often, and the last ten records of each kind.

Written from the tables of the standard (annex A.4) and not from our decoder of them. Fed from the
numbered log that every simulated meter keeps; records begin with when it began and when it ended.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

from adapters.simulators.logs import EventLog, EventRecord
from headend.events import EventType

RECORDS = 10
COUNT_BYTES = 3
NO_TIME = bytes(6)
CLOCK_SETTINGS = "033004"

_BEGINS = {
    EventType.POWER_DOWN: "031100",
    EventType.METER_COVER_OPENED: "03300D",
    EventType.TERMINAL_COVER_OPENED: "03300E",
    EventType.UNDERVOLTAGE: "030201",
    EventType.OVERVOLTAGE: "030301",
    EventType.PHASE_LOSS: "030401",
    EventType.PHASE_INVERSION: "030700",
    EventType.REVERSE_CURRENT: "030E01",
}
_ENDS = {EventType.POWER_UP: "031100", EventType.TERMINAL_COVER_CLOSED: "03300E"}
# Kinds that are counted for three phases in one value, with the minutes that they lasted.
_PHASES = ("0301", "0302", "0303", "0304", "030E")
_WITH_MINUTES = ("0307",)
_COUNTED = ("031100", "033000", CLOCK_SETTINGS, "03300D", "03300E", "030700")


@dataclass(slots=True)
class _Kind:
    count: int = 0
    newest_first: deque[bytes] = field(default_factory=lambda: deque(maxlen=RECORDS))


class Dlt645Logs:
    """The logs of one meter, by the identifier without its last pair."""

    def __init__(self) -> None:
        self._kinds: dict[str, _Kind] = {}
        self._taken = 0

    def take_from(self, log: EventLog) -> None:
        """Write down what has happened since the last time."""
        for record in log.since(self._taken + 1):
            self._taken = record.number
            self._take(record)

    def clock_was_set(self, *, before: datetime, after: datetime, operator: bytes) -> None:
        """The record of a clock setting names who did it, and both times."""
        self._begin(CLOCK_SETTINGS, operator + time_bytes(before) + time_bytes(after))

    def clear(self) -> None:
        """All counts are zero again."""
        self._kinds.clear()

    def value(self, identifier: str) -> bytes | None:
        """A count or a record; None for an identifier of no log."""
        prefix, last = identifier[:6], int(identifier[6:], 16)
        if identifier[4:] == "0000" and identifier[:4] in _PHASES:
            return b"".join(self._count(f"{identifier[:4]}0{phase}") + bytes(3) for phase in "123")
        known = prefix in _COUNTED or (prefix[:4] in _PHASES and prefix[4:] in ("01", "02", "03"))
        if not known or last > RECORDS:
            return None
        if last == 0:
            minutes = bytes(3) if prefix[:4] in _WITH_MINUTES else b""
            return self._count(prefix) + minutes if prefix in _COUNTED else None
        records = self._kinds.get(prefix, _Kind()).newest_first
        width = 16 if prefix == CLOCK_SETTINGS else 2 * len(NO_TIME)
        return records[last - 1] if last <= len(records) else bytes(width)

    def _take(self, record: EventRecord) -> None:
        if record.type in _BEGINS:
            self._begin(_BEGINS[record.type], time_bytes(record.at) + NO_TIME)
        elif (kind := self._kinds.get(_ENDS.get(record.type, ""))) and kind.newest_first:
            kind.newest_first[0] = kind.newest_first[0][: len(NO_TIME)] + time_bytes(record.at)

    def _begin(self, prefix: str, record: bytes) -> None:
        kind = self._kinds.setdefault(prefix, _Kind())
        kind.count += 1
        kind.newest_first.appendleft(record)

    def _count(self, prefix: str) -> bytes:
        return bcd(self._kinds.get(prefix, _Kind()).count, COUNT_BYTES)


def bcd(number: int, count: int) -> bytes:
    """Packed decimals, low pair first; of a number that is too long its last digits."""
    return bytes.fromhex(f"{number % 10 ** (2 * count):0{2 * count}d}")[::-1]


def time_bytes(moment: datetime) -> bytes:
    """ss mm hh DD MM YY."""
    return bytes.fromhex(f"{moment:%S%M%H%d%m%y}")
