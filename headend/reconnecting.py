"""Reconnecting: who was disconnected by us for non-payment and has paid is permitted to close.

Only a credit that was taken after the opening was ordered undoes it, once, and only where the
opening may be in effect. Openings for any other reason are left to people, also where one for
non-payment came on top. Nothing is forced: the meter closes, or waits for its button, if it finds
credit enough.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import takewhile

from headend.announcing import delivery_news
from headend.audit import HEAD_END, AuditAction, Entry
from headend.commands import SetSupply, urgency
from headend.deliveries import NEWEST_LIMIT, Delivery, DeliveryMethod, DeliveryState, Fact
from headend.issuing import rank_of
from headend.newest_supply import supply_orders
from headend.outbox import announce
from headend.pages import Cursor
from headend.recharges import Recharge, RechargeState
from headend.store import RechargeFilter, Transaction
from headend.supply import DarkCause, SupplyAction, SupplyReason

# As long as any supply order may live.
PERMIT_FOR = timedelta(hours=72)
# So many of its newest sales are looked at for one that was taken meanwhile.
SALES = 20
_UNLIT = frozenset({RechargeState.CREDITED, RechargeState.DARK})
_TAKEN = _UNLIT | {RechargeState.LIT, RechargeState.AWAITING_BUTTON}
# What permitting to close can mend; the meter's own reasons are not ours to overrule.
_MENDED = frozenset({None, DarkCause.DISCONNECTED, DarkCause.UNKNOWN})


async def permit_after_credit(
    tx: Transaction, credit: Delivery, recharge: Recharge, *, now: datetime
) -> None:
    """Undo our opening for non-payment when the credit that came after it gives no light."""
    if recharge.state not in _UNLIT or recharge.dark_cause not in _MENDED:
        return
    opening = await _opening_in_effect(tx, credit)
    if opening is not None and _paid_after(opening, credit):
        await _permit(tx, opening, recharge, now=now)


async def permit_after_opening(tx: Transaction, opening: Delivery, *, now: datetime) -> None:
    """Undo an opening that was carried out although its customer had paid meanwhile."""
    newest = await _opening_in_effect(tx, opening)
    if newest is None or newest.id != opening.id:
        return
    where = RechargeFilter(drn=opening.drn)
    page = await tx.recharges.page(opening.tenant, Cursor(limit=SALES), where)
    for recharge in page.items:
        credit = await tx.deliveries.of(recharge.id, recharge.tenant)
        if recharge.state in _TAKEN and credit is not None and _paid_after(opening, credit):
            await _permit(tx, opening, recharge, now=now)
            return


def _paid_after(opening: Delivery, credit: Delivery) -> bool:
    return credit.confirmed_at is not None and credit.confirmed_at >= opening.created_at


async def _opening_in_effect(tx: Transaction, delivery: Delivery) -> Delivery | None:
    """The opening for non-payment that stands, or may stand, as the last word to this meter.

    None as well where an opening for another reason may stand beneath it: since the last permit
    that was carried out, or where the orders do not reach back so far.
    """
    orders = await supply_orders(tx, delivery)
    standing = _since_permitted(orders)
    if len(standing) == NEWEST_LIMIT or any(_for_another_reason(one) for one in standing):
        return None
    newest = next((one for one in orders if not _permit_in_vain(one)), None)
    if newest is None or not _opens(newest) or not _in_effect(newest):
        return None
    return newest


def _since_permitted(orders: Sequence[Delivery]) -> list[Delivery]:
    """The newest orders down to the last permit that was carried out; without it."""
    return list(takewhile(lambda one: _opens(one) or one.state is not DeliveryState.DONE, orders))


def _for_another_reason(order: Delivery) -> bool:
    """It opened for what money does not mend, or may have, or is about to."""
    match order.command:
        case SetSupply(SupplyAction.OPEN, reason, _) if reason is not SupplyReason.NON_PAYMENT:
            return order.stopped_by is not Fact.NOT_AS_ORDERED
        case _:
            return False


def _opens(order: Delivery) -> bool:
    return isinstance(order.command, SetSupply) and order.command.action is SupplyAction.OPEN


def _permit_in_vain(order: Delivery) -> bool:
    """It ended without the meter closing, so it may be tried anew with the next credit."""
    return not _opens(order) and order.state is DeliveryState.UNRESOLVED


def _in_effect(opening: Delivery) -> bool:
    perhaps = opening.maybe_taken and opening.stopped_by is not Fact.NOT_AS_ORDERED
    return opening.state is DeliveryState.DONE or perhaps


async def _permit(tx: Transaction, opening: Delivery, recharge: Recharge, *, now: datetime) -> None:
    meter = await tx.meters.find(opening.tenant, opening.drn)
    ident = _ident(opening, recharge)
    if meter is None or meter.route is None or await tx.deliveries.find(opening.tenant, ident):
        return
    expires_at = now + PERMIT_FOR
    command = SetSupply(SupplyAction.PERMIT_CLOSE, SupplyReason.NON_PAYMENT, expires_at)
    permit = Delivery(
        id=ident,
        tenant=opening.tenant,
        drn=opening.drn,
        bus=meter.route.bus,
        command=command,
        priority=urgency(command),
        rank=max(rank_of(now), opening.rank + 1),
        methods=frozenset({DeliveryMethod.REMOTE}),
        not_before=now,
        deadline=expires_at,
        created_at=now,
        changed_at=now,
    )
    await tx.deliveries.add(permit)
    await announce(tx, *delivery_news(None, permit, now=now))
    await tx.audit.append(
        Entry(
            tenant=permit.tenant,
            at=now,
            by=HEAD_END,
            action=AuditAction.ORDERED,
            subject=permit.id,
            about={
                "meter": permit.drn,
                "what": f"{command.action} for {command.reason}",
                "opening": opening.id,
                "recharge": recharge.id,
            },
        )
    )


def _ident(opening: Delivery, recharge: Recharge) -> str:
    """One for each opening and sale, whoever comes to it, and of a length that any id may have."""
    plain = f"{opening.id}\n{recharge.id}".encode()
    return f"reconnect-{hashlib.sha256(plain).hexdigest()[:32]}"
