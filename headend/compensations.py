"""Compensations: the record that a home was dark beyond the legal limit after it had paid."""

from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Protocol

from headend.deliveries import Delivery, DeliveryState
from headend.meters import Drn, TenantId, UsagePointId
from headend.pages import Cursor, Page
from headend.recharges import Recharge, RechargeState
from headend.restoration import Ending, RestorationClock


@dataclass(frozen=True, slots=True, kw_only=True)
class Compensation:
    """One recharge beyond the limit. `ended_at` None: not lit as far as we know.

    `cause` is a word: of the dark meter, else of where the sale stands.
    """

    tenant: TenantId
    recharge_id: str
    drn: Drn
    sgc: str
    usage_point: UsagePointId | None
    reference: str | None
    paid_at: datetime
    limit_at: datetime
    recorded_at: datetime
    ended_at: datetime | None = None
    ended_by: Ending | None = None
    cause: str

    def minutes_over(self, now: datetime) -> int:
        """Begun minutes beyond the limit, until the end or until now."""
        over = (self.ended_at or now) - self.limit_at
        return max(0, ceil(over.total_seconds() / 60))


def record_of(
    clock: RestorationClock,
    recharge: Recharge,
    delivery: Delivery | None,
    *,
    usage_point: UsagePointId | None,
    now: datetime,
) -> Compensation:
    """The record of a clock whose limit has passed."""
    return Compensation(
        tenant=clock.tenant,
        recharge_id=clock.recharge_id,
        drn=clock.drn,
        sgc=clock.sgc,
        usage_point=usage_point,
        reference=recharge.order.reference,
        paid_at=clock.paid_at,
        limit_at=clock.limit_at,
        recorded_at=now,
        ended_at=clock.ended_at,
        ended_by=clock.ended_by,
        cause=cause_of(recharge, delivery),
    )


def cause_of(recharge: Recharge, delivery: Delivery | None) -> str:
    """Why it is dark, as far as the records tell, in one word."""
    if recharge.dark_cause is not None:
        return recharge.dark_cause.value
    match recharge.state:
        case RechargeState.OPEN:
            return "token_not_made"
        case RechargeState.CREDITED:
            return "supply_not_seen"
        case RechargeState.FAILED | RechargeState.UNRESOLVED if delivery and delivery.stopped_by:
            return delivery.stopped_by.value
        case RechargeState.ISSUED if delivery and delivery.state is not DeliveryState.DONE:
            return "no_answer" if delivery.attempts else "not_tried"
        case _:
            return "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompensationFilter:
    """All that is given must hold; times bound `limit_at`, `until` excluded."""

    sgc: str | None = None
    drn: Drn | None = None
    since: datetime | None = None
    until: datetime | None = None
    dark: bool | None = None


class Compensations(Protocol):
    """What the core asks of the database."""

    async def add(self, record: Compensation) -> None:
        """Raises Stale when the recharge has one."""

    async def find(self, tenant: TenantId, recharge_id: str) -> Compensation | None: ...

    async def ended(self, record: Compensation) -> None:
        """Write `ended_at`, `ended_by` and `cause`."""

    async def page(
        self, tenant: TenantId, cursor: Cursor, where: CompensationFilter
    ) -> Page[Compensation]:
        """Newest limit first."""
