"""Audit in the database: one chain a tenant, its end kept beside it and locked while it grows."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Integer, bindparam, insert, select, update

from adapters.store.cursors import Listing
from adapters.store.harm_tables import audit, audit_heads
from adapters.store.inserts import upsert
from adapters.store.statements import SqlRow, Statements
from headend.audit import AuditAction, AuditRecord, Entry, Head, chained
from headend.meters import TenantId
from headend.pages import Cursor, Page

_heads = audit_heads.c
# The row is touched, or made, because one that is not there cannot be locked.
_LOCKED = {
    dialect: statement.returning(_heads.number, _heads.hash)
    for dialect, statement in upsert(audit_heads, lambda _: {"number": _heads.number}).items()
}
_HEAD = select(audit_heads).where(_heads.tenant == bindparam("tenant_"))
_MOVE = update(audit_heads).where(_heads.tenant == bindparam("tenant_"))
_ADD = insert(audit)
_FOLLOWING = (
    select(audit)
    .where(audit.c.tenant == bindparam("tenant_"), audit.c.number > bindparam("number_"))
    .order_by(audit.c.number)
    .limit(bindparam("limit_", type_=Integer()))
)


class SqlAudit:
    """Satisfies the audit of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def append(self, entry: Entry) -> AuditRecord:
        new = Head()
        row = await self._run.row(
            _LOCKED[self._run.dialect],
            {"tenant": entry.tenant, "number": new.number, "hash": new.hash},
        )
        assert row is not None
        record = chained(entry, Head(row.number, row.hash))
        await self._run.changed(_ADD, _columns(record))
        end = {"tenant_": entry.tenant, "number": record.number, "hash": record.hash}
        await self._run.change(_MOVE, end, what=f"audit of {entry.tenant}")
        return record

    async def head(self, tenant: TenantId) -> Head:
        row = await self._run.row(_HEAD, {"tenant_": tenant})
        return Head() if row is None else Head(row.number, row.hash)

    async def following(
        self, tenant: TenantId, number: int, *, limit: int
    ) -> Sequence[AuditRecord]:
        given = {"tenant_": tenant, "number_": number, "limit_": limit}
        return [_record_of(row) for row in await self._run.rows(_FOLLOWING, given)]

    async def page(
        self, tenant: TenantId, cursor: Cursor, *, action: AuditAction | None = None
    ) -> Page[AuditRecord]:
        where: list[ColumnElement[bool]] = [audit.c.tenant == tenant]
        if action is not None:
            where.append(audit.c.action == action.value)
        return await _LISTING.page(self._run, cursor, *where)


def _columns(record: AuditRecord) -> dict[str, object]:
    entry = record.entry
    return {
        "tenant": entry.tenant,
        "number": record.number,
        "at": entry.at,
        "by": entry.by,
        "action": entry.action,
        "subject": entry.subject,
        "result": entry.result,
        "about": dict(entry.about),
        "hash": record.hash,
    }


def _record_of(row: SqlRow) -> AuditRecord:
    entry = Entry(
        tenant=row.tenant,
        at=row.at,
        by=row.by,
        action=AuditAction(row.action),
        subject=row.subject,
        result=row.result,
        about=row.about,
    )
    return AuditRecord(number=row.number, entry=entry, hash=row.hash)


_LISTING = Listing(
    table=audit,
    columns=(audit.c.number,),
    kinds=(int,),
    key=lambda record: (record.number,),
    record=_record_of,
    newest_first=True,
)
