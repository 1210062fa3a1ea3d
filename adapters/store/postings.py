"""Postings in the database: leases, retries, dead letters."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import (
    Integer,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql.expression import ColumnElement

from adapters.store.columns import MOMENT, literals
from adapters.store.inserts import upsert
from adapters.store.outbox import announced_of
from adapters.store.outbox_tables import DEAD, KEPT, PENDING, announcements, postings
from adapters.store.posting_rows import posting_columns, posting_of
from adapters.store.statements import Parameters, Statements
from headend.meters import TenantId
from headend.outbox import Announced
from headend.webhooks import HOLD_TRIES, Backlog, DeadLetter, Posting, PostingState

_c = postings.c
_earlier = postings.alias("earlier")
_NOW = bindparam("now", type_=MOMENT)
_WEBHOOK = _c.webhook_id == bindparam("webhook")
_LIMIT = bindparam("limit_", type_=Integer())
_HELD_BACK = exists().where(
    _earlier.c.webhook_id == _c.webhook_id,
    _earlier.c.drn == _c.drn,
    _earlier.c.state.in_(literals([PostingState.PENDING])),
    _earlier.c.cursor < _c.cursor,
    _earlier.c.attempts < HOLD_TRIES,
)


def sendable(now: ColumnElement[datetime]) -> ColumnElement[bool]:
    """Pending, its time has come, nobody holds it, and nothing of its meter goes first."""
    free = or_(_c.lease_until.is_(None), _c.lease_until <= now)
    return and_(PENDING, _c.not_before <= now, free, ~_HELD_BACK)


_TAKE = (
    select(postings)
    .where(_WEBHOOK, sendable(_NOW))
    .order_by(_c.not_before, _c.cursor)
    .limit(_LIMIT)
    .with_for_update(of=postings, skip_locked=True)
)
_LEASE = (
    update(postings)
    .where(_WEBHOOK, _c.cursor.in_(bindparam("cursors", expanding=True)), sendable(_NOW))
    .values(lease_id=bindparam("lease"), lease_until=bindparam("until"))
    .returning(postings)
)
_ANNOUNCED = select(announcements).where(
    announcements.c.cursor.in_(bindparam("cursors", expanding=True))
)
_SAVE = update(postings).where(
    _WEBHOOK, _c.cursor == bindparam("cursor_"), _c.lease_id == bindparam("lease")
)
_past = (
    select(_c.cursor)
    .where(
        _WEBHOOK,
        PENDING,
        _c.give_up_at <= _NOW,
        or_(_c.lease_until.is_(None), _c.lease_until <= _NOW),
    )
    .limit(_LIMIT)
    .with_for_update(skip_locked=True)
)
_GIVE_UP = (
    update(postings)
    .where(_WEBHOOK, _c.cursor.in_(bindparam("cursors", expanding=True)), PENDING)
    .values(state=PostingState.DEAD, ended_at=_NOW, detail=bindparam("why"))
)
_DEAD = (
    select(postings)
    .where(_WEBHOOK, DEAD, _c.cursor > bindparam("after"))
    .order_by(_c.cursor)
    .limit(_LIMIT)
)
_FRESH = (
    "state",
    "attempts",
    "not_before",
    "give_up_at",
    "status",
    "detail",
    "lease_id",
    "lease_until",
    "ended_at",
)
_REPLAY = upsert(postings, lambda fresh: {name: fresh[name] for name in _FRESH})
_BACKLOGS = (
    select(
        _c.webhook_id,
        func.count(case((PENDING, 1))).label("pending"),
        func.min(case((PENDING, _c.cursor))).label("oldest"),
        func.count(case((DEAD, 1))).label("dead"),
    )
    .where(KEPT)
    .group_by(_c.webhook_id)
    .order_by(_c.webhook_id)
)


def _ended(state: PostingState, before: str) -> ColumnElement[bool]:
    return and_(_c.state == state, _c.ended_at < bindparam(before, type_=MOMENT))


_ENDED = (
    select(_c.webhook_id, _c.cursor)
    .where(
        or_(
            _ended(PostingState.DELIVERED, "delivered_before"),
            _ended(PostingState.DEAD, "dead_before"),
        )
    )
    .limit(_LIMIT)
)
_PRUNE = delete(postings).where(tuple_(_c.webhook_id, _c.cursor).in_(_ENDED))


class SqlPostings:
    """Satisfies the postings of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def take(
        self, webhook_id: str, *, now: datetime, lease_id: str, lease_until: datetime, limit: int
    ) -> Sequence[tuple[Posting, Announced]]:
        """Rows are locked first and looked at again by the statement that leases them."""
        keys: Parameters = {"webhook": webhook_id, "now": now, "limit_": limit}
        found = [row.cursor for row in await self._run.rows(_TAKE, keys)]
        if not found:
            return ()
        lease = {
            "webhook": webhook_id,
            "now": now,
            "cursors": found,
            "lease": lease_id,
            "until": lease_until,
        }
        leased = [posting_of(row) for row in await self._run.rows(_LEASE, lease)]
        return await self._with_announcements(leased)

    async def save(self, posting: Posting, *, lease_id: str) -> bool:
        keys = {"webhook": posting.webhook_id, "cursor_": posting.cursor, "lease": lease_id}
        columns = posting_columns(posting)
        changing = {name: columns[name] for name in _FRESH if name != "lease_id"}
        statement = _SAVE.values(**changing, lease_id=posting.lease_id)
        return await self._run.changed(statement, keys) > 0

    async def give_up(self, webhook_id: str, *, now: datetime, detail: str, limit: int) -> int:
        keys = {"webhook": webhook_id, "now": now}
        found = [row.cursor for row in await self._run.rows(_past, {**keys, "limit_": limit})]
        if not found:
            return 0
        return await self._run.changed(_GIVE_UP, {**keys, "cursors": found, "why": detail})

    async def dead(self, webhook_id: str, *, after: int, limit: int) -> Sequence[DeadLetter]:
        keys = {"webhook": webhook_id, "after": after, "limit_": limit}
        rows = [posting_of(row) for row in await self._run.rows(_DEAD, keys)]
        return [DeadLetter(*pair) for pair in await self._with_announcements(rows)]

    async def replay(
        self,
        webhook_id: str,
        announced: Sequence[Announced],
        *,
        now: datetime,
        give_up_at: datetime,
    ) -> None:
        rows = [
            posting_columns(
                Posting(
                    webhook_id=webhook_id,
                    tenant=one.announcement.tenant,
                    cursor=one.cursor,
                    drn=one.announcement.drn,
                    not_before=now,
                    give_up_at=give_up_at,
                )
            )
            for one in announced
        ]
        if rows:
            await self._run.changed(_REPLAY[self._run.dialect], rows)

    async def backlogs(self, tenant: TenantId | None) -> Sequence[Backlog]:
        statement = _BACKLOGS if tenant is None else _BACKLOGS.where(_c.tenant == tenant)
        rows = await self._run.rows(statement, {})
        oldest = [row.oldest for row in rows if row.oldest is not None]
        found = await self._run.rows(_ANNOUNCED, {"cursors": oldest}) if oldest else ()
        said_at = {row.cursor: row.at for row in found}
        return [
            Backlog(row.webhook_id, row.pending, said_at.get(row.oldest), row.dead) for row in rows
        ]

    async def prune(self, *, delivered_before: datetime, dead_before: datetime, limit: int) -> int:
        keys = {
            "delivered_before": delivered_before,
            "dead_before": dead_before,
            "limit_": limit,
        }
        return await self._run.changed(_PRUNE, keys)

    async def _with_announcements(
        self, found: Sequence[Posting]
    ) -> list[tuple[Posting, Announced]]:
        if not found:
            return []
        rows = await self._run.rows(_ANNOUNCED, {"cursors": [one.cursor for one in found]})
        by_cursor = {row.cursor: announced_of(row) for row in rows}
        ordered = sorted(found, key=lambda one: one.cursor)
        return [(one, by_cursor[one.cursor]) for one in ordered if one.cursor in by_cursor]
