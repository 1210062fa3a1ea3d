"""Posting: the outbox is put in order, and every webhook is told, each by a lane of its own.

A lane takes some postings of one webhook at once, under a lease, and ends when nothing is due or
its receiver needs rest; so no dead receiver keeps another one waiting. A process that dies leaves
leases that end: what it was telling is told again, with the same id.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from headend.cloud_events import event_body
from headend.errors import HeadendError, Stale, StoreDown
from headend.outbox import Announced, Bell
from headend.ports import Chance, Clock
from headend.receivers import Message, Receivers, Reply, Seals, secrets_of
from headend.store import Store, Transaction
from headend.webhooks import (
    GIVE_UP_AFTER,
    REST_MAX_S,
    RETRY_AFTER_MAX,
    Health,
    PausedBy,
    Posting,
    Webhook,
    WebhookState,
)

# Other processes announce without being able to wake us.
LOOK_EVERY = timedelta(seconds=1)
STORE_PAUSE_S = 2.0
ORDER_BATCH = 200
# What is announced within a moment is put in order together: one commit for all of it.
GATHER_S = 0.05
# So many receivers at once, and so many messages at once to each.
LANES = 100
WIDTH = 8
# Longer than a message may take, by as much as a busy database needs.
LEASE = timedelta(seconds=21)
# A receiver that says "not this one" is alive: it is let rest shortly only.
REJECTED_REST_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PostingPorts:
    """What posting works with. `announced` rings when something was said, `ordered` when told."""

    store: Store
    receivers: Receivers
    seals: Seals
    clock: Clock
    chance: Chance
    announced: Bell
    ordered: Bell


class PostOffice:
    """Puts the outbox in order and tells webhooks, until cancelled. Any number may run at once."""

    def __init__(
        self,
        ports: PostingPorts,
        *,
        source: str,
        give_up_after: timedelta = GIVE_UP_AFTER,
        look_every: timedelta = LOOK_EVERY,
        lease: timedelta = LEASE,
    ) -> None:
        self._ports = ports
        self._source = source
        self._give_up_after = give_up_after
        self._look_every = look_every
        self._lease = lease
        self._lanes: set[str] = set()

    async def serve(self) -> None:
        """Order and tell for ever; on cancellation what is being told is told again later."""
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    await self.order()
                    await self._open_lanes(group)
                except (Stale, StoreDown):
                    await asyncio.sleep(STORE_PAUSE_S)
                await self._ports.announced.wait(self._look_every)
                await asyncio.sleep(GATHER_S)

    async def order(self) -> int:
        """Give cursors to all that is committed, and post it; how many."""
        now = self._ports.clock.now()
        async with self._ports.store.look() as tx:
            if not await tx.outbox.unordered():
                return 0
        total, some = 0, ORDER_BATCH
        while some == ORDER_BATCH:
            async with self._ports.store.begin() as tx:
                some = await tx.outbox.order(
                    now=now, give_up_at=now + self._give_up_after, limit=ORDER_BATCH
                )
            total += some
        self._ports.ordered.ring()
        return total

    async def _open_lanes(self, group: asyncio.TaskGroup) -> None:
        async with self._ports.store.look() as tx:
            due = await tx.webhooks.due(now=self._ports.clock.now(), limit=2 * LANES)
        for webhook in due:
            if webhook.id not in self._lanes and len(self._lanes) < LANES:
                self._lanes.add(webhook.id)
                group.create_task(self._lane(webhook), name=f"webhook {webhook.id}")

    # --- one lane ------------------------------------------------------------------------------

    async def _lane(self, webhook: Webhook) -> None:
        try:
            going_on: Webhook | None = webhook
            while going_on is not None:
                going_on = await self._tell_some(going_on)
        except (Stale, StoreDown):
            pass  # leases end by themselves
        finally:
            self._lanes.discard(webhook.id)

    async def _tell_some(self, webhook: Webhook) -> Webhook | None:
        """Tell what is due; the webhook to go on with, or None.

        It is read again each time: it may be paused, moved, removed, or have another secret by now.
        """
        now = self._ports.clock.now()
        lease_id = self._ports.chance.ident(now)
        async with self._ports.store.begin() as tx:
            current = await tx.webhooks.find(webhook.tenant, webhook.id)
            if current is None or current.state is not WebhookState.ACTIVE:
                return None
            # What is well is not noted each time, so how it does is known best by its lane.
            webhook = replace(current, health=_known_best(webhook.health, current.health))
            # One that fails is asked with one message whether it is back.
            width = 1 if webhook.health.failures else WIDTH
            taken = await tx.postings.take(
                webhook.id, now=now, lease_id=lease_id, lease_until=now + self._lease, limit=width
            )
        if not taken:
            return None
        replies = await self._tell(webhook, taken, now=now)
        return await self._write(webhook, [one for one, _ in taken], replies, lease_id)

    async def _tell(
        self, webhook: Webhook, taken: Sequence[tuple[Posting, Announced]], *, now: datetime
    ) -> Sequence[Reply]:
        try:
            secrets = secrets_of(webhook, self._ports.seals, now=now)
        except HeadendError as error:
            return [Reply(detail=f"its secret does not open: {error}") for _ in taken]
        messages = [
            Message(
                url=webhook.url,
                id=message_id(webhook.id, posting.cursor),
                at=now,
                body=event_body(announced, self._source),
                secrets=secrets,
            )
            for posting, announced in taken
        ]
        return await asyncio.gather(*map(self._ports.receivers.tell, messages))

    async def _write(
        self,
        webhook: Webhook,
        postings: Sequence[Posting],
        replies: Sequence[Reply],
        lease_id: str,
    ) -> Webhook | None:
        now, spread = self._ports.clock.now(), self._ports.chance.spread()
        health = health_after(webhook.health, replies, now=now, spread=spread)
        async with self._ports.store.begin() as tx:
            for posting, reply in zip(postings, replies, strict=True):
                after = posting_after(posting, reply, now=now, spread=self._ports.chance.spread())
                await tx.postings.save(after, lease_id=lease_id)
            if worth_noting(webhook.health, health):
                await tx.webhooks.note(webhook.id, health)
            gone = any(reply.gone for reply in replies)
            if gone:
                await _pause(tx, webhook, now=now)
        since = health.failing_since
        if since is not None and now - since >= self._give_up_after:
            await give_up_all(self._ports.store, webhook.id, now=now, detail=DEAD_ALL_ALONG)
        resting = health.rest_until is not None and health.rest_until > now
        return None if gone or resting else replace(webhook, health=health)


DEAD_ALL_ALONG = "its receiver was dead all the time"
NOTE_EVERY = timedelta(minutes=1)
GIVE_UP_BATCH = 1000


async def give_up_all(store: Store, webhook_id: str, *, now: datetime, detail: str) -> None:
    """Everything that is past its time becomes dead letters, a batch a transaction."""
    some = GIVE_UP_BATCH
    while some == GIVE_UP_BATCH:
        async with store.begin() as tx:
            some = await tx.postings.give_up(
                webhook_id, now=now, detail=detail, limit=GIVE_UP_BATCH
            )


def message_id(webhook_id: str, cursor: int) -> str:
    """The same for every try and every replay, so that a receiver knows a repeat."""
    return f"msg_{webhook_id}_{cursor}"


def posting_after(posting: Posting, reply: Reply, *, now: datetime, spread: float) -> Posting:
    """The posting as it stands after a reply."""
    if reply.taken:
        assert reply.status is not None
        return posting.delivered(now=now, status=reply.status)
    if reply.gone:
        return posting.released(not_before=now)
    failed = posting.failed(now=now, spread=spread, status=reply.status, detail=reply.detail)
    if reply.retry_after is None:
        return failed
    return replace(failed, not_before=max(failed.not_before, now + _bounded(reply.retry_after)))


def health_after(
    health: Health, replies: Sequence[Reply], *, now: datetime, spread: float
) -> Health:
    """How a receiver does after some messages at once: one that took any of them is well."""
    for reply in replies:
        if reply.taken:
            assert reply.status is not None
            return health.well(now=now, status=reply.status)
    last = replies[-1]
    longest_s = REJECTED_REST_S if last.rejected else REST_MAX_S
    after = health.failed(
        now=now, spread=spread, status=last.status, detail=last.detail, longest_s=longest_s
    )
    waits = [reply.retry_after for reply in replies if reply.retry_after is not None]
    return after.resting(now + _bounded(max(waits))) if waits else after


def _known_best(by_lane: Health, stored: Health) -> Health:
    """The lane's own word, unless somebody let the receiver begin anew."""
    return by_lane if stored.failures or not by_lane.failures else stored


def worth_noting(before: Health, after: Health) -> bool:
    """A receiver that is well need not be noted for every message."""
    if before.failures or after.failures or before.told_at is None or after.told_at is None:
        return True
    return after.told_at - before.told_at >= NOTE_EVERY


def _bounded(wait: timedelta) -> timedelta:
    return min(wait, RETRY_AFTER_MAX)


async def _pause(tx: Transaction, webhook: Webhook, *, now: datetime) -> None:
    """The receiver said 410 Gone: it is told nothing more until a person says so."""
    current = await tx.webhooks.find(webhook.tenant, webhook.id)
    if current is None or current.state is WebhookState.PAUSED:
        return
    paused = replace(
        current,
        state=WebhookState.PAUSED,
        paused_by=PausedBy.RECEIVER,
        version=current.version + 1,
        changed_at=now,
    )
    await tx.webhooks.save(paused, was=current.version)
