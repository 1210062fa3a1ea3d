"""Restoration: the clock of each recharge from payment to light, and what is due at which time.

At one time somebody is told, at another the law was broken. What counts as light depends on what
can be seen: supply where the meter tells it; else the credit; where a meter takes tokens by keypad
only, our part is done with the digits in hand, and whether it is lit cannot be told.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum, unique
from typing import Protocol

from headend.deliveries import Delivery
from headend.meters import Capability, Drn, TenantId
from headend.recharges import Recharge, RechargeState
from headend.supply_groups import Reveal, SupplyGroup

# A dark home is looked at again after so long, and ever less often with its age.
LOOK_AGAIN = timedelta(seconds=60)
LOOK_AGAIN_MAX = timedelta(minutes=15)


@unique
class Sight(StrEnum):
    """What can be seen of a meter after a sale."""

    SUPPLY = "supply"
    CREDIT = "credit"
    NOTHING = "nothing"


@unique
class Choice(StrEnum):
    """Why the digits go out when they do; remote goes on in every case."""

    USUAL = "usual"
    RARELY_ANSWERS = "rarely_answers"
    SILENT = "silent"
    ONLY_BY_HAND = "only_by_hand"
    NOBODY_TO_TELL = "nobody_to_tell"


@unique
class Ending(StrEnum):
    """What ended a clock."""

    LIT = "lit"
    BUTTON = "awaiting_button"
    CREDITED = "credited"
    HANDED_OVER = "handed_over"
    UNDONE = "undone"


@unique
class Threshold(StrEnum):
    """A time that has come without light."""

    TELL = "tell"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorationClock:
    """One recharge's clock. `sight` and `choice` are None until its token is made.

    `chance_percent` is how likely the meter answered at that hour, where enough was known.
    `due_at` is when it is looked at next, None once it has ended.
    """

    tenant: TenantId
    recharge_id: str
    drn: Drn
    sgc: str
    paid_at: datetime
    digits_due_at: datetime
    tell_at: datetime
    limit_at: datetime
    sight: Sight | None = None
    choice: Choice | None = None
    chance_percent: int | None = None
    told_at: datetime | None = None
    limit_passed_at: datetime | None = None
    ended_at: datetime | None = None
    ended_by: Ending | None = None
    due_at: datetime | None
    version: int = 1

    def ending(
        self, recharge: Recharge, delivery: Delivery | None
    ) -> tuple[Ending, datetime] | None:
        """What ended it and when, as the records tell; None while the home may be dark."""
        if self.ended_by is not None and self.ended_at is not None:
            return self.ended_by, self.ended_at
        match recharge.state:
            case RechargeState.LIT:
                return Ending.LIT, recharge.supply_at or recharge.changed_at
            case RechargeState.AWAITING_BUTTON:
                return Ending.BUTTON, recharge.supply_at or recharge.changed_at
            case RechargeState.REVERSED | RechargeState.REPLACED:
                return Ending.UNDONE, recharge.reversed_at or recharge.changed_at
            case RechargeState.CREDITED if self.sight is not Sight.SUPPLY and delivery is not None:
                return Ending.CREDITED, delivery.confirmed_at or delivery.changed_at
        return self._handed(recharge, delivery)

    def _handed(
        self, recharge: Recharge, delivery: Delivery | None
    ) -> tuple[Ending, datetime] | None:
        if self.sight is not Sight.NOTHING or delivery is None:
            return None
        if delivery.handed_at is not None:
            return Ending.HANDED_OVER, delivery.handed_at
        if delivery.revealed and recharge.reveal is Reveal.AT_ONCE:
            return Ending.HANDED_OVER, delivery.created_at
        return None

    def late_at(self, recharge: Recharge, delivery: Delivery | None, now: datetime) -> bool:
        """Paid and not lit, past the time at which somebody is told."""
        return self.ending(recharge, delivery) is None and now >= self.tell_at


@dataclass(frozen=True, slots=True)
class Strike:
    """A look at a clock: how it stands now, and the thresholds passed since the last look."""

    clock: RestorationClock
    passed: Sequence[Threshold] = field(default=())


def strike(
    clock: RestorationClock, recharge: Recharge, delivery: Delivery | None, *, now: datetime
) -> Strike:
    """What is due of a clock now. Each threshold is passed once, however late we look."""
    end = clock.ending(recharge, delivery)
    passed = []
    # Who is lit by now need not be told of; that the law was broken stays true.
    if clock.told_at is None and end is None and now >= clock.tell_at:
        passed.append(Threshold.TELL)
    dark_until = end[1] if end is not None else now
    if clock.limit_passed_at is None and dark_until >= clock.limit_at:
        passed.append(Threshold.LIMIT)
    after = replace(
        clock,
        told_at=now if Threshold.TELL in passed else clock.told_at,
        limit_passed_at=now if Threshold.LIMIT in passed else clock.limit_passed_at,
        ended_by=end[0] if end else None,
        ended_at=end[1] if end else None,
        version=clock.version + 1,
    )
    return Strike(replace(after, due_at=None if end else _next_look(after, now)), tuple(passed))


def _next_look(clock: RestorationClock, now: datetime) -> datetime:
    if clock.told_at is None:
        return clock.tell_at
    if clock.limit_passed_at is None:
        return clock.limit_at
    over = (now - clock.limit_at) / 20
    return now + min(max(LOOK_AGAIN, over), LOOK_AGAIN_MAX)


def new_clock(recharge: Recharge, group: SupplyGroup, *, paid_at: datetime) -> RestorationClock:
    """The clock of a sale that was just opened."""
    times = group.restoration
    tell_at = paid_at + timedelta(seconds=times.tell_after_s)
    return RestorationClock(
        tenant=recharge.tenant,
        recharge_id=recharge.id,
        drn=recharge.drn,
        sgc=group.sgc,
        paid_at=paid_at,
        digits_due_at=paid_at + timedelta(seconds=group.fallback_after_s),
        tell_at=tell_at,
        limit_at=paid_at + timedelta(seconds=times.limit_after_s),
        due_at=tell_at,
    )


def sight_of(can: Capability) -> Sight:
    """What a profile lets us see on its wire."""
    if Capability.SUPPLY in can:
        return Sight.SUPPLY
    return Sight.CREDIT if Capability.ENTER_TOKEN in can else Sight.NOTHING


@dataclass(frozen=True, slots=True)
class Overdue:
    """How many clocks of a tenant run past a threshold: homes that are dark for so long."""

    tenant: TenantId
    threshold: Threshold
    count: int


class RestorationClocks(Protocol):
    """What the core asks of the database. Issuing and looking write different columns."""

    async def add(self, clock: RestorationClock) -> None:
        """Raises Stale when the recharge has one."""

    async def find(self, tenant: TenantId, recharge_id: str) -> RestorationClock | None: ...

    async def issued(self, clock: RestorationClock) -> None:
        """Write `sight`, `choice`, `chance_percent` and `digits_due_at`; `version` stays."""

    async def save(self, clock: RestorationClock, *, was: int) -> None:
        """Write what a look found; `was` is the version read, raises Stale."""

    async def due(self, *, now: datetime, limit: int) -> Sequence[RestorationClock]:
        """Those to be looked at, longest due first, of every tenant."""

    async def overdue(self, *, now: datetime) -> Sequence[Overdue]:
        """Those that run and are past `tell_at`, and past `limit_at`; none where there are none."""
