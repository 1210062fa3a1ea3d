"""Usage points in the database."""

from collections.abc import Sequence

from sqlalchemy import bindparam, select, update

from adapters.store.cursors import Listing
from adapters.store.inserts import new_only
from adapters.store.statements import SqlRow, Statements
from adapters.store.tables import usage_points
from headend.errors import Stale
from headend.meters import TenantId, UsagePointId
from headend.pages import Cursor, Page
from headend.usage_points import Contact, ContactKind, UsagePoint

_KEY = (usage_points.c.tenant == bindparam("tenant_"), usage_points.c.id == bindparam("id_"))
_ADD = new_only(usage_points)
_FIND = select(usage_points).where(*_KEY)
_SAVE = update(usage_points).where(*_KEY, usage_points.c.version == bindparam("was"))


class SqlUsagePoints:
    """Satisfies the usage points of the store port."""

    def __init__(self, run: Statements) -> None:
        self._run = run

    async def find(self, tenant: TenantId, ident: UsagePointId) -> UsagePoint | None:
        row = await self._run.row(_FIND, {"tenant_": tenant, "id_": ident})
        return None if row is None else _usage_point_of(row)

    async def put(self, point: UsagePoint, *, was: int | None) -> None:
        columns = _columns(point)
        what = f"usage point {point.id}"
        if was is not None:
            keys = {"tenant_": point.tenant, "id_": point.id, "was": was}
            await self._run.change(_SAVE, columns | keys, what=what)
        elif not await self._run.changed(_ADD[self._run.dialect], columns):
            raise Stale(what)

    async def page(self, tenant: TenantId, cursor: Cursor) -> Page[UsagePoint]:
        return await _LISTING.page(self._run, cursor, usage_points.c.tenant == tenant)


def contacts_json(contacts: Sequence[Contact]) -> list[list[str]]:
    """Contacts as pairs of kind and address."""
    return [[contact.kind.value, contact.address] for contact in contacts]


def contacts_of(pairs: Sequence[Sequence[str]]) -> tuple[Contact, ...]:
    """Contacts from their pairs."""
    return tuple(Contact(ContactKind(kind), address) for kind, address in pairs)


def _usage_point_of(row: SqlRow) -> UsagePoint:
    return UsagePoint(
        tenant=row.tenant,
        id=row.id,
        name=row.name,
        contacts=contacts_of(row.contacts),
        language=row.language,
        protected=row.protected,
        version=row.version,
        changed_at=row.changed_at,
    )


def _columns(point: UsagePoint) -> dict[str, object]:
    return {
        "tenant": point.tenant,
        "id": point.id,
        "name": point.name,
        "contacts": contacts_json(point.contacts),
        "language": point.language,
        "protected": point.protected,
        "version": point.version,
        "changed_at": point.changed_at,
    }


_LISTING = Listing(
    table=usage_points,
    columns=(usage_points.c.id,),
    kinds=(str,),
    key=lambda point: (point.id,),
    record=_usage_point_of,
)
