"""Compensations in the database."""

from datetime import datetime

from sqlalchemy import ColumnElement, bindparam, select, update

from adapters.store.cursors import Listing
from adapters.store.inserts import new_only
from adapters.store.restoration_tables import compensations
from adapters.store.statements import SqlRow, Statements
from headend.compensations import Compensation, CompensationFilter
from headend.errors import Stale
from headend.meters import TenantId
from headend.pages import Cursor, Page
from headend.restoration import Ending

_c = compensations.c
_KEY = (_c.tenant == bindparam("tenant_"), _c.recharge_id == bindparam("recharge_"))
_ADD = new_only(compensations)
_FIND = select(compensations).where(*_KEY)
_ENDED = update(compensations).where(*_KEY)


class SqlCompensations:
    """Satisfies the compensations of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def add(self, record: Compensation) -> None:
        columns = {
            "tenant": record.tenant,
            "recharge_id": record.recharge_id,
            "drn": record.drn,
            "sgc": record.sgc,
            "usage_point": record.usage_point,
            "reference": record.reference,
            "paid_at": record.paid_at,
            "limit_at": record.limit_at,
            "recorded_at": record.recorded_at,
            **_ended(record),
        }
        if not await self._run.changed(_ADD[self._run.dialect], columns):
            raise Stale(f"compensation of recharge {record.recharge_id}")

    async def find(self, tenant: TenantId, recharge_id: str) -> Compensation | None:
        row = await self._run.row(_FIND, {"tenant_": tenant, "recharge_": recharge_id})
        return None if row is None else _compensation_of(row)

    async def ended(self, record: Compensation) -> None:
        key = {"tenant_": record.tenant, "recharge_": record.recharge_id}
        await self._run.change(_ENDED, _ended(record) | key, what="compensation")

    async def page(
        self, tenant: TenantId, cursor: Cursor, where: CompensationFilter
    ) -> Page[Compensation]:
        return await _LISTING.page(self._run, cursor, *_conditions(tenant, where))


def _conditions(tenant: TenantId, where: CompensationFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [_c.tenant == tenant]
    if where.sgc is not None:
        conditions.append(_c.sgc == where.sgc)
    if where.drn is not None:
        conditions.append(_c.drn == where.drn)
    if where.since is not None:
        conditions.append(_c.limit_at >= where.since)
    if where.until is not None:
        conditions.append(_c.limit_at < where.until)
    if where.dark is not None:
        conditions.append(_c.ended_at.is_(None) if where.dark else _c.ended_at.is_not(None))
    return conditions


def _ended(record: Compensation) -> dict[str, object]:
    return {"ended_at": record.ended_at, "ended_by": record.ended_by, "cause": record.cause}


def _compensation_of(row: SqlRow) -> Compensation:
    return Compensation(
        tenant=row.tenant,
        recharge_id=row.recharge_id,
        drn=row.drn,
        sgc=row.sgc,
        usage_point=row.usage_point,
        reference=row.reference,
        paid_at=row.paid_at,
        limit_at=row.limit_at,
        recorded_at=row.recorded_at,
        ended_at=row.ended_at,
        ended_by=None if row.ended_by is None else Ending(row.ended_by),
        cause=row.cause,
    )


_LISTING = Listing(
    table=compensations,
    columns=(_c.limit_at, _c.recharge_id),
    kinds=(datetime, str),
    key=lambda record: (record.limit_at, record.recharge_id),
    record=_compensation_of,
    newest_first=True,
)
