"""Stories: a recharge or a delivery with all that belongs to it, read at one moment."""

from collections.abc import Sequence
from dataclasses import dataclass

from headend.attempts import Attempt
from headend.deliveries import Delivery
from headend.evidence import Evidence
from headend.messages import SentMessage
from headend.meters import TenantId
from headend.notes import change_before
from headend.recharges import Recharge
from headend.refusals import UnknownDelivery, UnknownRecharge
from headend.rekeying import change_awaited
from headend.restoration import RestorationClock
from headend.store import Store
from headend.tokens import Token


@dataclass(frozen=True, slots=True)
class RechargeStory:
    """`delivery` is None and there are no tokens while the recharge is OPEN.

    `change` is the key change that it waits for then; later the one by hand whose tokens,
    `change_tokens`, must be entered before its own.
    """

    recharge: Recharge
    tokens: Sequence[Token]
    delivery: Delivery | None
    attempts: Sequence[Attempt]
    evidence: Sequence[Evidence] = ()
    change: Delivery | None = None
    change_tokens: Sequence[Token] = ()
    clock: RestorationClock | None = None
    messages: Sequence[SentMessage] = ()


async def recharge_story(store: Store, tenant: TenantId, ident: str) -> RechargeStory:
    """Raises UnknownRecharge, also for that of another tenant."""
    async with store.look() as tx:
        recharge = await tx.recharges.find(tenant, ident)
        if recharge is None:
            raise UnknownRecharge(f"no recharge {ident}", field="id")
        clock = await tx.restoration_clocks.find(tenant, ident)
        delivery = await tx.deliveries.of(ident, tenant)
        if delivery is None:
            change = await change_awaited(tx, recharge)
            return RechargeStory(recharge, (), None, (), change=change, clock=clock)
        tokens = await tx.tokens.of(delivery.id, tenant)
        attempts = await tx.attempts.of(delivery.id, tenant)
        evidence = await tx.evidence.of(delivery.id, tenant)
        change = await change_before(tx, delivery)
        first = await tx.tokens.of(change.id, tenant) if change else ()
        messages = await tx.sent_messages.of(tenant, delivery.id)
    return RechargeStory(
        recharge,
        tokens,
        delivery,
        attempts,
        evidence,
        change,
        first,
        clock=clock,
        messages=messages,
    )


@dataclass(frozen=True, slots=True)
class DeliveryStory:
    """A delivery; `tokens` is empty for commands without them."""

    delivery: Delivery
    tokens: Sequence[Token]
    attempts: Sequence[Attempt]


async def delivery_story(store: Store, tenant: TenantId, ident: str) -> DeliveryStory:
    """Raises UnknownDelivery, also for that of another tenant."""
    async with store.look() as tx:
        delivery = await tx.deliveries.find(tenant, ident)
        if delivery is None:
            raise UnknownDelivery(f"no delivery {ident}", field="id")
        tokens = await tx.tokens.of(ident, tenant)
        return DeliveryStory(delivery, tokens, await tx.attempts.of(ident, tenant))
