"""Replacing a credit whose token died with the old key: once, linked, and only on proof.

The meter has proved its new key, and asked by remote afterwards it knew nothing of the old token
and its register shows nothing of it. This is the only second mint there is.
"""

from dataclasses import replace
from datetime import datetime

from headend.announcing import recharge_news
from headend.commands import ChangeKey
from headend.deliveries import Confirmation, Delivery, DeliveryState, Fact
from headend.meters import TenantId
from headend.outbox import announce
from headend.recharges import Recharge, RechargeOrder, RechargeState, settle
from headend.refusals import NotReplaceable, RechargeDiffers
from headend.registers import register_shows
from headend.reversals import found
from headend.store import Transaction
from headend.tokens import TokenResult, TokenState

_STUCK = frozenset({RechargeState.UNRESOLVED, RechargeState.FAILED})
_CLOSED = frozenset({DeliveryState.DONE})


async def to_replace(tx: Transaction, tenant: TenantId, ident: str, *, new_id: str) -> Recharge:
    """The recharge that `new_id` shall replace, or replaces already.

    Raises UnknownRecharge, NotReplaceable, RechargeDiffers (the new id is that of another sale).
    """
    dead = await found(tx, tenant, ident)
    if dead.replaced_by not in (None, new_id):
        raise NotReplaceable(f"recharge {ident} is replaced by {dead.replaced_by}", field="id")
    if dead.order.amount is None:
        raise NotReplaceable("its tokens were made elsewhere", field="id")
    known = await tx.recharges.find(tenant, new_id)
    if known is not None and known.replaces != dead.id:
        raise RechargeDiffers(new_id, "replaces")
    return dead


async def bury(tx: Transaction, recharge: Recharge, *, replaced_by: str, now: datetime) -> None:
    """Close a recharge whose token is proved dead; raises NotReplaceable: what is missing."""
    delivery = await tx.deliveries.of(recharge.id, recharge.tenant)
    current = await found(tx, recharge.tenant, recharge.id)
    if delivery is None or current.state not in _STUCK or current.encoded is None:
        raise NotReplaceable(f"recharge {current.id} is {current.state}", field="id")
    await _require_proof(tx, current, delivery)
    for token in await tx.tokens.of(delivery.id, delivery.tenant):
        await tx.tokens.save(replace(token, state=TokenState.DEAD))
    closed = replace(current, replaced_by=replaced_by)
    after = settle(closed, delivery, now=now)
    await tx.recharges.save(after, was=current.state)
    await announce(tx, *recharge_news(current, after, now=now))


async def _require_proof(tx: Transaction, recharge: Recharge, delivery: Delivery) -> None:
    change = await _proved_change(tx, recharge)
    if change is None or change.confirmed_at is None:
        raise NotReplaceable("no key change after this sale was proved by the meter", field="id")
    # Under the new key the old digits can only be CRC errors; before they were entered the meter's
    # log was read and did not hold them.
    refused = delivery.result is TokenResult.CRC_ERROR or delivery.stopped_by is Fact.KEY_MISMATCH
    if not refused or delivery.changed_at <= change.confirmed_at:
        raise NotReplaceable(
            "the meter has not been asked for the old token since its key was changed", field="id"
        )
    before = await tx.readings.latest(recharge.tenant, recharge.drn, before=recharge.created_at)
    after = await tx.readings.latest(recharge.tenant, recharge.drn)
    assert recharge.encoded is not None
    if register_shows(before, after, recharge.encoded.value):
        raise NotReplaceable("the credit register shows that it was taken", field="id")


async def _proved_change(tx: Transaction, recharge: Recharge) -> Delivery | None:
    done = await tx.deliveries.of_meter(recharge.tenant, recharge.drn, states=_CLOSED)
    for delivery in done:
        proved = delivery.confirmed_by is Confirmation.READ_BACK
        later = delivery.confirmed_at is not None and delivery.confirmed_at > recharge.created_at
        match delivery.command:
            case ChangeKey(present=present) if proved and later and present == recharge.sts:
                return delivery
    return None


def replacing_order(recharge: Recharge, ident: str) -> RechargeOrder:
    """The same sale again, under a new id."""
    return replace(recharge.order, id=ident, idempotency_key=None)
