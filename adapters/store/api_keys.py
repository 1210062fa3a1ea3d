"""API keys in the database: hashes, never the keys."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, select, update

from adapters.store.inserts import new_only
from adapters.store.statements import SqlRow, Statements
from adapters.store.tables import api_keys
from headend.api_keys import ApiKey, Scope
from headend.errors import Stale
from headend.meters import TenantId

_c = api_keys.c
_ADD = new_only(api_keys)
_FIND = select(api_keys).where(_c.id == bindparam("id_"))
_ALL = select(api_keys).where(_c.tenant == bindparam("tenant_")).order_by(_c.created_at, _c.id)
_REVOKE = (
    update(api_keys)
    .where(_c.id == bindparam("id_"), _c.revoked_at.is_(None))
    .values(revoked_at=bindparam("now"))
)


class SqlApiKeys:
    """Satisfies the API keys of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def add(self, key: ApiKey) -> None:
        """Raises Stale when the id is taken."""
        columns = {
            "id": key.id,
            "tenant": key.tenant,
            "name": key.name,
            "scopes": sorted(key.scopes),
            "sha256": key.sha256,
            "created_at": key.created_at,
            "revoked_at": key.revoked_at,
            "person": key.person,
        }
        if not await self._run.changed(_ADD[self._run.dialect], columns):
            raise Stale(f"API key {key.id}")

    async def find(self, ident: str) -> ApiKey | None:
        row = await self._run.row(_FIND, {"id_": ident})
        return None if row is None else _key_of(row)

    async def all(self, tenant: TenantId) -> Sequence[ApiKey]:
        return [_key_of(row) for row in await self._run.rows(_ALL, {"tenant_": tenant})]

    async def revoke(self, ident: str, now: datetime) -> bool:
        return await self._run.changed(_REVOKE, {"id_": ident, "now": now}) > 0


def _key_of(row: SqlRow) -> ApiKey:
    return ApiKey(
        id=row.id,
        tenant=row.tenant,
        name=row.name,
        scopes=frozenset(Scope(scope) for scope in row.scopes),
        sha256=row.sha256,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
        person=row.person,
    )
