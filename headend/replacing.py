"""Replacing a credit whose token died with the old key: once, linked, and only on proof.

What proves it is in `dead_tokens`. This is the only second mint there is.
"""

from dataclasses import replace
from datetime import datetime

from headend.announcing import recharge_news
from headend.dead_tokens import require_dead
from headend.meters import Capability, TenantId
from headend.outbox import announce
from headend.recharges import Recharge, RechargeOrder, RechargeState, settle
from headend.refusals import NotReplaceable, RechargeDiffers
from headend.reversals import found
from headend.store import Transaction
from headend.tokens import TokenState

_STUCK = frozenset({RechargeState.UNRESOLVED, RechargeState.FAILED})


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


async def bury(
    tx: Transaction, recharge: Recharge, *, can: Capability, replaced_by: str, now: datetime
) -> None:
    """Close a recharge whose token is proved dead; raises NotReplaceable: what is missing.

    `can` is what its meter offers by remote.
    """
    delivery = await tx.deliveries.of(recharge.id, recharge.tenant)
    current = await found(tx, recharge.tenant, recharge.id)
    if delivery is None or current.state not in _STUCK or current.encoded is None:
        raise NotReplaceable(f"recharge {current.id} is {current.state}", field="id")
    await require_dead(tx, current, delivery, can)
    for token in await tx.tokens.of(delivery.id, delivery.tenant):
        await tx.tokens.save(replace(token, state=TokenState.DEAD))
    closed = replace(current, replaced_by=replaced_by)
    after = settle(closed, delivery, now=now)
    await tx.recharges.save(after, was=current.state)
    await announce(tx, *recharge_news(current, after, now=now))


def replacing_order(recharge: Recharge, ident: str) -> RechargeOrder:
    """The same sale again, under a new id."""
    return replace(recharge.order, id=ident, idempotency_key=None)
