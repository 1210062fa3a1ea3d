"""Openings: when supply may be opened at a usage point; asked at the order and before sending."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from headend.commands import SetSupply
from headend.dangers import Danger
from headend.deliveries import Delivery, Fact
from headend.meters import Meter
from headend.newest_supply import overtaken
from headend.opening_hours import default_hours
from headend.outcomes import Outcome
from headend.refusals import OrderRefused, OutsideHours, SupplyProtected
from headend.store import Transaction
from headend.supply import SupplyAction, SupplyReason

# An opening that is held is looked at again after this.
HELD_FOR = timedelta(minutes=1)
# One that may be in the meter is not left unseen until the hours begin.
DOUBT_LOOKED_AT_EVERY = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Judged:
    """Why an opening is refused, or why it needs a second person, or neither."""

    refusal: OrderRefused | None = None
    always: str | None = None


async def judge_opening(
    tx: Transaction, meter: Meter, order: SetSupply, *, now: datetime
) -> Judged:
    """Whether supply may be opened there now; `order` opens."""
    if await _protected(tx, meter):
        return Judged(SupplyProtected(f"usage point {meter.usage_point} is protected"))
    opens_at = await _closed_until(tx, meter, now=now)
    if opens_at is None:
        return Judged()
    if order.reason is SupplyReason.SAFETY:
        return Judged(always="outside the opening hours, for safety")
    return Judged(
        OutsideHours(
            f"supply group {meter.sts.sgc} opens supply again at {opens_at:%Y-%m-%dT%H:%MZ}"
        )
    )


async def not_now(
    tx: Transaction, delivery: Delivery, order: SetSupply, meter: Meter, *, now: datetime
) -> Outcome | None:
    """A supply order is looked at once more just before sending: a newer order stops it.

    Opening is stopped by a payment or a protection as well; outside the hours, and while its kind
    is held, it waits. One in doubt is stopped in the same way, but the meter is looked at first,
    and now and then while it waits.
    """
    if await overtaken(tx, delivery):
        return Outcome(fact=Fact.UNWANTED, detail="a newer order came")
    if order.action is not SupplyAction.OPEN:
        return None
    stopped = await _opening_stopped(tx, delivery, order, meter, now=now)
    if stopped is None or stopped.until is None or not delivery.maybe_taken:
        return stopped
    return replace(stopped, until=min(stopped.until, now + DOUBT_LOOKED_AT_EVERY))


async def _opening_stopped(
    tx: Transaction, delivery: Delivery, order: SetSupply, meter: Meter, *, now: datetime
) -> Outcome | None:
    if order.reason is SupplyReason.NON_PAYMENT and await tx.recharges.paid_since(
        delivery.tenant, delivery.drn, delivery.created_at
    ):
        return Outcome(fact=Fact.UNWANTED, detail="paid, or a sale is under way")
    if await _protected(tx, meter):
        return Outcome(fact=Fact.UNWANTED, detail="the usage point is protected by now")
    if await tx.holds.in_force(meter.tenant, Danger.OPEN_SUPPLY, meter.sts.sgc) is not None:
        return Outcome(fact=Fact.HELD, until=now + HELD_FOR, detail="its kind is held")
    if order.reason is SupplyReason.SAFETY:
        return None
    opens_at = await _closed_until(tx, meter, now=now)
    if opens_at is None:
        return None
    return Outcome(fact=Fact.HELD, until=opens_at, detail="outside the opening hours")


async def _protected(tx: Transaction, meter: Meter) -> bool:
    if meter.usage_point is None:
        return False
    point = await tx.usage_points.find(meter.tenant, meter.usage_point)
    return point is not None and point.protected


async def _closed_until(tx: Transaction, meter: Meter, *, now: datetime) -> datetime | None:
    """When supply may be opened again; None: now."""
    group = await tx.supply_groups.find(meter.tenant, meter.sts.sgc)
    zone = group.zone if group is not None else "UTC"
    hours = await tx.opening_hours.find(meter.tenant, meter.sts.sgc)
    hours = hours or default_hours(meter.tenant, meter.sts.sgc, now)
    return None if hours.allow(now, zone=zone) else hours.next_open(now, zone=zone)
