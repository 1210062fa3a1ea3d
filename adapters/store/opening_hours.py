"""Opening hours in the database."""

from datetime import date, time

from sqlalchemy import bindparam, select, update

from adapters.store.harm_tables import opening_hours
from adapters.store.inserts import new_only
from adapters.store.statements import Statements
from headend.errors import Stale
from headend.meters import TenantId
from headend.opening_hours import OpeningHours

_KEY = (opening_hours.c.tenant == bindparam("tenant_"), opening_hours.c.sgc == bindparam("sgc_"))
_ADD = new_only(opening_hours)
_FIND = select(opening_hours).where(*_KEY)
_SAVE = update(opening_hours).where(*_KEY, opening_hours.c.version == bindparam("was"))


class SqlOpeningHours:
    """Satisfies the opening hours of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def find(self, tenant: TenantId, sgc: str) -> OpeningHours | None:
        row = await self._run.row(_FIND, {"tenant_": tenant, "sgc_": sgc})
        if row is None:
            return None
        return OpeningHours(
            tenant=row.tenant,
            sgc=row.sgc,
            hours={
                day: (time.fromisoformat(begins), time.fromisoformat(ends))
                for day, begins, ends in row.hours
            },
            closed_on=frozenset(date.fromisoformat(day) for day in row.closed_on),
            version=row.version,
            changed_by=row.changed_by,
            changed_at=row.changed_at,
        )

    async def put(self, hours: OpeningHours, *, was: int | None) -> None:
        columns = {
            "tenant": hours.tenant,
            "sgc": hours.sgc,
            "hours": [
                [day, begins.isoformat(), ends.isoformat()]
                for day, (begins, ends) in sorted(hours.hours.items())
            ],
            "closed_on": sorted(day.isoformat() for day in hours.closed_on),
            "version": hours.version,
            "changed_by": hours.changed_by,
            "changed_at": hours.changed_at,
        }
        what = f"opening hours of {hours.sgc}"
        if was is not None:
            keys = {"tenant_": hours.tenant, "sgc_": hours.sgc, "was": was}
            await self._run.change(_SAVE, columns | keys, what=what)
        elif not await self._run.changed(_ADD[self._run.dialect], columns):
            raise Stale(what)
