"""Handing over: digits to people, whatever the wires do; and good news to those who hold digits.

A hand-over is marked in the store before it is given: the digits count as out from then on, and a
crash in between gives the same digits once more, never none. It waits for no try under way.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from headend.announcing import delivery_news
from headend.deliveries import Delivery, DeliveryMethod, DeliveryState, Fact
from headend.errors import NotSent
from headend.last_looks import held_back
from headend.messages import sent_message
from headend.notes import note_of, reveal_set
from headend.outbox import announce
from headend.outcomes import Outcome, attempt_of, write_outcome
from headend.ports import Chance, Clock, Dispatch, Handover, Note
from headend.rounds import Rounds
from headend.steps import Expire, HandOver, plan
from headend.store import Store, Transaction

# Gateways and mail servers are slow; a claim outlives the slowest of them.
GIVE_TIMEOUT_S = 60.0
CLAIM = timedelta(seconds=GIVE_TIMEOUT_S + 30)
# So many hang at once before one more customer waits.
GIVERS = 64
TELLERS = 8
# Good news that cannot be told for an hour is no news.
TELL_TRIES = 6


class HandingOver:
    """Gives digits to people when they are due, and tells them when nothing need be typed."""

    def __init__(self, store: Store, handover: Handover, *, clock: Clock, chance: Chance) -> None:
        self._store = store
        self._handover = handover
        self._clock = clock
        self._chance = chance
        self.digits = Rounds(self._claim_due, self._give, at_once=GIVERS)
        self.good_news = Rounds(self._claim_news, self._tell, at_once=TELLERS)

    # --- digits --------------------------------------------------------------------------------

    async def _claim_due(self, limit: int) -> Sequence[Delivery]:
        now = self._clock.now()
        async with self._store.look() as tx:
            if not await tx.deliveries.due_to_people(now=now, limit=1):
                return ()
        async with self._store.begin() as tx:
            due = await tx.deliveries.due_to_people(now=now, limit=limit)
            claimed = []
            for delivery in due:
                match plan(delivery, now=now):
                    case Expire():
                        outcome = Outcome(fact=Fact.EXPIRED, detail="the deadline has passed")
                        await write_outcome(tx, delivery, outcome, now=now, spread=0.0)
                    case HandOver() if (held := await held_back(tx, delivery, now=now)) is not None:
                        later = replace(delivery, hand_not_before=held.until)
                        await tx.deliveries.save(later, was=delivery.state)
                    case HandOver():
                        claimed.append(await self._claim(tx, delivery, now=now))
        return claimed

    async def _claim(self, tx: Transaction, delivery: Delivery, *, now: datetime) -> Delivery:
        out = delivery.after(Fact.REVEALED, now=now)
        claimed = replace(out, hand_not_before=now + CLAIM)
        await tx.deliveries.save(claimed, was=delivery.state)
        await announce(tx, *delivery_news(delivery, claimed, now=now))
        await reveal_set(tx, delivery, now=now)
        return claimed

    async def _give(self, delivery: Delivery) -> None:
        started_at = self._clock.now()
        method = delivery.next_hand_over() or DeliveryMethod.MANUAL
        async with self._store.look() as tx:
            note = await note_of(tx, delivery, taken=False)
        detail = "" if note is not None else "nobody to tell"
        given = await self._given(note) if note is not None else None
        await self._write_given(delivery, method, started_at, given=given, detail=detail)

    async def _given(self, note: Note) -> Sequence[Dispatch] | None:
        """What providers took, None when nobody could be told."""
        try:
            async with asyncio.timeout(GIVE_TIMEOUT_S):
                return await self._handover.give(note)
        except (NotSent, TimeoutError):
            return None

    async def _write_given(
        self,
        delivery: Delivery,
        method: DeliveryMethod,
        started_at: datetime,
        *,
        given: Sequence[Dispatch] | None,
        detail: str,
    ) -> None:
        now = self._clock.now()
        fact = Fact.HANDED if given is not None else Fact.NOT_SENT
        record = attempt_of(delivery, Outcome(fact=fact, detail=detail), method, started_at, now)
        async with self._store.begin() as tx:
            current = await tx.deliveries.find(delivery.tenant, delivery.id)
            if current is None:
                return
            if given is not None:
                after = current.after(Fact.HANDED, now=now)
            else:
                after = current.hand_over_failed(now=now, spread=self._chance.spread())
            await tx.deliveries.save(after, was=current.state)
            await tx.attempts.add(record)
            for dispatch in given or ():
                ident = self._chance.ident(now)
                await tx.sent_messages.add(sent_message(dispatch, current, ident=ident, now=now))
            await announce(tx, *delivery_news(current, after, now=now, method=method))

    # --- good news -----------------------------------------------------------------------------

    async def _claim_news(self, limit: int) -> Sequence[Delivery]:
        """A customer who holds digits is told when the meter has taken them by itself."""
        now = self._clock.now()
        async with self._store.look() as tx:
            if not await tx.deliveries.to_tell(now=now, limit=1):
                return ()
        async with self._store.begin() as tx:
            due = await tx.deliveries.to_tell(now=now, limit=limit)
            for delivery in due:
                claimed = replace(delivery, hand_not_before=now + CLAIM)
                await tx.deliveries.save(claimed, was=delivery.state)
        return due

    async def _tell(self, delivery: Delivery) -> None:
        async with self._store.look() as tx:
            note = await note_of(tx, delivery, taken=True)
        told = note is None or await self._given(note) is not None
        now = self._clock.now()
        async with self._store.begin() as tx:
            current = await tx.deliveries.find(delivery.tenant, delivery.id)
            if current is None or current.state is not DeliveryState.DONE:
                return
            later = current.hand_over_failed(now=now, spread=self._chance.spread())
            gave_up = later.hand_attempts >= TELL_TRIES
            after = replace(current, told_at=now) if told or gave_up else later
            await tx.deliveries.save(after, was=current.state)
