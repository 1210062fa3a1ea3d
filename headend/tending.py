"""Tending: what no bus cares for. Ended leases, hand-overs to people, deadlines, good news.

A hand-over is marked in the store before it is given: the digits count as out from then on, and a
crash in between gives the same digits once more, never none.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from headend.commands import TOKEN_COMMANDS
from headend.deliveries import (
    Delivery,
    DeliveryMethod,
    DeliveryState,
    Expire,
    Fact,
    HandOver,
    plan,
)
from headend.errors import NotSent, Stale, StoreDown
from headend.issuing import contacts_for
from headend.outcomes import Outcome, attempt_of, write_outcome
from headend.ports import Chance, Clock, Handover, Note
from headend.rekeying import pending_change, same_key
from headend.store import Store, Transaction
from headend.supply_groups import SupplyGroup
from headend.tokens import Token
from headend.usage_points import UsagePoint

TEND_EVERY_S = 1.0
BATCH = 50
# Gateways and mail servers are slow; a claim outlives the slowest of them.
GIVE_TIMEOUT_S = 60.0
CLAIM = timedelta(seconds=GIVE_TIMEOUT_S + 30)
GIVERS = 8
# Good news that cannot be told for an hour is no news.
TELL_TRIES = 6


class Tending:
    """Looks after deliveries that wait for people, deadlines or dead processes."""

    def __init__(
        self,
        store: Store,
        handover: Handover,
        *,
        clock: Clock,
        chance: Chance,
        wake: Callable[[], None],
    ) -> None:
        self._store = store
        self._handover = handover
        self._clock = clock
        self._chance = chance
        self._wake = wake

    async def serve(self) -> None:
        """Tend every second until cancelled."""
        while True:
            with suppress(Stale, StoreDown):
                await self.tend()
            await asyncio.sleep(TEND_EVERY_S)

    async def tend(self) -> int:
        """One round; how many deliveries were touched."""
        rescued = await self._rescue()
        if rescued:
            self._wake()
        handed = await self._hand_over_due()
        told = await self._tell_good_news()
        return rescued + handed + told

    # --- ended leases --------------------------------------------------------------------------

    async def _rescue(self) -> int:
        """A lease that ended counts as no answer: its worker may have sent before it died."""
        now = self._clock.now()
        async with self._store.look() as tx:
            if not await tx.deliveries.lapsed(now=now, limit=1):
                return 0
        async with self._store.begin() as tx:
            lapsed = await tx.deliveries.lapsed(now=now, limit=BATCH)
            for delivery in lapsed:
                outcome = Outcome(fact=Fact.NO_ANSWER, detail="the lease ended")
                await write_outcome(
                    tx,
                    delivery,
                    outcome,
                    now=now,
                    spread=self._chance.spread(),
                    started_at=delivery.changed_at,
                )
        return len(lapsed)

    # --- hand-overs and deadlines --------------------------------------------------------------

    async def _hand_over_due(self) -> int:
        now = self._clock.now()
        async with self._store.look() as tx:
            if not await tx.deliveries.due_to_people(now=now, limit=1):
                return 0
        async with self._store.begin() as tx:
            due = await tx.deliveries.due_to_people(now=now, limit=BATCH)
            claimed = []
            for delivery in due:
                match plan(delivery, now=now):
                    case Expire():
                        await self._expire(tx, delivery, now=now)
                    case HandOver():
                        claimed.append(await self._claim(tx, delivery, now=now))
        await self._each(claimed, self._give)
        return len(due)

    async def _expire(self, tx: Transaction, delivery: Delivery, *, now: datetime) -> None:
        outcome = Outcome(fact=Fact.EXPIRED, detail="the deadline has passed")
        await write_outcome(tx, delivery, outcome, now=now, spread=0.0)

    async def _claim(self, tx: Transaction, delivery: Delivery, *, now: datetime) -> Delivery:
        out = delivery.after(Fact.REVEALED, now=now)
        claimed = replace(out, hand_not_before=now + CLAIM)
        await tx.deliveries.save(claimed, was=delivery.state)
        change = await _change_before(tx, delivery)
        if change is not None:  # its set is in the same message
            await tx.deliveries.save(change.after(Fact.REVEALED, now=now), was=change.state)
        return claimed

    async def _give(self, delivery: Delivery) -> None:
        started_at = self._clock.now()
        method = delivery.next_hand_over() or DeliveryMethod.MANUAL
        async with self._store.look() as tx:
            note = await _note(tx, delivery, taken=False)
        detail = "" if note is not None else "nobody to tell"
        given = note is not None and await self._given(note)
        await self._write_given(delivery, method, started_at, given=given, detail=detail)

    async def _given(self, note: Note) -> bool:
        try:
            async with asyncio.timeout(GIVE_TIMEOUT_S):
                await self._handover.give(note)
        except (NotSent, TimeoutError):
            return False
        return True

    async def _write_given(
        self,
        delivery: Delivery,
        method: DeliveryMethod,
        started_at: datetime,
        *,
        given: bool,
        detail: str,
    ) -> None:
        now = self._clock.now()
        fact = Fact.HANDED if given else Fact.NOT_SENT
        record = attempt_of(delivery, Outcome(fact=fact, detail=detail), method, started_at, now)
        async with self._store.begin() as tx:
            current = await tx.deliveries.find(delivery.tenant, delivery.id)
            if current is None:
                return
            if given:
                after = current.after(Fact.HANDED, now=now)
            else:
                after = current.hand_over_failed(now=now, spread=self._chance.spread())
            await tx.deliveries.save(after, was=current.state)
            await tx.attempts.add(record)

    # --- good news -----------------------------------------------------------------------------

    async def _tell_good_news(self) -> int:
        """A customer who holds digits is told when the meter has taken them by itself."""
        now = self._clock.now()
        async with self._store.look() as tx:
            if not await tx.deliveries.to_tell(now=now, limit=1):
                return 0
        async with self._store.begin() as tx:
            due = await tx.deliveries.to_tell(now=now, limit=BATCH)
            for delivery in due:
                claimed = replace(delivery, hand_not_before=now + CLAIM)
                await tx.deliveries.save(claimed, was=delivery.state)
        await self._each(list(due), self._tell)
        return len(due)

    async def _tell(self, delivery: Delivery) -> None:
        async with self._store.look() as tx:
            note = await _note(tx, delivery, taken=True)
        told = note is None or await self._given(note)
        now = self._clock.now()
        async with self._store.begin() as tx:
            current = await tx.deliveries.find(delivery.tenant, delivery.id)
            if current is None or current.state is not DeliveryState.DONE:
                return
            later = current.hand_over_failed(now=now, spread=self._chance.spread())
            gave_up = later.hand_attempts >= TELL_TRIES
            after = replace(current, told_at=now) if told or gave_up else later
            await tx.deliveries.save(after, was=current.state)

    async def _each(
        self, deliveries: list[Delivery], act: Callable[[Delivery], Awaitable[None]]
    ) -> None:
        room = asyncio.Semaphore(GIVERS)

        async def one(delivery: Delivery) -> None:
            async with room:
                # The claim lapses, and it is due again.
                with suppress(Stale, StoreDown):
                    await act(delivery)

        async with asyncio.TaskGroup() as group:
            for delivery in deliveries:
                group.create_task(one(delivery))


async def _note(tx: Transaction, delivery: Delivery, *, taken: bool) -> Note | None:
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
    change = None if taken else await _change_before(tx, delivery)
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
    )


async def _change_before(tx: Transaction, delivery: Delivery) -> Delivery | None:
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
