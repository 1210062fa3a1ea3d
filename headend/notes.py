"""Notes: what is told to the people of a delivery, from the records as they are now."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from headend.announcing import delivery_news
from headend.commands import TOKEN_COMMANDS
from headend.deliveries import Delivery, Fact
from headend.issuing import contacts_for
from headend.outbox import announce
from headend.ports import Note
from headend.rekeying import pending_change, same_key
from headend.store import Transaction
from headend.supply_groups import SupplyGroup
from headend.tokens import Token
from headend.usage_points import Contact, UsagePoint
from headend.vending_keys import KeyMark


async def note_of(tx: Transaction, delivery: Delivery, *, taken: bool) -> Note | None:
    """What the person is told; None when there is nobody to tell or nothing to give."""
    meter = await tx.meters.find(delivery.tenant, delivery.drn)
    if meter is None or not isinstance(delivery.command, TOKEN_COMMANDS):
        return None
    recharge = None
    if delivery.recharge_id is not None:
        recharge = await tx.recharges.find(delivery.tenant, delivery.recharge_id)
    point = (
        await tx.usage_points.find(meter.tenant, meter.usage_point) if meter.usage_point else None
    )
    contacts = contacts_for(recharge.order if recharge else None, point)
    if not contacts:
        return None
    group = await tx.supply_groups.find(meter.tenant, meter.sts.sgc)
    tokens = await tx.tokens.of(delivery.id, delivery.tenant)
    change = None if taken else await change_before(tx, delivery)
    if change is not None:
        tokens = [*await tx.tokens.of(change.id, change.tenant), *tokens]
    return Note(
        id=f"{delivery.tenant}/{delivery.id}",
        tenant=delivery.tenant,
        drn=delivery.drn,
        language=_language(point, group),
        contacts=contacts,
        digits=() if taken else _digits(tokens),
        amount=str(recharge.encoded) if recharge and recharge.encoded else None,
        reference=recharge.order.reference if recharge else None,
        taken=taken,
        test=any(token.mark is KeyMark.TEST for token in tokens),
    )


def once_more(note: Note, to: Contact, *, times: int, tried: Sequence[str]) -> Note:
    """The same for one person again; `times` it went already, through the providers `tried`.

    It has a name of its own, for a gateway that knows a repeat would drop it.
    """
    return replace(
        note,
        id=f"{note.id}.{times}",
        contacts=(to,),
        tried=frozenset((to, provider) for provider in tried),
    )


async def reveal_set(tx: Transaction, delivery: Delivery, *, now: datetime) -> None:
    """Where a credit's digits go, the set that must be typed before goes too, and counts as out."""
    change = await change_before(tx, delivery)
    if change is not None and not change.revealed:
        shown = change.after(Fact.REVEALED, now=now)
        await tx.deliveries.save(shown, was=change.state)
        await announce(tx, *delivery_news(change, shown, now=now))


async def change_before(tx: Transaction, delivery: Delivery) -> Delivery | None:
    """The key change whose set has to be typed before a credit made under the new key."""
    if delivery.recharge_id is None:
        return None
    recharge = await tx.recharges.find(delivery.tenant, delivery.recharge_id)
    meter = await tx.meters.find(delivery.tenant, delivery.drn)
    if recharge is None or meter is None:
        return None
    if recharge.order.tokens or same_key(meter.sts, recharge.sts):
        return None
    return await pending_change(tx, meter.tenant, meter.drn)


def _language(point: UsagePoint | None, group: SupplyGroup | None) -> str:
    return (point.language if point else None) or (group.language if group else "en")


def _digits(tokens: Sequence[Token]) -> tuple[str, ...]:
    return tuple(token.digits for token in tokens)
