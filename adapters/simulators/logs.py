"""What a simulated meter remembers: its last ten tokens, and its numbered events.

Times are the meter's own clock. The digits of a token are not kept.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, unique
from itertools import islice

from headend.events import EventType
from headend.tokens import TokenResult
from protocols.sts.tables import TokenClass

TOKEN_LOG = 10
EVENT_LOG = 200

RequestId = int | str  # u32 on Modbus, text on MQTT


@unique
class Origin(IntEnum):
    """Where a token came from (register D088; 0 is ours for the keypad)."""

    KEYPAD = 0
    HEADEND = 1
    LOCAL_GATEWAY = 2
    HANDHELD = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEntry:
    """One token as taken or refused. Credit in thousandths; `at` by the meter's clock."""

    result: TokenResult
    at: datetime
    origin: Origin
    request_id: RequestId | None = None
    token_class: TokenClass | None = None
    subclass: int = 0
    tid: int | None = None
    amount_milli: int = 0
    credit_before_milli: int = 0
    credit_after_milli: int = 0
    lockout_s: int = 0
    krn: int = 0
    tariff_index: int = 0
    sections_pending: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """One event; `number` counts from 1. `entry` is the token of events 0601 and 0602."""

    number: int
    type: EventType
    at: datetime
    argument: int = 0
    entry: TokenEntry | None = None


class TokenLog:
    """The last ten entries, and how many tokens were ever accepted."""

    def __init__(self) -> None:
        self._entries: deque[TokenEntry] = deque(maxlen=TOKEN_LOG)
        self.accepted = 0

    def add(self, entry: TokenEntry) -> None:
        self._entries.appendleft(entry)
        if entry.result is TokenResult.ACCEPT:
            self.accepted += 1

    def newest_first(self) -> Sequence[TokenEntry]:
        return tuple(self._entries)


class EventLog:
    """The last events, oldest dropped; numbers go on rising."""

    def __init__(self) -> None:
        self._records: deque[EventRecord] = deque(maxlen=EVENT_LOG)
        self.newest = 0

    @property
    def oldest(self) -> int:
        """Number of the oldest record still held; 0 when there is none."""
        return self._records[0].number if self._records else 0

    def add(
        self,
        type: EventType,
        at: datetime,
        *,
        argument: int = 0,
        entry: TokenEntry | None = None,
    ) -> None:
        self.newest += 1
        record = EventRecord(number=self.newest, type=type, at=at, argument=argument, entry=entry)
        self._records.append(record)

    def since(self, number: int, limit: int | None = None) -> Sequence[EventRecord]:
        """Records from `number` on, oldest first."""
        wanted = (record for record in self._records if record.number >= number)
        return tuple(islice(wanted, limit))
