"""People in the database: hashes of their tokens, never the tokens."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, null, select, update

from adapters.store.harm_tables import people
from adapters.store.inserts import new_only
from adapters.store.statements import SqlRow, Statements
from headend.errors import Stale
from headend.meters import TenantId
from headend.people import Person, PersonId, same_name

_c = people.c
_ID = _c.id == bindparam("id_")
_ADD = new_only(people)
_FIND = select(people).where(_ID)
_ALL = select(people).where(_c.tenant == bindparam("tenant_")).order_by(_c.created_at, _c.id)
_RENEW = (
    update(people)
    .where(_ID)
    .values(sha256=bindparam("hash_"), renewed_at=bindparam("now"), revoked_at=null())
)
_REVOKE = update(people).where(_ID, _c.revoked_at.is_(None)).values(revoked_at=bindparam("now"))


class SqlPeople:
    """Satisfies the people of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def add(self, person: Person) -> None:
        columns = {
            "id": person.id,
            "tenant": person.tenant,
            "name": person.name,
            "name_key": same_name(person.name),
            "sha256": person.sha256,
            "created_at": person.created_at,
            "renewed_at": person.renewed_at,
            "revoked_at": person.revoked_at,
        }
        if not await self._run.changed(_ADD[self._run.dialect], columns):
            raise Stale(f"person {person.name}")

    async def find(self, ident: str) -> Person | None:
        row = await self._run.row(_FIND, {"id_": ident})
        return None if row is None else _person_of(row)

    async def all(self, tenant: TenantId) -> Sequence[Person]:
        return [_person_of(row) for row in await self._run.rows(_ALL, {"tenant_": tenant})]

    async def renew(self, ident: str, sha256: bytes, now: datetime) -> bool:
        given = {"id_": ident, "hash_": sha256, "now": now}
        return await self._run.changed(_RENEW, given) > 0

    async def revoke(self, ident: str, now: datetime) -> bool:
        return await self._run.changed(_REVOKE, {"id_": ident, "now": now}) > 0


def _person_of(row: SqlRow) -> Person:
    return Person(
        id=PersonId(row.id),
        tenant=row.tenant,
        name=row.name,
        sha256=row.sha256,
        created_at=row.created_at,
        renewed_at=row.renewed_at,
        revoked_at=row.revoked_at,
    )
