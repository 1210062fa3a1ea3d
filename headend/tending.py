"""Tending: what no bus cares for. Ended leases, deadlines, hand-overs to people, good news.

Each of these goes round by itself, so that none waits for another; none asks for a wire.
"""

import asyncio
from collections.abc import Callable, Sequence

from headend.deliveries import Delivery, Fact
from headend.handing_over import HandingOver
from headend.outcomes import Outcome, write_outcome
from headend.ports import Chance, Clock, Handover
from headend.receiving import Receiving
from headend.rounds import Rounds
from headend.store import Store

BATCH = 50


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
        self._clock = clock
        self._chance = chance
        self._wake = wake
        people = HandingOver(store, handover, clock=clock, chance=chance)
        self._rounds = (
            Rounds(self._rescue, self._nothing_more, at_once=BATCH),
            people.digits,
            people.good_news,
            Receiving(store, handover, clock=clock, chance=chance).rounds,
        )

    async def serve(self) -> None:
        """Tend every second until cancelled."""
        async with asyncio.TaskGroup() as group:
            for one in self._rounds:
                group.create_task(one.serve())

    async def tend(self) -> int:
        """One round of each; how many deliveries were touched."""
        return sum([await one.once() for one in self._rounds])

    async def _rescue(self, limit: int) -> Sequence[Delivery]:
        """A lease that ended counts as no answer: its worker may have sent before it died."""
        now = self._clock.now()
        async with self._store.look() as tx:
            if not await tx.deliveries.lapsed(now=now, limit=1):
                return ()
        async with self._store.begin() as tx:
            lapsed = await tx.deliveries.lapsed(now=now, limit=limit)
            for delivery in lapsed:
                await write_outcome(
                    tx,
                    delivery,
                    Outcome(fact=Fact.NO_ANSWER, detail="the lease ended"),
                    now=now,
                    spread=self._chance.spread(),
                    started_at=delivery.changed_at,
                )
        self._wake()
        return lapsed

    async def _nothing_more(self, _: Delivery) -> None:
        """It was done with the commit that found it."""
