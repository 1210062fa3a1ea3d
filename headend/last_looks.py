"""The last look at a command, just before it is sent or handed over: is it still possible, wanted?

A hold that came after the order stops it here: it waits until the hold is lifted, or expires at its
deadline. Credit, and permitting supply, are never held; nor is a key change that paid credit of its
meter waits for, which would keep that credit waiting.
"""

from dataclasses import replace
from datetime import datetime

from headend.commands import (
    ChangeKey,
    EnterToken,
    Manage,
    SetClock,
    SetCreditParameters,
    SetSupply,
)
from headend.dangers import danger_of
from headend.deliveries import OPEN_STATES, Delivery, Fact
from headend.holds import Hold
from headend.meters import Meter
from headend.openings import HELD_FOR, not_now
from headend.outcomes import Outcome
from headend.pages import Cursor
from headend.performing import Sold
from headend.recharges import Recharge, RechargeState
from headend.refusals import KindHeld
from headend.rekeying import change_first, credit_first, half_set_of_another
from headend.store import RechargeFilter, Transaction


async def last_look(
    tx: Transaction, delivery: Delivery, meter: Meter, *, now: datetime
) -> tuple[Outcome | None, Sold]:
    """What settles this try unsent, or None; and what the tokens were made for.

    One in doubt that must not be sent again is looked at in the meter all the same.
    """
    match delivery.command:
        case SetSupply() as order:
            return _or_look(delivery, await not_now(tx, delivery, order, meter, now=now), Sold())
        case ChangeKey() as change:
            sold = Sold(half_set_at=await half_set_of_another(tx, delivery))
            if (credit := await credit_first(tx, delivery, change, now=now)) is not None:
                return credit, sold
            return _or_look(delivery, await held_back(tx, delivery, now=now), sold)
        case Manage(_, sts):
            return _or_look(delivery, await held_back(tx, delivery, now=now), Sold(sts=sts))
        case SetCreditParameters():
            return await held_back(tx, delivery, now=now), Sold()
        case EnterToken() if delivery.recharge_id is not None:
            sold = _sold(await tx.recharges.find(delivery.tenant, delivery.recharge_id))
            if sold.sts is None:
                return None, sold
            return await change_first(tx, meter, sold.sts, now=now), sold
        case EnterToken() | SetClock():
            return None, Sold()


async def held_back(tx: Transaction, delivery: Delivery, *, now: datetime) -> Outcome | None:
    """Kept back as long as its kind is held in the meter's supply group."""
    if await _hold_over(tx, delivery) is None:
        return None
    return Outcome(fact=Fact.HELD, until=now + HELD_FOR, detail="its kind is held")


async def require_not_held(tx: Transaction, delivery: Delivery) -> None:
    """Digits that nobody was given yet are not shown while their kind is held; raises KindHeld."""
    if delivery.revealed or delivery.handed_at is not None:
        return
    if (hold := await _hold_over(tx, delivery)) is not None:
        raise KindHeld(f"{hold.danger} in {hold.sgc} since {hold.since:%H:%M} UTC: {hold.reason}")


async def _hold_over(tx: Transaction, delivery: Delivery) -> Hold | None:
    danger = danger_of(delivery.command)
    if danger is None:
        return None
    meter = await tx.meters.find(delivery.tenant, delivery.drn)
    if meter is None:
        return None
    hold = await tx.holds.in_force(meter.tenant, danger, meter.sts.sgc)
    return None if hold is None or await _credit_waits_for(tx, delivery) else hold


async def _credit_waits_for(tx: Transaction, delivery: Delivery) -> bool:
    """It is a key change, and somebody has paid for what comes after it."""
    if not isinstance(delivery.command, ChangeKey):
        return False
    on_its_way = await tx.deliveries.of_meter(delivery.tenant, delivery.drn, states=OPEN_STATES)
    if any(isinstance(one.command, EnterToken) and one.rank >= delivery.rank for one in on_its_way):
        return True
    to_be_made = RechargeFilter(drn=delivery.drn, state=RechargeState.OPEN)
    return bool((await tx.recharges.page(delivery.tenant, Cursor(limit=1), to_be_made)).items)


def _or_look(
    delivery: Delivery, stopped: Outcome | None, sold: Sold
) -> tuple[Outcome | None, Sold]:
    if delivery.maybe_taken:
        return None, replace(sold, stopped=stopped)
    return stopped, sold


def _sold(recharge: Recharge | None) -> Sold:
    if recharge is None or recharge.order.tokens:
        return Sold()  # brought by the back-office: under which key is theirs to know
    return Sold(recharge.encoded, recharge.sts)
