"""Holds in the database: one in force for a kind and a group, whoever puts it there first."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, func, select, update

from adapters.store.cursors import Listing
from adapters.store.harm_tables import holds
from adapters.store.inserts import new_only
from adapters.store.statements import SqlRow, Statements
from headend.dangers import Danger
from headend.holds import Hold
from headend.meters import TenantId
from headend.pages import Cursor, Page

_c = holds.c
_TENANT = _c.tenant == bindparam("tenant_")
_KIND = (_TENANT, _c.danger == bindparam("danger_"), _c.sgc == bindparam("sgc_"))
_IN_FORCE = _c.lifted_at.is_(None)
_ADD = new_only(holds)
_FIND = select(holds).where(_TENANT, _c.id == bindparam("id_"))
_OF_KIND = select(holds).where(*_KIND, _IN_FORCE)
_LAST_LIFTED = select(func.max(_c.lifted_at).label("at")).where(*_KIND)
_LIFT = update(holds).where(_TENANT, _c.id == bindparam("id_"), _IN_FORCE)
_ALL_IN_FORCE = select(holds).where(_TENANT, _IN_FORCE).order_by(_c.since, _c.id)


class SqlHolds:
    """Satisfies the holds of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def add(self, hold: Hold) -> bool:
        return await self._run.changed(_ADD[self._run.dialect], _columns(hold)) > 0

    async def find(self, tenant: TenantId, ident: str) -> Hold | None:
        row = await self._run.row(_FIND, {"tenant_": tenant, "id_": ident})
        return None if row is None else _hold_of(row)

    async def in_force(self, tenant: TenantId, danger: Danger, sgc: str) -> Hold | None:
        row = await self._run.row(_OF_KIND, _kind(tenant, danger, sgc))
        return None if row is None else _hold_of(row)

    async def last_lifted(self, tenant: TenantId, danger: Danger, sgc: str) -> datetime | None:
        row = await self._run.row(_LAST_LIFTED, _kind(tenant, danger, sgc))
        return None if row is None else row.at

    async def lift(self, hold: Hold) -> bool:
        keys = {"tenant_": hold.tenant, "id_": hold.id}
        return await self._run.changed(_LIFT, _columns(hold) | keys) > 0

    async def all_in_force(self, tenant: TenantId) -> Sequence[Hold]:
        return [_hold_of(row) for row in await self._run.rows(_ALL_IN_FORCE, {"tenant_": tenant})]

    async def page(self, tenant: TenantId, cursor: Cursor) -> Page[Hold]:
        return await _LISTING.page(self._run, cursor, _c.tenant == tenant)


def _kind(tenant: TenantId, danger: Danger, sgc: str) -> dict[str, object]:
    return {"tenant_": tenant, "danger_": danger, "sgc_": sgc}


def _columns(hold: Hold) -> dict[str, object]:
    return {
        "id": hold.id,
        "tenant": hold.tenant,
        "danger": hold.danger,
        "sgc": hold.sgc,
        "reason": hold.reason,
        "since": hold.since,
        "lifted_at": hold.lifted_at,
        "lifted_by": hold.lifted_by,
        "lift_reason": hold.lift_reason,
    }


def _hold_of(row: SqlRow) -> Hold:
    return Hold(
        id=row.id,
        tenant=row.tenant,
        danger=Danger(row.danger),
        sgc=row.sgc,
        reason=row.reason,
        since=row.since,
        lifted_at=row.lifted_at,
        lifted_by=row.lifted_by,
        lift_reason=row.lift_reason,
    )


_LISTING = Listing(
    table=holds,
    columns=(_c.since, _c.id),
    kinds=(datetime, str),
    key=lambda hold: (hold.since, hold.id),
    record=_hold_of,
    newest_first=True,
)
