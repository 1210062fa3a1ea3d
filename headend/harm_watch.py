"""The watch over dangerous orders: notes how each ended, and holds a kind when too many failed."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from headend.audit import HEAD_END, AuditAction, Entry
from headend.dangers import DAY, DangerousOrder, caps_in_force
from headend.deliveries import DeliveryState
from headend.errors import Stale, StoreDown
from headend.harm_news import hold_news
from headend.holds import Hold
from headend.outbox import announce
from headend.ports import Chance, Clock
from headend.store import Store, Transaction

WATCH_EVERY_S = 5.0
BATCH = 100
# Tokens are worked off over seven days; what has not ended long after that never will.
LOOK_BACK = timedelta(days=30)


class HarmWatch:
    """Looks at what dangerous orders have come to, until cancelled."""

    def __init__(self, store: Store, *, clock: Clock, chance: Chance) -> None:
        self._store = store
        self._clock = clock
        self._chance = chance

    async def serve(self) -> None:
        """Watch every few seconds."""
        while True:
            found = 0
            with suppress(Stale, StoreDown):
                found = await self.watch()
            await asyncio.sleep(0 if found == BATCH else WATCH_EVERY_S)

    async def watch(self) -> int:
        """One round; how many orders were found to have ended."""
        now = self._clock.now()
        async with self._store.look() as tx:
            ended = await tx.dangers.ended(since=now - LOOK_BACK, limit=BATCH)
        for order, state in ended:
            with suppress(Stale):  # another process was faster
                await self._note(order, state)
        return len(ended)

    async def _note(self, order: DangerousOrder, state: DeliveryState) -> None:
        now = self._clock.now()
        async with self._store.begin() as tx:
            await tx.dangers.lock(order.tenant, order.danger)
            await tx.dangers.settle(replace(order, result=state, ended_at=now))
            await tx.audit.append(
                Entry(
                    tenant=order.tenant,
                    at=now,
                    by=HEAD_END,
                    action=AuditAction.ORDER_ENDED,
                    subject=order.id,
                    result=state.value,
                    about={"danger": order.danger.value, "meter": order.drn},
                )
            )
            await self._hold_if_bad(tx, order)

    async def _hold_if_bad(self, tx: Transaction, order: DangerousOrder) -> None:
        tenant, danger, sgc = order.tenant, order.danger, order.sgc
        now = self._clock.now()
        lifted = await tx.holds.last_lifted(tenant, danger, sgc)
        since = max(now - DAY, lifted) if lifted is not None else now - DAY
        share = await tx.dangers.share(tenant, danger, sgc, since=since)
        if not share.jumps(await caps_in_force(tx.caps, tenant, sgc, danger)):
            return
        hold = Hold(
            id=self._chance.ident(now),
            tenant=tenant,
            danger=danger,
            sgc=sgc,
            reason=f"{share.failed} of {share.ended} failed within 24 h",
            since=now,
        )
        if await tx.holds.add(hold):
            await announce(tx, hold_news(hold, now=now))
            await tx.audit.append(
                Entry(
                    tenant=tenant,
                    at=now,
                    by=HEAD_END,
                    action=AuditAction.HELD,
                    subject=hold.id,
                    result=hold.reason,
                    about={"danger": danger.value, "sgc": sgc},
                )
            )
