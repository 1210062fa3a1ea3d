"""Token identifiers given, one row a meter and base date: never twice, whoever asks at once."""

from sqlalchemy import or_

from adapters.store.inserts import upsert
from adapters.store.statements import Statements
from adapters.store.tables import tids
from headend.errors import Stale
from headend.meters import Drn, TenantId

# The row is touched, or made, because one that is not there cannot be locked.
_LAST = {
    dialect: statement.returning(tids.c.last)
    for dialect, statement in upsert(tids, lambda _: {"last": tids.c.last}).items()
}
_GIVE = upsert(
    tids,
    lambda given: {"last": given["last"]},
    where=lambda given: or_(tids.c.last.is_(None), tids.c.last < given["last"]),
)


class SqlTids:
    """Satisfies the token identifiers of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def last(self, tenant: TenantId, drn: Drn, base_date: int) -> int | None:
        keys = {"tenant": tenant, "drn": drn, "base_date": base_date}
        row = await self._run.row(_LAST[self._run.dialect], {**keys, "last": None})
        return None if row is None else row.last

    async def give(self, tenant: TenantId, drn: Drn, base_date: int, tid: int) -> None:
        """Raises Stale when it is not above the last one given."""
        row = {"tenant": tenant, "drn": drn, "base_date": base_date, "last": tid}
        if not await self._run.changed(_GIVE[self._run.dialect], row):
            raise Stale(f"token identifier {tid} of meter {drn}")
