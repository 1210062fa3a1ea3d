"""Pruning the outbox: what was told long ago goes, so that no table grows for ever.

Dead letters outlive it, and what they were to tell with them.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from headend.errors import Stale, StoreDown
from headend.ports import Clock
from headend.posting import give_up_all
from headend.store import Store
from headend.webhooks import WebhookState

PRUNE_EVERY_S = 60.0
PRUNE_BATCH = 1000
PAUSED_ALL_ALONG = "its webhook was paused all the time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How long things are kept."""

    announcements: timedelta = timedelta(days=30)
    delivered: timedelta = timedelta(days=3)
    dead: timedelta = timedelta(days=90)


async def prune_outbox_for_ever(store: Store, clock: Clock, kept: Kept) -> None:
    """Prune every minute until cancelled."""
    while True:
        with suppress(Stale, StoreDown):
            await prune_outbox(store, clock, kept)
        await asyncio.sleep(PRUNE_EVERY_S)


async def prune_outbox(store: Store, clock: Clock, kept: Kept) -> int:
    """Remove what is old, a batch a transaction; how many rows."""
    await _give_up_paused(store, clock)
    now, total, some = clock.now(), 0, PRUNE_BATCH
    while some >= PRUNE_BATCH:
        async with store.begin() as tx:
            postings = await tx.postings.prune(
                delivered_before=now - kept.delivered,
                dead_before=now - kept.dead,
                limit=PRUNE_BATCH,
            )
            announcements = await tx.outbox.prune(
                before=now - kept.announcements, limit=PRUNE_BATCH
            )
        some = max(postings, announcements)
        total += postings + announcements
    return total


async def _give_up_paused(store: Store, clock: Clock) -> None:
    """What a paused webhook was not told in its time becomes dead letters, to be replayed."""
    async with store.look() as tx:
        hooks = await tx.webhooks.all(None)
    for hook in hooks:
        if hook.state is WebhookState.PAUSED:
            await give_up_all(store, hook.id, now=clock.now(), detail=PAUSED_ALL_ALONG)
