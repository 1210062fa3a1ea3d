"""What a simulated meter keeps of past days and months: import and what was bought, UTC.

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
    """`used` since the end of the day before, `register` the import then; Wh or litres.

    `bought_milli` in its month, up to then: thousandths of a unit, or of money.
    """

    end: datetime
    used: int | None
    register: int
    bought_milli: int = 0


class DayBook:
    """Closed at every midnight."""

    def __init__(self, now: datetime) -> None:
        self.due = _midnight_after(now)
        self._days: deque[DayEnd] = deque(maxlen=DAYS_KEPT)
        self._months: deque[DayEnd] = deque(maxlen=MONTHS_KEPT)
        self._bought_before = 0

    @property
    def days(self) -> Sequence[DayEnd]:
        """The newest first."""
        return tuple(self._days)

    @property
    def months(self) -> Sequence[DayEnd]:
        """The last days of months, the newest first."""
        return tuple(self._months)

    def close(self, register: int, bought_milli: int) -> None:
        """The day that ends now is over; `bought_milli` is all that was ever bought."""
        used = register - self._days[0].register if self._days else None
        day = DayEnd(self.due, used, register, bought_milli - self._bought_before)
        self._days.appendleft(day)
        if self.due.day == 1:
            self._months.appendleft(day)
            self._bought_before = bought_milli
        self.due += DAY


def _midnight_after(now: datetime) -> datetime:
    return datetime.combine(now.astimezone(UTC).date(), time(), UTC) + DAY
