"""Tenants in the database."""

from datetime import datetime

from sqlalchemy import bindparam, select

from adapters.store.inserts import new_only
from adapters.store.statements import Statements
from adapters.store.tables import tenants
from headend.meters import TenantId

_ENSURE = new_only(tenants)
_FIND = select(tenants.c.id).where(tenants.c.id == bindparam("tenant"))
# Rows that name the tenant may be written meanwhile: their foreign keys share the key alone.
_LOCKED = _FIND.with_for_update(key_share=True)


class SqlTenants:
    """Satisfies the tenants of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def ensure(self, tenant: TenantId, now: datetime) -> None:
        await self._run.changed(_ENSURE[self._run.dialect], {"id": tenant, "created_at": now})

    async def exists(self, tenant: TenantId) -> bool:
        return await self._run.row(_FIND, {"tenant": tenant}) is not None

    async def lock(self, tenant: TenantId) -> None:
        if self._run.locks:
            await self._run.row(_LOCKED, {"tenant": tenant})
