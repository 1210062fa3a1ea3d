"""Undoing a sale, and showing its digits: each only while the other has not happened.

A sale is undone only if its digits were never out; those of a sale undone are never shown.
"""

from dataclasses import replace
from datetime import datetime

from headend.announcing import recharge_news
from headend.deliveries import Delivery, DeliveryMethod, DeliveryState, Fact
from headend.errors import Stale
from headend.meters import TenantId
from headend.outbox import announce
from headend.recharges import Recharge, RechargeState, settle
from headend.refusals import CreditNoteRequired, UnknownRecharge
from headend.store import Transaction
from headend.supply_groups import Reveal
from headend.tokens import TokenState
from headend.worklist import Work, proved_unused


async def found(tx: Transaction, tenant: TenantId, ident: str) -> Recharge:
    recharge = await tx.recharges.find(tenant, ident)
    if recharge is None:
        raise UnknownRecharge(f"no recharge {ident}", field="id")
    return recharge


async def undo(
    tx: Transaction, tenant: TenantId, ident: str, *, reason: str, now: datetime
) -> Recharge:
    """Undo a sale whose digits were never out, or are proved unused and unusable.

    Raises CreditNoteRequired, UnknownRecharge.
    """
    # The delivery first: whoever holds its row lock may change the recharge.
    delivery = await tx.deliveries.of(ident, tenant)
    recharge = await found(tx, tenant, ident)
    if recharge.state is RechargeState.REVERSED:
        return recharge
    if delivery is None and recharge.state is not RechargeState.OPEN:
        raise Stale(f"recharge {ident} was issued just now")
    cancelled = await _cancelled(tx, recharge, delivery, now=now) if delivery else None
    if delivery and cancelled:
        if cancelled != delivery:
            await tx.deliveries.save(cancelled, was=delivery.state)
        for token in await tx.tokens.of(delivery.id, tenant):
            await tx.tokens.save(replace(token, state=TokenState.DEAD))
    undone = replace(recharge, reversed_at=now, reversal_reason=reason)
    after = settle(undone, cancelled, now=now)
    await tx.recharges.save(after, was=recharge.state)
    await announce(tx, *recharge_news(recharge, after, now=now))
    return after


async def may_show_of(tx: Transaction, tenant: TenantId, ident: str, *, now: datetime) -> bool:
    """Digits of this recharge are shown now; raises UnknownRecharge."""
    recharge = await found(tx, tenant, ident)
    delivery = await tx.deliveries.of(ident, tenant)
    return delivery is not None and may_show(recharge, delivery, now=now)


# Their digits were never out and must never be: the money may have gone back.
_DEAD = frozenset({RechargeState.REVERSED, RechargeState.FAILED})


def may_show(recharge: Recharge, delivery: Delivery, *, now: datetime) -> bool:
    """Digits are shown as `reveal` allows; dead ones (reversed sales) never again."""
    if recharge.state in _DEAD or recharge.reveal is Reveal.NEVER:
        return False
    if recharge.reveal is Reveal.AT_ONCE or delivery.handed_at is not None:
        return True
    due = delivery.fallback_at is not None and now >= delivery.fallback_at
    return due or DeliveryMethod.REMOTE not in delivery.methods


async def _cancelled(
    tx: Transaction, recharge: Recharge, delivery: Delivery, *, now: datetime
) -> Delivery:
    """The delivery of a sale that can be undone; raises CreditNoteRequired for all others.

    One that was in doubt stays UNRESOLVED: should its credit ever show, that is an alarm.
    """
    reason = _credit_note_reason(delivery)
    if reason is None:
        return delivery.after(Fact.CANCELLED, now=now)
    tokens = await tx.tokens.of(delivery.id, delivery.tenant)
    evidence = await tx.evidence.of(delivery.id, delivery.tenant)
    work = Work(delivery=delivery, recharge=recharge, tokens=tokens, evidence=evidence)
    if not proved_unused(work, now=now):
        raise CreditNoteRequired(reason)
    return delivery


def _credit_note_reason(delivery: Delivery) -> str | None:
    """Why the digits may be at work in the world, or None: they never were."""
    if delivery.state is DeliveryState.DONE:
        return "taken_by_meter"
    if delivery.handed_at is not None:
        return "handed_over"
    if delivery.revealed:
        return "revealed"
    if delivery.maybe_taken or delivery.entered:
        return "maybe_taken"
    if delivery.state is DeliveryState.SENDING:
        return "delivery_in_progress"
    if delivery.state is DeliveryState.UNRESOLVED:
        return "unresolved"
    return None
