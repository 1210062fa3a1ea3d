"""Replacing a credit whose token died with the old key: once, linked, and only on proof.

The meter has proved its new key, and asked by remote afterwards it knew nothing of the old token
and its register shows nothing of it. This is the only second mint there is.
"""

from dataclasses import replace

from headend.commands import ChangeKey
from headend.deliveries import Confirmation, Delivery, DeliveryState, Fact
from headend.recharges import Recharge, RechargeOrder, RechargeState
from headend.refusals import NotReplaceable
from headend.store import Transaction
from headend.tokens import TokenResult

_STUCK = frozenset({RechargeState.UNRESOLVED, RechargeState.FAILED})
_CLOSED = frozenset({DeliveryState.DONE})


async def require_replaceable(tx: Transaction, recharge: Recharge, delivery: Delivery) -> None:
    """Raise NotReplaceable, naming what is missing of the proof."""
    if recharge.state not in _STUCK:
        raise NotReplaceable(f"recharge {recharge.id} is {recharge.state}", field="id")
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
