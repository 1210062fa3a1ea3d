"""Receiving: what providers say of messages, and the same digits given once more.

A receipt that says "failed", or none in time, means that the next provider is asked. One that says
"delivered" changes nothing else: it may be a lie, remote goes on, and the customer may ask again.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from headend.announcing import moment_json
from headend.deliveries import OPEN_STATES, Delivery, DeliveryMethod, DeliveryState
from headend.errors import NotSent
from headend.messages import ASK_AGAIN_AFTER, MAX_TIMES, Receipt, SentMessage, sent_message
from headend.meters import TenantId
from headend.notes import note_of, once_more
from headend.occurrences import Occurrence
from headend.outbox import Announcement, announce
from headend.ports import Chance, Clock, Dispatch, Handover, Note
from headend.recharges import Json, Recharge, RechargeState
from headend.refusals import NothingToGive, TooOften, UnknownRecharge
from headend.rounds import Rounds
from headend.store import Store, Transaction

GIVERS = 16
GIVE_TIMEOUT_S = 60.0
# A claim outlives the slowest gift; nobody could be told: again after as long.
CLAIM = timedelta(seconds=GIVE_TIMEOUT_S + 30)
GIVE_UP_AFTER = timedelta(hours=1)
# Digits that are still of use: the meter has not taken them, as far as we know.
_OF_USE = OPEN_STATES | {DeliveryState.UNRESOLVED}
_UNDONE = frozenset({RechargeState.REVERSED, RechargeState.REPLACED})


async def take_receipt(
    store: Store, clock: Clock, *, provider: str, reference: str, receipt: Receipt
) -> bool:
    """Write a receipt down; False when no message is known by this name. A repeat is harmless."""
    async with store.begin() as tx:
        message = await tx.sent_messages.named(provider, reference)
        if message is None:
            return False
        now = clock.now()
        after = message.receipted(receipt, now=now)
        if after != message:
            await tx.sent_messages.save(after)
            await announce(tx, *await _news(tx, after, now=now))
    return True


async def _news(tx: Transaction, message: SentMessage, *, now: datetime) -> Sequence[Announcement]:
    delivery = await tx.deliveries.find(message.tenant, message.delivery_id)
    if delivery is None:
        return ()
    delivered = message.receipt is Receipt.DELIVERED
    data: Mapping[str, Json] = {
        "delivery": delivery.id,
        "recharge": delivery.recharge_id,
        "kind": message.contact.kind.value,
        "provider": message.provider,
        "sent_at": moment_json(message.sent_at),
        "receipt": message.receipt.value,
    }
    occurrence = Occurrence.MESSAGE_DELIVERED if delivered else Occurrence.MESSAGE_FAILED
    return (
        Announcement(
            tenant=message.tenant, drn=delivery.drn, occurrence=occurrence, at=now, data=data
        ),
    )


async def ask_again(store: Store, clock: Clock, tenant: TenantId, recharge_id: str) -> None:
    """The customer has no digits, whatever was said: give them once more, by whoever can.

    Raises UnknownRecharge, NothingToGive, TooOften.
    """
    now = clock.now()
    async with store.begin() as tx:
        delivery = await tx.deliveries.of(recharge_id, tenant)
        recharge = await tx.recharges.find(tenant, recharge_id)
        if recharge is None:
            raise UnknownRecharge(f"no recharge {recharge_id}", field="id")
        if delivery is None or not _of_use(delivery, recharge):
            raise NothingToGive("there are no digits that somebody could still type", field="id")
        messages = await tx.sent_messages.of(tenant, delivery.id)
        if len(messages) >= MAX_TIMES:
            raise TooOften(f"the digits were given {MAX_TIMES} times already", field="id")
        if any(now - one.sent_at < ASK_AGAIN_AFTER for one in messages):
            raise TooOften("they were given a moment ago: wait half a minute", field="id")
        if delivery.handed_at is None:
            # Who asks before the hand-over need not wait for it.
            await tx.deliveries.save(replace(delivery, fallback_at=now), was=delivery.state)
        for newest in {one.contact: one for one in messages}.values():
            await tx.sent_messages.save(replace(newest, again_at=now, asked_at=now))


def _of_use(delivery: Delivery, recharge: Recharge | None) -> bool:
    """Somebody could type the digits, and they are worth it: the sale was not undone."""
    undone = recharge is not None and recharge.state in _UNDONE
    by_hand = bool(delivery.methods - {DeliveryMethod.REMOTE})
    return by_hand and delivery.state in _OF_USE and not undone


@dataclass(frozen=True, slots=True)
class _Again:
    """The last message to a person, and the providers that carried it before."""

    message: SentMessage
    times: int
    tried: Sequence[str]


class Receiving:
    """Asks the next provider where one said "failed", or nothing in time, or the customer did."""

    def __init__(self, store: Store, handover: Handover, *, clock: Clock, chance: Chance) -> None:
        self._store = store
        self._handover = handover
        self._clock = clock
        self._chance = chance
        self.rounds = Rounds(self._claim, self._give, at_once=GIVERS)

    async def _claim(self, limit: int) -> Sequence[_Again]:
        now = self._clock.now()
        async with self._store.look() as tx:
            if not await tx.sent_messages.due_again(now=now, limit=1):
                return ()
        claimed = []
        async with self._store.begin() as tx:
            for message in await tx.sent_messages.due_again(now=now, limit=limit):
                again = await _again(tx, message)
                until = now + CLAIM if again and self._worth(message, now) else None
                await tx.sent_messages.save(replace(message, again_at=until))
                if again is not None and until is not None:
                    claimed.append(again)
        return claimed

    def _worth(self, message: SentMessage, now: datetime) -> bool:
        """Since the customer asked, the receipt failed, or (within_s is far less) it was sent."""
        since = max(message.sent_at, message.asked_at or message.sent_at)
        return now - max(since, message.receipt_at or since) < GIVE_UP_AFTER

    async def _give(self, again: _Again) -> None:
        message = again.message
        async with self._store.look() as tx:
            delivery = await tx.deliveries.find(message.tenant, message.delivery_id)
            note = await note_of(tx, delivery, taken=False) if delivery is not None else None
        given = await self._given(note, again) if note is not None else ()
        async with self._store.begin() as tx:
            now = self._clock.now()
            for dispatch in given:
                assert delivery is not None, "without it nothing was given"
                ident = self._chance.ident(now)
                await tx.sent_messages.add(sent_message(dispatch, delivery, ident=ident, now=now))
            current = await tx.sent_messages.named(message.provider, message.reference)
            if given and current is not None and current.id == message.id:
                await tx.sent_messages.save(replace(current, again_at=None))

    async def _given(self, note: Note, again: _Again) -> Sequence[Dispatch]:
        """What a provider took that was not tried yet; if the customer asked, what any took."""
        rounds = [again.tried, []] if again.message.asked_at else [again.tried]
        for tried in rounds:
            wanted = once_more(note, again.message.contact, times=again.times, tried=tried)
            try:
                async with asyncio.timeout(GIVE_TIMEOUT_S):
                    return await self._handover.give(wanted)
            except (NotSent, TimeoutError):
                continue
        return ()


async def _again(tx: Transaction, message: SentMessage) -> _Again | None:
    """Whether this message is still the last word to its person, and the digits of use."""
    delivery = await tx.deliveries.find(message.tenant, message.delivery_id)
    if delivery is None:
        return None
    recharge = await tx.recharges.find(message.tenant, delivery.recharge_id or "")
    if not _of_use(delivery, recharge):
        return None
    messages = await tx.sent_messages.of(message.tenant, message.delivery_id)
    same = [one for one in messages if one.contact == message.contact]
    if len(messages) >= MAX_TIMES or not same or same[-1].id != message.id:
        return None
    if message.receipt is Receipt.DELIVERED and message.asked_at is None:
        return None
    return _Again(message, len(same), [one.provider for one in same])
