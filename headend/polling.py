"""Polling: which meters are due to be read, and when they are due again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from headend.meters import BusName, Drn, Meter, TenantId

# After a recharge the supply is looked at again, soon and then ever less often.
SUPPLY_LOOK_FIRST_S = 5
SUPPLY_LOOK_MAX_S = 300
SUPPLY_LOOK_FOR = timedelta(hours=24)
# Each look waits for this share of the time that has gone since the first.
_SLOWING = 4
# A reading that noise has cost is had two seconds later; a meter that stays silent is asked at its
# interval, and its line sees to it that this costs the others nothing.
RETRY_FIRST_S = 2.0
REST_LEAST_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """A meter's due reading. `misses` counts silent polls in a row."""

    tenant: TenantId
    drn: Drn
    bus: BusName
    due_at: datetime
    interval_s: int
    misses: int = 0


class Polls(Protocol):
    async def put(self, poll: Poll) -> None:
        """Add or replace the poll of a meter."""

    async def remove(self, tenant: TenantId, drn: Drn) -> None: ...

    async def take_due(
        self, bus: BusName, *, now: datetime, until: datetime, limit: int
    ) -> Sequence[tuple[Poll, Meter]]:
        """Due ones, longest due first; their `due_at` becomes `until`, so one worker has them."""

    async def hasten(self, tenant: TenantId, drn: Drn, *, due_at: datetime) -> None:
        """Let it be due at that time, if it was to be later."""

    async def next_due(self, bus: BusName) -> datetime | None: ...


def due_again(
    poll: Poll,
    *,
    now: datetime,
    answered: bool,
    looking_since: datetime | None,
    rest_s: float | None = None,
) -> Poll:
    """The poll after one try. A lost answer is asked for again soon, then ever less often.

    `looking_since`: from then on something waits to be seen (a supply, an outcome); the looks are
    soon, then ever less often, and after SUPPLY_LOOK_FOR no more than the usual polls. `rest_s`:
    the line did not ask, and lets the meter rest so long; that is no miss.
    """
    misses = 0 if answered else poll.misses + 1
    wait_s = float(poll.interval_s)
    if misses:
        wait_s = min(wait_s, RETRY_FIRST_S * 2.0 ** min(misses - 1, 16))
    if looking_since is not None and now - looking_since < SUPPLY_LOOK_FOR:
        wait_s = min(wait_s, _look_s(now - looking_since, misses))
    if rest_s is not None:
        misses, wait_s = poll.misses, min(max(rest_s, REST_LEAST_S), poll.interval_s)
    return Poll(
        tenant=poll.tenant,
        drn=poll.drn,
        bus=poll.bus,
        due_at=now + timedelta(seconds=wait_s),
        interval_s=poll.interval_s,
        misses=misses,
    )


def _look_s(gone: timedelta, misses: int) -> float:
    soon_s = max(float(SUPPLY_LOOK_FIRST_S), gone.total_seconds() / _SLOWING)
    return min(soon_s * 2.0 ** min(misses, 6), float(SUPPLY_LOOK_MAX_S))
