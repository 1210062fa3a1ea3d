"""What a simulated meter keeps of past days and months: import at the end of each, UTC.

A day that the meter did not live through to its end, the first one, is no complete day.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

DAYS_KEPT, MONTHS_KEPT = 31, 12
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DayEnd:
    """`used` since the end of the day before, `register` the import then; Wh or litres."""

    end: datetime
    used: int | None
    register: int


class DayBook:
    """Closed at every midnight."""

    def __init__(self, now: datetime) -> None:
        self.due = _midnight_after(now)
        self._days: deque[DayEnd] = deque(maxlen=DAYS_KEPT)
        self._months: deque[DayEnd] = deque(maxlen=MONTHS_KEPT)

    @property
    def days(self) -> Sequence[DayEnd]:
        """The newest first."""
        return tuple(self._days)

    @property
    def months(self) -> Sequence[DayEnd]:
        """The last days of months, the newest first."""
        return tuple(self._months)

    def close(self, register: int) -> None:
        """The day that ends now is over."""
        used = register - self._days[0].register if self._days else None
        day = DayEnd(self.due, used, register)
        self._days.appendleft(day)
        if self.due.day == 1:
            self._months.appendleft(day)
        self.due += DAY


def _midnight_after(now: datetime) -> datetime:
    return datetime.combine(now.astimezone(UTC).date(), time(), UTC) + DAY
