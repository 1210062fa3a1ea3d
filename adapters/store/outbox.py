"""The outbox in the database.

What a transaction announces is kept until it commits, and then written with two statements: the
counters of its meters, in one order for all, so that nobody waits for whom he holds up; then the
rows. Cursors are given later, to rows that are committed, by whoever holds the row of the tail: a
number drawn while writing could become visible after a higher one, and a reader would miss it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

from sqlalchemy import ColumnElement, bindparam, delete, exists, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from adapters.store.columns import MOMENT
from adapters.store.inserts import new_only, upsert
from adapters.store.outbox_tables import (
    KEPT,
    UNORDERED,
    announcement_counters,
    announcement_tail,
    announcements,
    postings,
    webhooks,
)
from adapters.store.posting_rows import posting_columns
from adapters.store.statements import InEachDialect, Parameters, SqlRow, Statements
from headend.meters import Drn, TenantId
from headend.occurrences import Occurrence
from headend.outbox import Announced, Announcement, Span, StreamFilter, wanted
from headend.webhooks import Posting

TAIL = 1
_Meter: TypeAlias = tuple[TenantId, str]

_c = announcements.c
_COUNT = {
    dialect: statement.returning(
        announcement_counters.c.tenant, announcement_counters.c.drn, announcement_counters.c.last
    )
    for dialect, statement in upsert(
        announcement_counters,
        lambda more: {"last": announcement_counters.c.last + more["last"]},
    ).items()
}
_ADD: InEachDialect = {
    "sqlite": sqlite.insert(announcements).inline(),
    "postgresql": postgresql.insert(announcements).inline(),
}
# The row is touched, or made, because one that is not there cannot be locked.
_HOLD_TAIL = {
    dialect: statement.returning(announcement_tail.c.newest)
    for dialect, statement in upsert(
        announcement_tail, lambda _: {"newest": announcement_tail.c.newest}
    ).items()
}
_MOVE_TAIL = update(announcement_tail).values(newest=bindparam("newest_"))
_PRUNED = (
    update(announcement_tail)
    .where(announcement_tail.c.pruned < bindparam("pruned_"))
    .values(pruned=bindparam("pruned_"))
)
_SPAN = select(announcement_tail.c.newest, announcement_tail.c.pruned)
_waiting = (
    select(_c.number, func.row_number().over(order_by=_c.number).label("place"))
    .where(UNORDERED)
    .order_by(_c.number)
    .limit(bindparam("limit_"))
    .subquery()
)
_ORDER = (
    update(announcements)
    .where(_c.number == _waiting.c.number)
    .values(cursor=bindparam("newest_") + _waiting.c.place)
    .returning(_c.cursor, _c.tenant, _c.drn, _c.occurrence)
)
_UNORDERED = select(_c.number).where(UNORDERED).limit(1)
# Held until the postings are in: a webhook that is removed meanwhile takes them along.
_WEBHOOKS = (
    select(webhooks.c.id, webhooks.c.tenant, webhooks.c.types)
    .where(webhooks.c.tenant.in_(bindparam("tenants", expanding=True)))
    .order_by(webhooks.c.id)
    .with_for_update(read=True, key_share=True)
)
_POST = new_only(postings)
_AFTER = (
    select(announcements)
    .where(_c.tenant == bindparam("tenant_"), _c.cursor > bindparam("cursor_"))
    .limit(bindparam("limit_"))
)
_OLD = (
    select(_c.number)
    .where(
        _c.at < bindparam("before", type_=MOMENT),
        _c.cursor.is_not(None),
        ~exists().where(postings.c.cursor == _c.cursor, KEPT),
    )
    .order_by(_c.at)
    .limit(bindparam("limit_"))
)
_PRUNE = delete(announcements).where(_c.number.in_(_OLD)).returning(_c.cursor)


class SqlOutbox:
    """Satisfies the outbox of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run
        self._said: list[Announcement] = []

    def add(self, announcements: Sequence[Announcement]) -> None:
        assert self._run.locks, "look is for reading only"
        self._said += announcements

    async def write_down(self) -> bool:
        """Write what was said in this transaction, just before it commits; whether there was."""
        if not self._said:
            return False
        said, self._said = self._said, []
        sequences = await self._sequences(Counter(map(_meter, said)))
        rows: list[Parameters] = [_columns(one, next(sequences[_meter(one)])) for one in said]
        statement = _ADD[self._run.dialect]
        await self._run.changed(statement, rows[0] if len(rows) == 1 else rows)
        return True

    async def _sequences(self, more: Mapping[_Meter, int]) -> Mapping[_Meter, Iterator[int]]:
        """The numbers that each meter goes on with; their counters are locked, in one order."""
        counts: list[Parameters] = [
            {"tenant": tenant, "drn": drn, "last": count}
            for (tenant, drn), count in sorted(more.items())
        ]
        statement = _COUNT[self._run.dialect]
        if len(counts) == 1:
            rows = await self._run.rows(statement, counts[0])
        else:
            rows = await self._run.returned(statement, counts)
        last = {(row.tenant, row.drn): row.last for row in rows}
        return {
            meter: iter(range(last[meter] - more[meter] + 1, last[meter] + 1)) for meter in more
        }

    async def unordered(self) -> bool:
        return await self._run.row(_UNORDERED, {}) is not None

    async def order(self, *, now: datetime, give_up_at: datetime, limit: int) -> int:
        start = {"id": TAIL, "newest": 0, "pruned": 0}
        tail = await self._run.row(_HOLD_TAIL[self._run.dialect], start)
        assert tail is not None, "the row of the tail was made just now"
        rows = await self._run.rows(_ORDER, {"newest_": tail.newest, "limit_": limit})
        if not rows:
            return 0
        await self._post(rows, now=now, give_up_at=give_up_at)
        await self._run.changed(_MOVE_TAIL, {"newest_": tail.newest + len(rows)})
        return len(rows)

    async def _post(self, rows: Sequence[SqlRow], *, now: datetime, give_up_at: datetime) -> None:
        hooks = await self._run.rows(_WEBHOOKS, {"tenants": sorted({row.tenant for row in rows})})
        posts: list[Parameters] = [
            posting_columns(
                Posting(
                    webhook_id=hook.id,
                    tenant=row.tenant,
                    cursor=row.cursor,
                    drn=row.drn or None,
                    not_before=now,
                    give_up_at=give_up_at,
                )
            )
            for row in rows
            for hook in hooks
            if hook.tenant == row.tenant and wanted(Occurrence(row.occurrence), hook.types)
        ]
        if posts:
            await self._run.changed(_POST[self._run.dialect], posts)

    async def after(
        self, tenant: TenantId, cursor: int, where: StreamFilter, *, limit: int
    ) -> Sequence[Announced]:
        # In the order of its sequence a meter's own index finds them; it is that of the stream.
        of_one = where.drn is not None or where.sequence is not None
        order = _c.sequence if of_one else _c.cursor
        statement = _AFTER.where(*_conditions(where)).order_by(order)
        keys = {"tenant_": tenant, "cursor_": cursor, "limit_": limit}
        return [announced_of(row) for row in await self._run.rows(statement, keys)]

    async def span(self) -> Span:
        row = await self._run.row(_SPAN, {})
        return Span(0, 0) if row is None else Span(row.newest, row.pruned)

    async def prune(self, *, before: datetime, limit: int) -> int:
        gone = await self._run.rows(_PRUNE, {"before": before, "limit_": limit})
        if gone:
            await self._run.changed(_PRUNED, {"pruned_": max(row.cursor for row in gone)})
        return len(gone)


