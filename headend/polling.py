"""Polling: which meters are due to be read, and when they are due again."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from headend.meters import BusName, Drn, TenantId

# After a recharge the supply is looked at again, soon and then ever less often.
SUPPLY_LOOK_FIRST_S = 5
SUPPLY_LOOK_MAX_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """A meter's due reading. `misses` counts silent polls in a row."""

    tenant: TenantId
    drn: Drn
    bus: BusName
    due_at: datetime
    interval_s: int
    misses: int = 0


def due_again(poll: Poll, *, now: datetime, answered: bool, looking: bool) -> Poll:
    """The poll after one try. A silent meter is asked ever less often, up to 8 intervals.

    `looking`: a recharge waits for its supply; then the next look is soon.
    """
    misses = 0 if answered else poll.misses + 1
    wait_s = poll.interval_s * min(2 ** min(misses, 3), 8)
    if looking:
        wait_s = min(wait_s, SUPPLY_LOOK_FIRST_S * 2 ** min(misses, 6), SUPPLY_LOOK_MAX_S)
    return Poll(
        tenant=poll.tenant,
        drn=poll.drn,
        bus=poll.bus,
        due_at=now + timedelta(seconds=wait_s),
        interval_s=poll.interval_s,
        misses=misses,
    )
