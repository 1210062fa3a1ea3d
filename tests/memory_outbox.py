"""The outbox, webhooks and postings of the store in memory."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any

from headend.errors import Stale
from headend.meters import TenantId
from headend.outbox import Announced, Announcement, Span, StreamFilter, wanted
from headend.webhooks import (
    HOLD_TRIES,
    Backlog,
    DeadLetter,
    Health,
    Posting,
    PostingState,
    Webhook,
    WebhookState,
)
from tests.memory_tables import Table, View

NONE = 0


def outbox_tables() -> dict[str, Table[Any, Any]]:
    return {
        # By number: (number, announced), whose cursor is NONE until it is ordered.
        "announcements": Table(
            unordered=lambda row: (None, (row[0],)) if row[1].cursor == NONE else None,
            stream=lambda row: (
                (row[1].announcement.tenant, (row[1].cursor,)) if row[1].cursor else None
            ),
            cursor=lambda row: (row[1].cursor, ()) if row[1].cursor else None,
            age=lambda row: (None, (row[1].announcement.at, row[0])),
        ),
        "counters": Table(),
        "tail": Table(),
        "webhooks": Table(
            all=lambda one: (None, (one.created_at, one.id)),
            tenant=lambda one: (one.tenant, (one.created_at, one.id)),
        ),
        "postings": Table(
            all=lambda one: (None, (one.webhook_id, one.cursor)),
            webhook=lambda one: (one.webhook_id, (one.cursor,)),
            pending=lambda one: (
                (one.webhook_id, (one.not_before, one.cursor)) if _pending(one) else None
            ),
            meter=lambda one: ((one.webhook_id, one.drn), (one.cursor,)) if _pending(one) else None,
            cursor=lambda one: (
                (one.cursor, (one.webhook_id,)) if one.state is not PostingState.DELIVERED else None
            ),
        ),
    }


def _pending(one: Posting) -> bool:
    return one.state is PostingState.PENDING


class MemoryOutbox:
    def __init__(
        self,
        view: View[int, tuple[int, Announced]],
        counters: View[Any, int],
        tail: View[str, int],
        webhooks: View[str, Webhook],
        postings: View[tuple[str, int], Posting],
    ) -> None:
        self._view, self._counters, self._tail = view, counters, tail
        self._webhooks, self._postings = webhooks, postings
        self._said: list[Announcement] = []

    def add(self, announcements: Sequence[Announcement]) -> None:
        self._said += announcements

    def write_down(self) -> None:
        for one in self._said:
            meter = (one.tenant, one.drn)
            sequence = (self._counters.get(meter) or 0) + 1
            self._counters.put(meter, sequence)
            number = self._view.next_number()
            self._view.put(number, (number, Announced(NONE, sequence, one)))
        self._said = []

    async def unordered(self) -> bool:
        return self._view.first("unordered", None) is not None

    async def order(self, *, now: datetime, give_up_at: datetime, limit: int) -> int:
        waiting = list(islice(self._view.walk("unordered", None), limit))
        newest = self._tail.get("newest") or 0
        for cursor, (number, announced) in enumerate(waiting, start=newest + 1):
            ordered = replace(announced, cursor=cursor)
            self._view.put(number, (number, ordered))
            for hook in self._webhooks.walk("tenant", ordered.announcement.tenant):
                if wanted(ordered.announcement.occurrence, hook.types):
                    post = _new_posting(hook.id, ordered, now=now, give_up_at=give_up_at)
                    self._postings.put((hook.id, cursor), post)
        self._tail.put("newest", newest + len(waiting))
        return len(waiting)

    async def after(
        self, tenant: TenantId, cursor: int, where: StreamFilter, *, limit: int
    ) -> Sequence[Announced]:
        rows = self._view.walk("stream", tenant, beyond=(cursor,))
        return list(islice((one for _, one in rows if _passes(one, where)), limit))

    async def span(self) -> Span:
        return Span(self._tail.get("newest") or 0, self._tail.get("pruned") or 0)

    async def prune(self, *, before: datetime, limit: int) -> int:
        old = (
            (number, one)
            for number, one in self._view.walk("age", None)
            if one.cursor
            and one.announcement.at < before
            and self._postings.first("cursor", one.cursor) is None
        )
        gone = list(islice(old, limit))
        for number, one in gone:
            self._view.put(number, None)
            self._tail.put("pruned", max(one.cursor, self._tail.get("pruned") or 0))
        return len(gone)


def _passes(one: Announced, where: StreamFilter) -> bool:
    said = one.announcement
    return (
        (where.drn is None or said.drn == where.drn)
        and wanted(said.occurrence, where.types)
        and (where.since is None or said.at >= where.since)
        and (where.until is None or said.at < where.until)
        and (where.sequence is None or (said.drn, one.sequence) == (where.drn, where.sequence))
    )


def _new_posting(
    webhook_id: str, one: Announced, *, now: datetime, give_up_at: datetime
) -> Posting:
    return Posting(
        webhook_id=webhook_id,
        tenant=one.announcement.tenant,
        cursor=one.cursor,
        drn=one.announcement.drn,
        not_before=now,
        give_up_at=give_up_at,
    )


class MemoryWebhooks:
    def __init__(self, view: View[str, Webhook], postings: View[tuple[str, int], Posting]) -> None:
        self._view, self._postings = view, postings

    async def add(self, webhook: Webhook) -> None:
        if self._view.get(webhook.id) is not None:
            raise Stale(f"webhook {webhook.id}")
        self._view.put(webhook.id, webhook)

    async def find(self, tenant: TenantId, ident: str) -> Webhook | None:
        found = self._view.get(ident)
        return found if found is not None and found.tenant == tenant else None

    async def all(self, tenant: TenantId | None) -> Sequence[Webhook]:
        index, group = ("all", None) if tenant is None else ("tenant", tenant)
        return list(self._view.walk(index, group))

    async def save(self, webhook: Webhook, *, was: int) -> None:
        known = await self.find(webhook.tenant, webhook.id)
        if known is None or known.version != was:
            raise Stale(f"webhook {webhook.id}")
        self._view.put(webhook.id, replace(webhook, health=known.health))

    async def note(self, ident: str, health: Health) -> None:
        known = self._view.get(ident)
        if known is not None:
            self._view.put(ident, replace(known, health=health))

    async def remove(self, tenant: TenantId, ident: str) -> bool:
        if await self.find(tenant, ident) is None:
            return False
        for one in list(self._postings.walk("webhook", ident)):
            self._postings.put((ident, one.cursor), None)
        self._view.put(ident, None)
        return True

    async def due(self, *, now: datetime, limit: int) -> Sequence[Webhook]:
        able = (
            hook
            for hook in self._view.walk("all", None)
            if hook.state is WebhookState.ACTIVE
            and (hook.health.rest_until is None or hook.health.rest_until <= now)
            and next(sendable(self._postings, hook.id, now), None) is not None
        )
        return list(islice(able, limit))


def sendable(postings: View[tuple[str, int], Posting], webhook_id: str, now: datetime) -> Any:
    for one in postings.walk("pending", webhook_id):
        free = one.lease_until is None or one.lease_until <= now
        held_back = any(
            earlier.cursor < one.cursor and earlier.attempts < HOLD_TRIES
            for earlier in postings.walk("meter", (webhook_id, one.drn))
        )
        if one.not_before <= now and free and not held_back:
            yield one


class MemoryPostings:
    def __init__(
        self, view: View[tuple[str, int], Posting], announcements: View[int, tuple[int, Announced]]
    ) -> None:
        self._view, self._announcements = view, announcements

    async def take(
        self, webhook_id: str, *, now: datetime, lease_id: str, lease_until: datetime, limit: int
    ) -> Sequence[tuple[Posting, Announced]]:
        taken = list(islice(sendable(self._view, webhook_id, now), limit))
        leased = [replace(one, lease_id=lease_id, lease_until=lease_until) for one in taken]
        for one in leased:
            self._view.put((webhook_id, one.cursor), one)
        return [(one, self._told(one)) for one in sorted(leased, key=lambda one: one.cursor)]

    async def save(self, posting: Posting, *, lease_id: str) -> bool:
        known = self._view.get((posting.webhook_id, posting.cursor))
        if known is None or known.lease_id != lease_id:
            return False
        self._view.put((posting.webhook_id, posting.cursor), posting)
        return True

    async def give_up(self, webhook_id: str, *, now: datetime, detail: str, limit: int) -> int:
        ended = (
            one
            for one in self._view.walk("pending", webhook_id)
            if one.give_up_at <= now and (one.lease_until is None or one.lease_until <= now)
        )
        past = list(islice(ended, limit))
        for one in past:
            dead = replace(
                one,
                state=PostingState.DEAD,
                ended_at=now,
                detail=detail,
            )
            self._view.put((webhook_id, one.cursor), dead)
        return len(past)

    async def dead(self, webhook_id: str, *, after: int, limit: int) -> Sequence[DeadLetter]:
        rows = self._view.walk("webhook", webhook_id, beyond=(after,))
        dead = (one for one in rows if one.state is PostingState.DEAD)
        return [DeadLetter(one, self._told(one)) for one in islice(dead, limit)]

    async def replay(
        self,
        webhook_id: str,
        announced: Sequence[Announced],
        *,
        now: datetime,
        give_up_at: datetime,
    ) -> None:
        for one in announced:
            post = _new_posting(webhook_id, one, now=now, give_up_at=give_up_at)
            self._view.put((webhook_id, one.cursor), post)

    async def backlogs(self, tenant: TenantId | None) -> Sequence[Backlog]:
        by_webhook: dict[str, list[Posting]] = defaultdict(list)
        for one in self._view.walk("all", None):
            if one.state is not PostingState.DELIVERED and tenant in {None, one.tenant}:
                by_webhook[one.webhook_id].append(one)
        return [self._backlog(ident, rows) for ident, rows in sorted(by_webhook.items())]

    def _backlog(self, ident: str, rows: Sequence[Posting]) -> Backlog:
        pending = [self._told(one).announcement.at for one in rows if _pending(one)]
        return Backlog(ident, len(pending), min(pending, default=None), len(rows) - len(pending))

    async def prune(self, *, delivered_before: datetime, dead_before: datetime, limit: int) -> int:
        before = {PostingState.DELIVERED: delivered_before, PostingState.DEAD: dead_before}
        ended = (
            one
            for one in self._view.walk("all", None)
            if one.ended_at is not None and one.ended_at < before[one.state]
        )
        gone = list(islice(ended, limit))
        for one in gone:
            self._view.put((one.webhook_id, one.cursor), None)
        return len(gone)

    def _told(self, posting: Posting) -> Announced:
        found = self._announcements.first("cursor", posting.cursor)
        assert found is not None
        return found[1]