def _conditions(where: StreamFilter) -> list[ColumnElement[bool]]:
    conditions = []
    if where.drn is not None:
        conditions.append(_c.drn == where.drn)
    if where.types:
        passing = [one for one in Occurrence if wanted(one, where.types)]
        conditions.append(_c.occurrence.in_(passing))
    if where.since is not None:
        conditions.append(_c.at >= where.since)
    if where.until is not None:
        conditions.append(_c.at < where.until)
    if where.sequence is not None:
        conditions += [_c.drn == (where.drn or ""), _c.sequence == where.sequence]
    return conditions


def announced_of(row: SqlRow) -> Announced:
    """An announcement that has its cursor."""
    return Announced(
        row.cursor,
        row.sequence,
        Announcement(
            tenant=row.tenant,
            drn=Drn(row.drn) if row.drn else None,
            occurrence=Occurrence(row.occurrence),
            at=row.at,
            data=row.data,
        ),
    )


def _meter(one: Announcement) -> _Meter:
    return one.tenant, one.drn or ""


def _columns(one: Announcement, sequence: int) -> Parameters:
    return {
        "tenant": one.tenant,
        "drn": one.drn or "",
        "sequence": sequence,
        "occurrence": one.occurrence,
        "at": one.at,
        "data": dict(one.data),
        "cursor": None,
    }
