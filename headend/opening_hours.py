"""Opening hours: when supply may be opened in a supply group, in the group's own local time.

Nobody is cut off on a Friday night: without a rule of the utility, supply is opened on working days
from 8 to 16. For safety it may be opened at any time, outside the hours with a second person.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from headend.meters import TenantId

WORKING_DAYS = range(5)
DEFAULT_FROM, DEFAULT_UNTIL = time(8), time(16)
# A group that is closed for longer than this is looked at again after it.
LOOK_AHEAD_DAYS = 30


def _working_hours() -> dict[int, tuple[time, time]]:
    return dict.fromkeys(WORKING_DAYS, (DEFAULT_FROM, DEFAULT_UNTIL))


@dataclass(frozen=True, slots=True, kw_only=True)
class OpeningHours:
    """From when (included) until when (excluded) on each weekday, Monday 0; never on `closed_on`.

    A weekday that is not named is closed. `time.max` as the end is the end of the day.
    """

    tenant: TenantId
    sgc: str
    hours: Mapping[int, tuple[time, time]] = field(default_factory=_working_hours)
    closed_on: frozenset[date] = frozenset()
    version: int = 0
    changed_by: str = ""
    changed_at: datetime

    def allow(self, now: datetime, *, zone: str) -> bool:
        """Whether supply may be opened now."""
        local = now.astimezone(ZoneInfo(zone))
        hours = self._on(local.date())
        return hours is not None and hours[0] <= local.time() < hours[1]

    def next_open(self, now: datetime, *, zone: str) -> datetime:
        """The first moment after now at which supply may be opened; at most 30 days ahead."""
        local = now.astimezone(ZoneInfo(zone))
        for days in range(LOOK_AHEAD_DAYS):
            day = local.date() + timedelta(days=days)
            hours = self._on(day)
            if hours is None:
                continue
            begins = datetime.combine(day, hours[0], tzinfo=ZoneInfo(zone)).astimezone(UTC)
            if begins > now:
                return begins
        return now + timedelta(days=LOOK_AHEAD_DAYS)

    def _on(self, day: date) -> tuple[time, time] | None:
        return None if day in self.closed_on else self.hours.get(day.weekday())


def default_hours(tenant: TenantId, sgc: str, now: datetime) -> OpeningHours:
    """The hours of a group for which the utility has set none."""
    return OpeningHours(tenant=tenant, sgc=sgc, changed_at=now)


class OpeningHoursOfGroups(Protocol):
    """The collection of a transaction."""

    async def find(self, tenant: TenantId, sgc: str) -> OpeningHours | None: ...

    async def put(self, hours: OpeningHours, *, was: int | None) -> None:
        """Add (`was` None) or change; raises Stale."""
